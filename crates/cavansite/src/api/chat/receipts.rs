//! `/chat/threads/{thread}/readReceipts`, in either letter case.

use axum::extract::{Path, RawQuery};
use axum::response::{IntoResponse as _, Response};
use cavansite_protocol::chat::preview2::SendReadReceiptRequest;
use cavansite_protocol::version::ChatFamily;

use super::empty;
use crate::api::auth::ChatCall;
use crate::api::body::{Body, json};
use crate::api::convert::shape;
use crate::api::error::ApiResult;
use crate::api::paging::Slice;

pub(in crate::api) async fn send_chat_read_receipt(
    call: ChatCall,
    Path(thread): Path<String>,
    Body(body): Body,
) -> ApiResult<Response> {
    let request: SendReadReceiptRequest = json(&body)?;
    let message = &request.chat_message_id;
    call.app
        .chat
        .send_read_receipt(&call.caller, &thread, message)
        .await?;
    Ok(empty(shape(call.version).receipt_sent()))
}

pub(in crate::api) async fn list_chat_read_receipts(
    call: ChatCall,
    Path(thread): Path<String>,
    RawQuery(query): RawQuery,
) -> ApiResult<Response> {
    let slice = Slice::of(query.as_deref(), call.app.chat.limits())?;
    let receipts = call
        .app
        .chat
        .list_read_receipts(&call.caller, &thread)
        .await?;
    let name = match call.version.family() {
        ChatFamily::Preview2 => "readreceipts",
        ChatFamily::Preview3 | ChatFamily::Ga => "readReceipts",
    };
    let path = format!("/chat/threads/{thread}/{name}");
    let (receipts, next) = slice.cut(receipts, &call.base_url, &path, call.version.name());
    Ok(shape(call.version)
        .receipts(&receipts, next)
        .into_response())
}
