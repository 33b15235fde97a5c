//! client

mod chat;
mod credential;
mod error;
mod limits;
mod options;
mod pipeline;
mod response;
mod retry;
mod secret;
mod text_enum;
mod transport;
mod version;

pub use chat::{ChatClient, ChatClientOptions, ChatThreadClient};
pub use credential::{
    AccessKeyCredential, AccessToken, RefreshingTokenCredential, RefreshingTokenCredentialOptions,
    StaticTokenCredential, TokenCredential,
};
pub use error::{Error, ErrorCode, ErrorKind, Result};
pub use options::{ClientOptions, MethodOptions, RetryOptions};
pub use response::Response;
pub use secret::Secret;
pub use transport::{HttpTransport, RawResponse, Request, Transport, Upgraded};
pub use version::{ChatApiVersion, IdentityApiVersion};
