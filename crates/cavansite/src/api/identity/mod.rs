//! The identity operations, one function each.

pub(super) mod identities;
pub(super) mod tokens;

use cavansite_core::caller::{Scope, Scopes};
use cavansite_protocol::version::{IdentityApiVersion, IdentityFamily};

use super::auth::IdentityCall;
use super::error::{ApiError, ApiResult};

/// The version from which a token's life can be asked for.
const EXPIRY_SINCE: &str = "2022-10-01";
/// The version from which the `.join` scopes exist.
const JOIN_SCOPES_SINCE: &str = "2023-10-01";

impl IdentityCall {
    /// Refuses a version that does not have the operation.
    fn require_family(&self, family: IdentityFamily) -> ApiResult<()> {
        if self.version.family() == family {
            Ok(())
        } else {
            Err(ApiError::version_unsupported())
        }
    }

    /// A token's life as asked for, where the version can ask.
    fn minutes(&self, asked: Option<i64>) -> Option<i64> {
        asked.filter(|_| self.version.is_since(EXPIRY_SINCE))
    }
}

/// The scopes of those names, as far as the version knows them.
fn scopes(version: IdentityApiVersion, names: &[String]) -> ApiResult<Scopes> {
    let known = |scope: &Scope| match scope {
        Scope::Chat | Scope::Voip => true,
        Scope::Pstn => version.family() == IdentityFamily::Preview2,
        Scope::ChatJoin | Scope::ChatJoinLimited | Scope::VoipJoin => {
            version.family() == IdentityFamily::Ga && version.is_since(JOIN_SCOPES_SINCE)
        }
    };
    let scope = |name: &String| {
        Scope::parse(name).filter(known).ok_or_else(|| {
            let message = format!("Invalid scopes - '{name}' is not a scope of this version.");
            ApiError::invalid(Some("scopes"), message)
        })
    };
    names.iter().map(scope).collect()
}
