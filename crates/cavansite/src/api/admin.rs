//! The operator's routes, signed with an access key like the identity API.

use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cavansite_core::model::{Installation, KeySlot};
use cavansite_protocol::admin::{AccessKeys, KeyType, RegenerateKey};

use super::auth::AdminCall;
use super::body::json;
use super::convert::Json;
use super::error::ApiResult;
use crate::ready::connection_string;

/// `POST /cavansite/v1/admin/regenerateKey`: puts a new access key in the place of one. Named and
/// shaped as the hosted service's management API has it.
pub(super) async fn regenerate_key(call: AdminCall) -> ApiResult<Response> {
    let request: RegenerateKey = json(&call.body)?;
    let slot = match request.key_type {
        KeyType::Primary => KeySlot::Primary,
        KeyType::Secondary => KeySlot::Secondary,
    };
    let installation = call.app.identity.rotate_access_key(slot).await?;
    tracing::info!(slot = slot.as_str(), "an access key was replaced");
    let keys = access_keys(&call.base_url, &installation);
    let mut response = Json::new(StatusCode::OK, &keys).into_response();
    let no_store = axum::http::HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    Ok(response)
}

fn access_keys(base_url: &str, installation: &Installation) -> AccessKeys {
    let keys = KeySlot::ALL.map(|slot| installation.access_key(slot).key.expose());
    let [primary_key, secondary_key] = keys.map(|key| BASE64_STANDARD.encode(key));
    let [primary_connection_string, secondary_connection_string] =
        [&primary_key, &secondary_key].map(|key| connection_string(base_url, key));
    AccessKeys {
        primary_key,
        secondary_key,
        primary_connection_string,
        secondary_connection_string,
    }
}
