//! Who a client acts as: tokens of users, and the resource's access key.
//!
//! [`TokenCredential`] is the trait; [`StaticTokenCredential`] holds one token,
//! [`RefreshingTokenCredential`] asks a callback of yours for a new one in time. The identity
//! client takes an [`AccessKeyCredential`] too.

mod access_key;
mod refreshing;
mod token;

use std::fmt;

use async_trait::async_trait;

pub use access_key::AccessKeyCredential;
pub(crate) use access_key::ConnectionString;
pub use refreshing::{RefreshingTokenCredential, RefreshingTokenCredentialOptions};
pub use token::{AccessToken, StaticTokenCredential};

use crate::Result;

/// Gives the token that a request is sent with.
///
/// Clients ask before each attempt, so an implementation that gets tokens from far away must keep
/// them; [`RefreshingTokenCredential`] does.
#[async_trait]
pub trait TokenCredential: fmt::Debug + Send + Sync + 'static {
    /// A token that is valid now, as far as this credential knows.
    async fn get_token(&self) -> Result<AccessToken>;

    /// Told that the server answered 401 to this token. The next [`Self::get_token`] should give
    /// another one, if there is a way; the request is then sent once more.
    fn refused(&self, token: &AccessToken) {
        let _ = token;
    }
}
