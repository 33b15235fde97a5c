//! `/chat/threads/{thread}/typing`.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;

use super::empty;
use crate::api::auth::ChatCall;
use crate::api::body::Body;
use crate::api::convert::shape;
use crate::api::error::ApiResult;

pub(in crate::api) async fn send_typing_notification(
    call: ChatCall,
    Path(thread): Path<String>,
    Body(body): Body,
) -> ApiResult<Response> {
    let name = shape(call.version).read_typing(call.version, &body)?;
    call.app
        .chat
        .send_typing_notification(&call.caller, &thread, name.as_deref())
        .await?;
    Ok(empty(StatusCode::OK))
}
