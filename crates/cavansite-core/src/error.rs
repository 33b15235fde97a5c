//! The one error of the core. The server gives each variant its status and code in one place.

use std::fmt;

/// What an operation of the core returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation was refused or could not be done. Nothing has changed when one is returned.
///
/// The `Display` text is meant for the caller; the source of [`Error::Store`] is for the log alone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No such thread was ever in this resource, or the caller took part in it and it is deleted.
    #[error("The specified thread id was not found.")]
    ThreadNotFound,
    /// The caller never took part, or no longer does and asks for more than a removed participant
    /// may.
    #[error("The initiator doesn't have the permission to perform the requested operation.")]
    NotParticipant,
    /// No such message, or one from before the history that is shared with the caller.
    #[error("The specified message id was not found.")]
    MessageNotFound,
    /// Only its sender may edit or delete a message, and nobody a system message.
    #[error("Only the sender of a message may change it.")]
    NotSender,
    /// The token's scopes do not allow the operation.
    #[error("The token's scopes do not allow this operation.")]
    MissingScope,
    /// The feature is off in a thread of this size (profile `azure`, receipts and typing).
    #[error("This operation is not available in threads of more than {limit} participants.")]
    ThreadTooLarge {
        /// The number of participants up to which it is available.
        limit: usize,
    },
    /// A value of the request is not acceptable.
    #[error("{message}")]
    Invalid {
        /// The field at fault, as the wire names it.
        target: &'static str,
        /// What is wrong and what would be right.
        message: String,
    },
    /// An identity that this resource never made, or one that is deleted.
    #[error("Provided identity doesn't belong to the resource.")]
    IdentityNotOwned,
    /// The bearer token is missing, malformed, expired, revoked or of another server.
    #[error("Request is not authorized.")]
    Unauthorized,
    /// The store could not do it: nothing was acknowledged, and trying again may help.
    #[error("The server is currently unable to handle the request.")]
    Store(#[source] StoreFailure),
}

impl Error {
    /// A value of the request that is not acceptable, by the field's name on the wire.
    pub fn invalid(target: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid {
            target,
            message: message.into(),
        }
    }
}

/// What went wrong inside a storage engine, in words for the operator's log. It never holds
/// content.
#[derive(Debug, Clone)]
pub struct StoreFailure(String);

impl StoreFailure {
    /// Describes a failure for the log.
    pub fn new(what: impl fmt::Display) -> Self {
        Self(what.to_string())
    }
}

impl fmt::Display for StoreFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StoreFailure {}

impl From<StoreFailure> for Error {
    fn from(failure: StoreFailure) -> Self {
        Self::Store(failure)
    }
}
