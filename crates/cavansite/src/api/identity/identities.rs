//! `/identities` and `/identities/{id}`.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use cavansite_core::identity::missing_scopes;
use cavansite_protocol::identity::{ga, preview2};
use cavansite_protocol::time::OffsetDateTime;
use cavansite_protocol::version::IdentityFamily;

use super::scopes;
use crate::api::auth::IdentityCall;
use crate::api::body::json_or_default;
use crate::api::convert::Json;
use crate::api::error::ApiResult;

pub(in crate::api) async fn create_identity(call: IdentityCall) -> ApiResult<Response> {
    match call.version.family() {
        IdentityFamily::Preview2 => {
            let user = call.app.identity.create_identity().await?;
            let identity = preview2::CommunicationIdentity { id: user.as_str() };
            Ok(Json::new(StatusCode::OK, &identity).into_response())
        }
        IdentityFamily::Ga => create_identity_with_token(call).await,
    }
}

async fn create_identity_with_token(call: IdentityCall) -> ApiResult<Response> {
    let request: ga::CommunicationIdentityCreateRequest = json_or_default(&call.body)?;
    // Everything is checked before the identity is made, so that a refusal leaves none behind.
    let minutes = call.minutes(request.expires_in_minutes);
    call.app.identity.token_minutes(minutes)?;
    let names = request.create_token_with_scopes.unwrap_or_default();
    let scopes = scopes(call.version, &names)?;
    if minutes.is_some() && scopes.is_empty() {
        return Err(missing_scopes().into());
    }
    let user = call.app.identity.create_identity().await?;
    let issued = if scopes.is_empty() {
        None
    } else {
        Some(
            call.app
                .identity
                .issue_token(&user, scopes, minutes, call.key)
                .await?,
        )
    };
    let result = ga::CommunicationIdentityAccessTokenResult {
        identity: ga::CommunicationIdentity { id: user.as_str() },
        access_token: issued
            .as_ref()
            .map(|issued| ga::CommunicationIdentityAccessToken {
                token: &issued.token,
                expires_on: OffsetDateTime(issued.expires_at.as_millis()),
            }),
    };
    Ok(Json::new(StatusCode::CREATED, &result).into_response())
}

pub(in crate::api) async fn delete_identity(
    Path(id): Path<String>,
    call: IdentityCall,
) -> ApiResult<StatusCode> {
    call.app.identity.delete_identity(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}
