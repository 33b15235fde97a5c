//! `/chat/threads` and `/chat/threads/{thread}`.

use axum::extract::{Path, RawQuery};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};

use super::{created, empty, location_of_thread, repeat_id};
use crate::api::auth::ChatCall;
use crate::api::body::Body;
use crate::api::convert::shape;
use crate::api::error::ApiResult;
use crate::api::paging;

pub(in crate::api) async fn create_chat_thread(
    call: ChatCall,
    headers: HeaderMap,
    Body(body): Body,
) -> ApiResult<Response> {
    let shape = shape(call.version);
    let mut request = shape.read_thread(call.version, &body)?;
    let listed: Vec<_> = request
        .participants
        .iter()
        .map(|p| p.raw_id.clone())
        .collect();
    request.repeat_id = repeat_id(&headers);
    let thread = call.app.chat.create_thread(&call.caller, request).await?;
    let location = location_of_thread(&call.base_url, &thread.thread.id.to_string());
    Ok(created(
        shape.thread_created(call.version, &listed, &thread),
        &location,
    ))
}

pub(in crate::api) async fn list_chat_threads(
    call: ChatCall,
    RawQuery(query): RawQuery,
) -> ApiResult<Response> {
    let page = paging::thread_page(query.as_deref(), call.app.chat.limits())?;
    let threads = call.app.chat.list_threads(&call.caller, page).await?;
    let last = threads.last().filter(|_| threads.len() == page.limit);
    let next = last.map(|last| {
        let position = (last.last_message_at, last.id);
        paging::next_threads(&call.base_url, &page, position, call.version.name())
    });
    Ok(shape(call.version).threads(&threads, next).into_response())
}

pub(in crate::api) async fn get_chat_thread(
    call: ChatCall,
    Path(thread): Path<String>,
) -> ApiResult<Response> {
    let shape = shape(call.version);
    let found = call.app.chat.get_thread(&call.caller, &thread).await?;
    let people = if shape.thread_shows_participants() {
        call.app
            .chat
            .list_participants(&call.caller, &thread)
            .await?
    } else {
        Vec::new()
    };
    Ok(shape.thread(call.version, &found, &people).into_response())
}

pub(in crate::api) async fn update_chat_thread(
    call: ChatCall,
    Path(thread): Path<String>,
    Body(body): Body,
) -> ApiResult<Response> {
    let shape = shape(call.version);
    let change = shape.read_thread_change(call.version, &body)?;
    call.app
        .chat
        .update_thread(&call.caller, &thread, change)
        .await?;
    Ok(empty(shape.changed()))
}

pub(in crate::api) async fn delete_chat_thread(
    call: ChatCall,
    Path(thread): Path<String>,
) -> ApiResult<Response> {
    call.app.chat.delete_thread(&call.caller, &thread).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}
