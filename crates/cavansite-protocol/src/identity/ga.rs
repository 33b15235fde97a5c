//! Identity 2021-03-07 and later.

use serde::{Deserialize, Serialize};

use crate::time::OffsetDateTime;

/// `POST /identities`; an empty body stands for an empty object.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CommunicationIdentityCreateRequest {
    /// With scopes, a token is issued along with the identity.
    pub create_token_with_scopes: Option<Vec<String>>,
    /// The token's life (since 2022-10-01).
    pub expires_in_minutes: Option<i64>,
}

/// The answer to creating an identity (201).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CommunicationIdentityAccessTokenResult<'a> {
    /// The new identity.
    pub identity: CommunicationIdentity<'a>,
    /// The token, where scopes were given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_token: Option<CommunicationIdentityAccessToken<'a>>,
}

/// An identity.
#[derive(Debug, Serialize)]
pub struct CommunicationIdentity<'a> {
    /// The raw id.
    pub id: &'a str,
}

/// `POST /identities/{id}/:issueAccessToken`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommunicationIdentityAccessTokenRequest {
    /// `chat`, `voip`; from 2023-10-01 also `chat.join`, `chat.join.limited`, `voip.join`.
    pub scopes: Vec<String>,
    /// The token's life (since 2022-10-01).
    pub expires_in_minutes: Option<i64>,
}

/// A token: the answer to issuing one (200).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CommunicationIdentityAccessToken<'a> {
    /// The token.
    pub token: &'a str,
    /// When it expires.
    pub expires_on: OffsetDateTime,
}
