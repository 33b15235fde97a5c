//! Identities and their tokens.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::CommunicationUserIdentifier;
use crate::credential::AccessToken;
use crate::text_enum::text_enum;

text_enum! {
    /// What the bearer of a token may do.
    TokenScope {
        /// Everything in chat.
        Chat = "chat",
        /// Calls.
        VoIP = "voip",
        /// Chat but for creating, changing and deleting threads (since 2023-10-01).
        ChatJoin = "chat.join",
        /// As `chat.join`, and neither adding nor removing people (since 2023-10-01).
        ChatJoinLimited = "chat.join.limited",
        /// Joining calls (since 2023-10-01).
        VoIPJoin = "voip.join",
    }
}

/// A new user with a token.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UserAndToken {
    /// The user.
    pub user: CommunicationUserIdentifier,
    /// The token.
    pub access_token: AccessToken,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateIdentityRequest<'a> {
    pub(crate) create_token_with_scopes: &'a [TokenScope],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires_in_minutes: Option<u32>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IssueTokenRequest<'a> {
    pub(crate) scopes: &'a [TokenScope],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires_in_minutes: Option<u32>,
}

#[derive(Deserialize)]
pub(crate) struct CreatedIdentity {
    pub(crate) identity: CommunicationUserIdentifier,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreatedIdentityAndToken {
    pub(crate) identity: CommunicationUserIdentifier,
    pub(crate) access_token: IssuedToken,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IssuedToken {
    token: String,
    expires_on: Timestamp,
}

impl From<IssuedToken> for AccessToken {
    fn from(issued: IssuedToken) -> Self {
        Self::new(issued.token, issued.expires_on)
    }
}
