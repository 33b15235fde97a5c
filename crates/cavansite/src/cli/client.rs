//! The Rust client, as commands use it to talk to the running server.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use cavansite_client::{
    AccessKeyCredential, CavansiteAdminClient, ClientOptions, CommunicationIdentityClient,
    CommunicationIdentityClientOptions, Error, ErrorKind,
};

use super::Failure;
use super::transport::LocalTransport;
use crate::ready::Ready;

/// How long a request may take, all in all.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// The running server as a client on this machine reaches it: at its local address, under a name
/// that its certificate is for.
pub(super) struct Connection {
    pub(super) endpoint: String,
    pub(super) options: ClientOptions,
    access_key: AccessKeyCredential,
}

impl Connection {
    pub(super) fn new(ready: &Ready) -> Result<Self, Failure> {
        let mut options = ClientOptions::default();
        options.transport = Some(Arc::new(LocalTransport::new(ready)?));
        options.application_id = Some(concat!("cavansite/", env!("CARGO_PKG_VERSION")).to_owned());
        options.attempt_timeout = TIMEOUT;
        // Whoever typed the command sees at once what is wrong, and may type it again.
        options.retry.max_retries = 0;
        let access_key = ready
            .access_key()
            .ok_or_else(|| Failure::new("the ready file holds no access key"))?;
        Ok(Self {
            endpoint: ready.local_endpoint(),
            options,
            access_key: AccessKeyCredential::new(access_key)?,
        })
    }

    pub(super) fn identity_client(&self) -> Result<CommunicationIdentityClient, Failure> {
        let mut options = CommunicationIdentityClientOptions::default();
        options.client = self.options.clone();
        let key = self.access_key.clone();
        Ok(CommunicationIdentityClient::new(
            &self.endpoint,
            key,
            Some(options),
        )?)
    }

    pub(super) fn admin_client(&self) -> Result<CavansiteAdminClient, Failure> {
        let (key, options) = (self.access_key.clone(), self.options.clone());
        Ok(CavansiteAdminClient::new(
            &self.endpoint,
            key,
            Some(options),
        )?)
    }
}

/// Runs what a command does with the server to its end. Its failure names the server.
pub(super) fn talk<T>(
    ready: &Ready,
    work: impl AsyncFnOnce(Connection) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let connection = Connection::new(ready)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(work(connection)).map_err(|failure| {
        let message = format!("{}: {}", ready.endpoint, failure.message);
        Failure { message, ..failure }
    })
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        if let ErrorKind::HttpResponse { .. } = error.kind() {
            return Self::new(format!("the server answered {error}"));
        }
        // What it comes from in the end, "Connection refused", tells more than the layers between.
        let mut cause = error.source();
        while let Some(deeper) = cause.and_then(|cause| cause.source()) {
            cause = Some(deeper);
        }
        match cause {
            Some(cause) => Self::new(format!("{error}: {cause}")),
            None => Self::new(error),
        }
    }
}
