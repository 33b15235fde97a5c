//! Issuing and revoking tokens: `/identities/{id}/token` and `PATCH /identities/{id}` of preview2,
//! `/identities/{id}/:issueAccessToken` and `…/:revokeAccessTokens` of later versions.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use cavansite_core::identity::IssuedToken;
use cavansite_core::model::Timestamp;
use cavansite_protocol::identity::{ga, preview2};
use cavansite_protocol::time::OffsetDateTime;
use cavansite_protocol::version::IdentityFamily;

use super::scopes;
use crate::api::auth::IdentityCall;
use crate::api::body::{json, json_or_default};
use crate::api::convert::Json;
use crate::api::error::ApiResult;

pub(in crate::api) async fn issue_token(
    Path(id): Path<String>,
    call: IdentityCall,
) -> ApiResult<Response> {
    call.require_family(IdentityFamily::Preview2)?;
    let request: preview2::CommunicationTokenRequest = json(&call.body)?;
    let issued = issue(&call, &id, &request.scopes, None).await?;
    let token = preview2::CommunicationIdentityToken {
        id: &id,
        token: &issued.token,
        expires_on: OffsetDateTime(issued.expires_at.as_millis()),
    };
    Ok(Json::new(StatusCode::OK, &token).into_response())
}

pub(in crate::api) async fn issue_access_token(
    Path(id): Path<String>,
    call: IdentityCall,
) -> ApiResult<Response> {
    call.require_family(IdentityFamily::Ga)?;
    let request: ga::CommunicationIdentityAccessTokenRequest = json(&call.body)?;
    let minutes = call.minutes(request.expires_in_minutes);
    let issued = issue(&call, &id, &request.scopes, minutes).await?;
    let token = ga::CommunicationIdentityAccessToken {
        token: &issued.token,
        expires_on: OffsetDateTime(issued.expires_at.as_millis()),
    };
    Ok(Json::new(StatusCode::OK, &token).into_response())
}

async fn issue(
    call: &IdentityCall,
    id: &str,
    names: &[String],
    minutes: Option<i64>,
) -> ApiResult<IssuedToken> {
    let identity = call.app.identity.get_identity(id).await?;
    let scopes = scopes(call.version, names)?;
    Ok(call
        .app
        .identity
        .issue_token(&identity.id, scopes, minutes, call.key)
        .await?)
}

pub(in crate::api) async fn revoke_tokens_by_update(
    Path(id): Path<String>,
    call: IdentityCall,
) -> ApiResult<StatusCode> {
    call.require_family(IdentityFamily::Preview2)?;
    let request: preview2::CommunicationIdentityUpdateRequest = json_or_default(&call.body)?;
    let valid_from = request
        .tokens_valid_from
        .map(|time| Timestamp::from_millis(time.0));
    call.app.identity.revoke_tokens(&id, valid_from).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(in crate::api) async fn revoke_access_tokens(
    Path(id): Path<String>,
    call: IdentityCall,
) -> ApiResult<StatusCode> {
    call.require_family(IdentityFamily::Ga)?;
    call.app.identity.revoke_tokens(&id, None).await?;
    Ok(StatusCode::NO_CONTENT)
}
