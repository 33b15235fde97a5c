//! The Rust client against the real binary, over TLS with its CA: every public method, in every
//! api-version that the server has.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

#[path = "../cli/harness.rs"]
#[expect(dead_code, reason = "the tests of the command line use the rest")]
mod harness;

mod admin;
mod identity;
mod messages;
mod people;
mod proxy;
mod realtime;
mod resume;
mod threads;
mod transport;

use std::sync::Arc;

use cavansite_client::models::{CommunicationUserIdentifier, TokenScope, UserAndToken};
use cavansite_client::{
    AccessToken, ChatApiVersion, ChatClient, ChatClientOptions, ClientOptions,
    CommunicationIdentityClient, CommunicationIdentityClientOptions, Error, IdentityApiVersion,
    StaticTokenCredential,
};

/// A running server, and clients for it.
struct Service {
    server: harness::Server,
    _home: harness::Home,
}

impl Service {
    fn start() -> Self {
        let home = harness::Home::new();
        let server = home.start(&["dev"]);
        Self {
            server,
            _home: home,
        }
    }

    fn endpoint(&self) -> &str {
        self.server.text("endpoint")
    }

    /// Trusts the server's CA.
    fn options(&self) -> ClientOptions {
        let mut options = ClientOptions::default();
        let ca = std::fs::read(self.server.text("caFile")).unwrap();
        options.additional_root_certificates.push(ca);
        options
    }

    fn identity(&self, version: IdentityApiVersion) -> CommunicationIdentityClient {
        let mut options = CommunicationIdentityClientOptions::default();
        options.client = self.options();
        options.api_version = version;
        let connection_string = self.server.text("connectionString");
        CommunicationIdentityClient::from_connection_string(connection_string, Some(options))
            .unwrap()
    }

    async fn user(&self) -> UserAndToken {
        let identity = self.identity(IdentityApiVersion::default());
        let created = identity.create_user_and_token(&[TokenScope::Chat], None);
        created.await.unwrap().into_model()
    }

    fn chat(&self, token: &AccessToken, version: ChatApiVersion) -> ChatClient {
        let mut options = ChatClientOptions::default();
        options.client = self.options();
        options.api_version = version;
        let credential = StaticTokenCredential::from(token.clone());
        ChatClient::new(self.endpoint(), Arc::new(credential), Some(options)).unwrap()
    }

    /// A new user with a client.
    async fn person(&self, version: ChatApiVersion) -> (CommunicationUserIdentifier, ChatClient) {
        let user = self.user().await;
        let chat = self.chat(&user.access_token, version);
        (user.user, chat)
    }
}

/// Asserts that the server refused with that status and word.
#[track_caller]
fn assert_refused<T>(outcome: Result<T, Error>, status: u16, code: &str) {
    let error = outcome.err().unwrap();
    assert_eq!(error.status(), Some(status), "{error}");
    assert_eq!(error.error_code().unwrap().as_str(), code, "{error}");
    assert!(error.request_id().is_some(), "{error}");
}
