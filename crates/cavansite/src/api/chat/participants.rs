//! `/chat/threads/{thread}/members` of preview2 and `…/participants` of later versions.

use axum::extract::{Path, RawQuery};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use cavansite_protocol::chat::ga::CommunicationIdentifierRequest;
use cavansite_protocol::version::ChatFamily;

use super::empty;
use crate::api::auth::ChatCall;
use crate::api::body::{Body, json};
use crate::api::convert::shape;
use crate::api::error::{ApiError, ApiResult};
use crate::api::paging::Slice;

/// The families that call them participants.
const PARTICIPANTS: &[ChatFamily] = &[ChatFamily::Preview3, ChatFamily::Ga];

pub(in crate::api) async fn list_chat_members(
    call: ChatCall,
    Path(thread): Path<String>,
    RawQuery(query): RawQuery,
) -> ApiResult<Response> {
    call.require_family(&[ChatFamily::Preview2])?;
    list(call, &thread, "members", query.as_deref()).await
}

pub(in crate::api) async fn list_chat_participants(
    call: ChatCall,
    Path(thread): Path<String>,
    RawQuery(query): RawQuery,
) -> ApiResult<Response> {
    call.require_family(PARTICIPANTS)?;
    list(call, &thread, "participants", query.as_deref()).await
}

async fn list(
    call: ChatCall,
    thread: &str,
    people: &str,
    query: Option<&str>,
) -> ApiResult<Response> {
    let slice = Slice::of(query, call.app.chat.limits())?;
    let participants = call
        .app
        .chat
        .list_participants(&call.caller, thread)
        .await?;
    let path = format!("/chat/threads/{thread}/{people}");
    let (participants, next) = slice.cut(participants, &call.base_url, &path, call.version.name());
    Ok(shape(call.version)
        .participants(call.version, &participants, next)
        .into_response())
}

pub(in crate::api) async fn add_chat_members(
    call: ChatCall,
    Path(thread): Path<String>,
    Body(body): Body,
) -> ApiResult<Response> {
    call.require_family(&[ChatFamily::Preview2])?;
    add(call, &thread, &body).await
}

pub(in crate::api) async fn add_chat_participants(
    call: ChatCall,
    Path(thread): Path<String>,
    Body(body): Body,
) -> ApiResult<Response> {
    call.require_family(PARTICIPANTS)?;
    add(call, &thread, &body).await
}

async fn add(call: ChatCall, thread: &str, body: &[u8]) -> ApiResult<Response> {
    let shape = shape(call.version);
    let people = shape.read_participants(call.version, body)?;
    let listed: Vec<_> = people.iter().map(|person| person.raw_id.clone()).collect();
    let refused = call
        .app
        .chat
        .add_participants(&call.caller, thread, people)
        .await?;
    Ok(shape
        .participants_added(call.version, &listed, &refused)
        .into_response())
}

pub(in crate::api) async fn remove_chat_member(
    call: ChatCall,
    Path((thread, member)): Path<(String, String)>,
) -> ApiResult<Response> {
    call.require_family(&[ChatFamily::Preview2])?;
    remove(call, &thread, &member).await
}

pub(in crate::api) async fn remove_chat_participant_by_path(
    call: ChatCall,
    Path((thread, participant)): Path<(String, String)>,
) -> ApiResult<Response> {
    call.require_family(&[ChatFamily::Preview3])?;
    remove(call, &thread, &participant).await
}

pub(in crate::api) async fn remove_chat_participant(
    call: ChatCall,
    Path(thread): Path<String>,
    Body(body): Body,
) -> ApiResult<Response> {
    call.require_family(&[ChatFamily::Ga])?;
    let identifier: CommunicationIdentifierRequest = json(&body)?;
    let raw_id = identifier.into_raw_id().ok_or_else(|| {
        ApiError::invalid(None, "The identifier needs rawId or communicationUser.id.")
    })?;
    remove(call, &thread, &raw_id).await
}

async fn remove(call: ChatCall, thread: &str, raw_id: &str) -> ApiResult<Response> {
    call.app
        .chat
        .remove_participant(&call.caller, thread, raw_id)
        .await?;
    Ok(empty(StatusCode::NO_CONTENT))
}
