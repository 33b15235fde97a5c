//! The chat service of Cavansite without HTTP: rules, identities, tokens and storage.
//!
//! The server's handlers call [`identity::IdentityService`] and [`chat::ChatService`]; those
//! apply the rules and call a [`store::Store`]. Nothing in here knows an api-version, a status
//! code or a wire shape, and the types of [`model`] cannot be serialised: each family of
//! api-versions converts to and from them at the server's edge.

pub mod caller;
pub mod chat;
pub mod clock;
pub mod error;
pub mod events;
pub mod identity;
pub mod limits;
pub mod model;
mod recent;
pub mod secret;
pub mod store;

pub use caller::Caller;
pub use error::{Error, Result};
