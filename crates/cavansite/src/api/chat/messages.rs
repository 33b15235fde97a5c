//! `/chat/threads/{thread}/messages` and `/chat/threads/{thread}/messages/{message}`.

use axum::extract::{Path, RawQuery};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use cavansite_core::Error;
use cavansite_core::chat::RequestId;
use cavansite_core::model::ThreadId;
use cavansite_protocol::chat::{Decimal, SendChatMessageResult};
use uuid::Uuid;

use super::{created, empty, location_of_thread, repeat_id};
use crate::api::auth::ChatCall;
use crate::api::body::Body;
use crate::api::convert::{Json, shape};
use crate::api::error::{ApiError, ApiResult};
use crate::api::paging;

pub(in crate::api) async fn send_chat_message(
    call: ChatCall,
    Path(thread): Path<String>,
    headers: HeaderMap,
    Body(body): Body,
) -> ApiResult<Response> {
    let mut request = shape(call.version).read_message(call.version, &body)?;
    request.request_id = request_id(&headers);
    let id = call
        .app
        .chat
        .send_message(&call.caller, &thread, request)
        .await?;
    let location = format!(
        "{}/messages/{id}",
        location_of_thread(&call.base_url, &thread)
    );
    let result = SendChatMessageResult { id: Decimal(id.0) };
    Ok(created(Json::new(StatusCode::CREATED, &result), &location))
}

/// The name by which a repeated send is recognised: the one that creates take as well (an extension
/// of ours), else the client's request id, where it has the shape of a UUID.
fn request_id(headers: &HeaderMap) -> Option<RequestId> {
    repeat_id(headers).map(RequestId).or_else(|| {
        let value = headers.get("x-ms-client-request-id")?;
        let id = Uuid::try_parse_ascii(value.as_bytes()).ok()?;
        Some(RequestId(id.hyphenated().to_string()))
    })
}

pub(in crate::api) async fn list_chat_messages(
    call: ChatCall,
    Path(thread): Path<String>,
    RawQuery(query): RawQuery,
) -> ApiResult<Response> {
    let page = paging::message_page(query.as_deref(), &thread, call.app.chat.limits())?;
    let messages = call
        .app
        .chat
        .list_messages(&call.caller, &thread, page)
        .await?;
    let last = messages.last().filter(|_| messages.len() == page.limit);
    let next = last.and_then(|last| {
        let version = call.version.name();
        paging::next_messages(&call.base_url, &thread, &page, last.version, version)
    });
    let thread = id_of(&thread)?;
    Ok(shape(call.version)
        .messages(call.version, thread, &messages, next)
        .into_response())
}

pub(in crate::api) async fn get_chat_message(
    call: ChatCall,
    Path((thread, message)): Path<(String, String)>,
) -> ApiResult<Response> {
    let found = call
        .app
        .chat
        .get_message(&call.caller, &thread, &message)
        .await?;
    let thread = id_of(&thread)?;
    Ok(shape(call.version)
        .message(call.version, thread, &found)
        .into_response())
}

pub(in crate::api) async fn update_chat_message(
    call: ChatCall,
    Path((thread, message)): Path<(String, String)>,
    Body(body): Body,
) -> ApiResult<Response> {
    let shape = shape(call.version);
    let change = shape.read_message_change(call.version, &body)?;
    call.app
        .chat
        .update_message(&call.caller, &thread, &message, change)
        .await?;
    Ok(empty(shape.changed()))
}

pub(in crate::api) async fn delete_chat_message(
    call: ChatCall,
    Path((thread, message)): Path<(String, String)>,
) -> ApiResult<Response> {
    call.app
        .chat
        .delete_message(&call.caller, &thread, &message)
        .await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// The id that a service has accepted already.
fn id_of(thread: &str) -> ApiResult<ThreadId> {
    ThreadId::parse(thread).ok_or_else(|| ApiError::from(Error::ThreadNotFound))
}
