//! A transport that follows a script and remembers what it was asked.

use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use cavansite_client::{
    AccessKeyCredential, ChatClient, ChatClientOptions, ChatThreadClient,
    CommunicationIdentityClient, CommunicationIdentityClientOptions, Error, ErrorKind, RawResponse,
    Request, Result, Secret, StaticTokenCredential, Timestamp, Transport, Upgraded,
};
use http::{HeaderMap, StatusCode};

pub(crate) const ENDPOINT: &str = "https://chat.example.com";

/// What a request meets.
pub(crate) enum Reply {
    /// An answer of that status, as JSON.
    Json(u16, &'static str),
    /// An answer of that status with one header.
    With(u16, (&'static str, String), String),
    /// No answer, for that reason.
    Fails(ErrorKind),
    /// Nothing, for ever.
    Silence,
}

type Script = dyn Fn(&Request, usize) -> Reply + Send + Sync;

pub(crate) struct Mock {
    script: Box<Script>,
    requests: Mutex<Vec<Request>>,
}

impl fmt::Debug for Mock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mock")
    }
}

impl Mock {
    /// The script is told the request and how many came before it.
    pub(crate) fn new(
        script: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            script: Box::new(script),
            requests: Mutex::default(),
        })
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    pub(crate) fn chat_options(self: &Arc<Self>) -> ChatClientOptions {
        let mut options = ChatClientOptions::default();
        options.client.transport = Some(self.clone());
        options
    }

    pub(crate) fn chat(self: &Arc<Self>) -> ChatClient {
        let credential = StaticTokenCredential::new(token("a user")).unwrap();
        ChatClient::new(ENDPOINT, Arc::new(credential), Some(self.chat_options())).unwrap()
    }

    pub(crate) fn thread(self: &Arc<Self>) -> ChatThreadClient {
        self.chat().thread_client("19:thread@thread.v2")
    }

    pub(crate) fn identity(self: &Arc<Self>) -> CommunicationIdentityClient {
        let mut options = CommunicationIdentityClientOptions::default();
        options.client.transport = Some(self.clone());
        let key = AccessKeyCredential::new(KEY).unwrap();
        CommunicationIdentityClient::new(ENDPOINT, key, Some(options)).unwrap()
    }
}

/// An access key.
pub(crate) const KEY: &str = "aHVudGVyMmh1bnRlcjI=";

/// A token that lives an hour, for somebody of that name.
pub(crate) fn token(name: &str) -> Secret {
    token_for(name, 3_600)
}

/// A token that lives so many seconds.
pub(crate) fn token_for(name: &str, seconds: i64) -> Secret {
    let expires = Timestamp::now().as_second() + seconds;
    let claims = format!(r#"{{"name":"{name}","exp":{expires}}}"#);
    Secret::new(format!(
        "head.{}.signature",
        BASE64_URL_SAFE_NO_PAD.encode(claims)
    ))
}

/// The value of a request's header.
pub(crate) fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request
        .headers
        .get(name)
        .map(|value| value.to_str().unwrap())
}

fn answer(status: u16, header: (&'static str, &str), body: String) -> RawResponse {
    let mut headers = HeaderMap::new();
    headers.insert(
        "content-type",
        "application/json; charset=utf-8".parse().unwrap(),
    );
    headers.insert(header.0, header.1.parse().unwrap());
    RawResponse::new(StatusCode::from_u16(status).unwrap(), headers, body)
}

#[async_trait]
impl Transport for Mock {
    async fn send(&self, request: Request) -> Result<RawResponse> {
        let before = {
            let mut requests = self.requests.lock().unwrap();
            requests.push(request.clone());
            requests.len() - 1
        };
        match (self.script)(&request, before) {
            Reply::Json(status, body) => Ok(answer(status, ("x-mock", "yes"), body.to_owned())),
            Reply::With(status, (name, value), body) => Ok(answer(status, (name, &value), body)),
            Reply::Fails(kind) => Err(Error::new(kind, "as the script says")),
            Reply::Silence => std::future::pending().await,
        }
    }

    async fn upgrade(&self, _request: Request) -> Result<Upgraded> {
        Err(Error::new(ErrorKind::Other, "not in these tests"))
    }
}
