//! Identity 2020-07-20-preview2: what the administration SDKs of 2020 speak.

use serde::{Deserialize, Serialize};

use crate::time::{DateTime, OffsetDateTime};

/// The answer to creating an identity (200).
#[derive(Debug, Serialize)]
pub struct CommunicationIdentity<'a> {
    /// The raw id.
    pub id: &'a str,
}

/// `PATCH /identities/{id}`: revokes tokens.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CommunicationIdentityUpdateRequest {
    /// Tokens issued at or before this time end; without it, all issued so far.
    pub tokens_valid_from: Option<DateTime>,
}

/// `POST /identities/{id}/token`.
#[derive(Debug, Deserialize)]
pub struct CommunicationTokenRequest {
    /// `chat`, `voip`, `pstn`.
    pub scopes: Vec<String>,
}

/// The answer to issuing a token (200).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CommunicationIdentityToken<'a> {
    /// The raw id.
    pub id: &'a str,
    /// The token.
    pub token: &'a str,
    /// When it expires.
    pub expires_on: OffsetDateTime,
}
