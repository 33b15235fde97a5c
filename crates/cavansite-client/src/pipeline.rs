//! The way of every request: ids, credentials, attempts, and what an answer means.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tracing::Instrument as _;
use url::{Host, Url};

use crate::credential::{AccessKeyCredential, AccessToken, TokenCredential};
use crate::retry::{self, Repeat};
use crate::transport::{HttpTransport, RawResponse, Request, ShownUrl, Transport};
use crate::{ClientOptions, Error, ErrorKind, Response, Result, RetryOptions};

pub(crate) const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-client-request-id");
const CONTENT_SHA256: HeaderName = HeaderName::from_static("x-ms-content-sha256");
const DATE: HeaderName = HeaderName::from_static("x-ms-date");
const API_VERSION: &str = "api-version";

/// How the requests of a client are authorised.
#[derive(Debug, Clone)]
pub(crate) enum Authorization {
    Bearer(Arc<dyn TokenCredential>),
    Key(AccessKeyCredential),
}

/// A request that a method makes.
#[derive(Debug)]
pub(crate) struct Call {
    /// The method's name, for spans.
    operation: &'static str,
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Bytes,
    repeat: Repeat,
    timeout: Option<Duration>,
}

impl Call {
    /// A call without a body, whose repetition is harmless if its method is not POST.
    pub(crate) fn new(operation: &'static str, method: Method, url: Url) -> Self {
        let repeat = if method == Method::POST {
            Repeat::Harmful
        } else {
            Repeat::Harmless
        };
        Self {
            operation,
            method,
            url,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            repeat,
            timeout: None,
        }
    }

    /// A POST that does no more when it is done twice.
    pub(crate) fn harmless(mut self) -> Self {
        self.repeat = Repeat::Harmless;
        self
    }

    /// With that body as JSON. PATCH bodies are `application/merge-patch+json`.
    pub(crate) fn json(mut self, body: &impl Serialize) -> Result<Self> {
        let body = serde_json::to_vec(body).map_err(|error| {
            Error::with_source(
                ErrorKind::InvalidInput,
                "the request cannot be written",
                error,
            )
        })?;
        self.body = body.into();
        let content_type = if self.method == Method::PATCH {
            "application/merge-patch+json"
        } else {
            "application/json"
        };
        self.headers
            .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        Ok(self)
    }

    /// With one more header.
    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Result<Self> {
        let value = HeaderValue::from_str(value).map_err(|_| no_header())?;
        self.headers.insert(name, value);
        Ok(self)
    }

    /// To be over after that time.
    pub(crate) fn timeout(mut self, timeout: Option<Duration>) -> Self {
        self.timeout = timeout;
        self
    }
}

/// A header's value that is never shown.
pub(crate) fn sensitive(text: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(text).map_err(|_| no_header())?;
    value.set_sensitive(true);
    Ok(value)
}

fn no_header() -> Error {
    Error::input("a value that is to be a header has characters it cannot have")
}

/// What a client's handles share.
#[derive(Debug)]
pub(crate) struct Pipeline {
    endpoint: Url,
    api_version: &'static str,
    authorization: Authorization,
    transport: Arc<dyn Transport>,
    retry: RetryOptions,
    attempt_timeout: Duration,
    allow_plain_http_to_loopback: bool,
    user_agent: HeaderValue,
}

impl Pipeline {
    pub(crate) fn new(
        endpoint: &str,
        api_version: &'static str,
        authorization: Authorization,
        options: &ClientOptions,
    ) -> Result<Self> {
        let endpoint = Url::parse(endpoint).map_err(|error| {
            Error::with_source(ErrorKind::InvalidInput, "the endpoint is no URL", error)
        })?;
        if has_more_than_a_place(&endpoint) {
            return Err(Error::input(
                "the endpoint must be an address without user, query and fragment",
            ));
        }
        let product = concat!("cavansite-client/", env!("CARGO_PKG_VERSION"));
        let user_agent = match &options.application_id {
            Some(id) => HeaderValue::from_str(&format!("{id} {product}"))
                .map_err(|_| Error::input("the application id cannot be a header"))?,
            None => HeaderValue::from_static(product),
        };
        let transport = match &options.transport {
            Some(transport) => transport.clone(),
            None => Arc::new(HttpTransport::new(options)?),
        };
        let pipeline = Self {
            endpoint,
            api_version,
            authorization,
            transport,
            retry: options.retry.clone(),
            attempt_timeout: options.attempt_timeout,
            allow_plain_http_to_loopback: options.allow_plain_http_to_loopback,
            user_agent,
        };
        pipeline.check_is_private(&pipeline.endpoint)?;
        Ok(pipeline)
    }

    /// The URL of a path below the endpoint, with the api-version.
    pub(crate) fn url<'a>(&self, segments: impl IntoIterator<Item = &'a str>) -> Result<Url> {
        let mut url = self.endpoint.clone();
        {
            let mut path = url
                .path_segments_mut()
                .map_err(|()| Error::input("the endpoint has no path"))?;
            path.pop_if_empty();
            for segment in segments {
                // Neither would become a segment of its own.
                if matches!(segment, "" | "." | "..") {
                    return Err(Error::input("an id is empty, or a dot"));
                }
                path.push(segment);
            }
        }
        url.query_pairs_mut()
            .append_pair(API_VERSION, self.api_version);
        Ok(url)
    }

    /// The URL that a page names as that of the next one, if it may be followed: the token that
    /// goes along is for this endpoint alone.
    pub(crate) fn link(&self, base: &Url, link: &str) -> Result<Url> {
        let mut url = base
            .join(link)
            .map_err(|_| Error::data("the link to the next page is no URL"))?;
        if url.origin() != self.endpoint.origin()
            || !url.username().is_empty()
            || url.password().is_some()
        {
            return Err(Error::data(
                "the link to the next page leads to another origin",
            ));
        }
        url.set_fragment(None);
        if !url.query_pairs().any(|(name, _)| name == API_VERSION) {
            url.query_pairs_mut()
                .append_pair(API_VERSION, self.api_version);
        }
        Ok(url)
    }

    /// Sends an authorised request and reads the model of its answer.
    pub(crate) async fn model<T: DeserializeOwned>(&self, call: Call) -> Result<Response<T>> {
        let (response, id) = self.send(call).await?;
        let model = read(&response).map_err(|error| error.with_request_id(&id))?;
        Ok(Response::new(response, id, model))
    }

    /// Sends an authorised request whose answer says nothing but that it is done.
    pub(crate) async fn done(&self, call: Call) -> Result<Response<()>> {
        let (response, id) = self.send(call).await?;
        Ok(Response::new(response, id, ()))
    }

    /// Sends an authorised request, and again as [`RetryOptions`] say. Gives the answer, which is
    /// one of success, and the request's id.
    pub(crate) async fn send(&self, call: Call) -> Result<(RawResponse, String)> {
        self.in_span(call, Some(&self.authorization)).await
    }

    /// Sends a request to any address with its own headers and nothing of this client's credential,
    /// in one attempt. Gives the answer whatever its status; [`Self::refusal`] makes it an error.
    #[cfg(feature = "realtime")]
    pub(crate) async fn exchange(
        &self,
        mut request: Request,
        timeout: Duration,
    ) -> Result<RawResponse> {
        self.check_is_private(&request.url)?;
        request.headers.insert(USER_AGENT, self.user_agent.clone());
        let secrets = request.headers.clone();
        let answer = within(timeout, self.transport.send(request)).await;
        answer.map_err(|error| without_secrets(error, &secrets))
    }

    /// The error that an answer without success to a request with these headers stands for.
    #[cfg(feature = "realtime")]
    pub(crate) fn refusal(answer: &RawResponse, headers: &HeaderMap) -> Error {
        without_secrets(Error::from_response(answer), headers)
    }

    /// Refuses an address that a server gave for further requests, unless tokens may be sent there.
    #[cfg(feature = "realtime")]
    pub(crate) fn check_place(&self, url: &Url) -> Result<()> {
        if has_more_than_a_place(url) || self.check_is_private(url).is_err() {
            return Err(Error::data(
                "the server gave an address that tokens are not sent to",
            ));
        }
        Ok(())
    }

    /// Upgrades a connection to any address, with the request's own headers, in one attempt.
    #[cfg(feature = "realtime")]
    pub(crate) async fn upgrade(&self, mut request: Request) -> Result<crate::Upgraded> {
        self.check_is_private(&request.url)?;
        request.headers.insert(USER_AGENT, self.user_agent.clone());
        let secrets = request.headers.clone();
        let upgraded = within(self.attempt_timeout, self.transport.upgrade(request)).await;
        upgraded.map_err(|error| without_secrets(error, &secrets))
    }

    /// The token with which requests would be sent now; none with an access key.
    pub(crate) async fn token(&self) -> Result<AccessToken> {
        match &self.authorization {
            Authorization::Bearer(credential) => self.ask(credential.as_ref()).await,
            Authorization::Key(_) => Err(Error::credential("an access key is no token")),
        }
    }

    /// A token, in bounded time. While it is waited for, nothing has been sent.
    async fn ask(&self, credential: &dyn TokenCredential) -> Result<AccessToken> {
        let time = self.attempt_timeout;
        let given = tokio::time::timeout(time, credential.get_token()).await;
        given.unwrap_or_else(|_| Err(Error::credential(format!("no token came within {time:?}"))))
    }

    /// Told that the server refused this token elsewhere than in an answer to [`Self::send`].
    pub(crate) fn refused(&self, token: &AccessToken) {
        if let Authorization::Bearer(credential) = &self.authorization {
            credential.refused(token);
        }
    }

    /// Refuses to send secrets where others can read them.
    fn check_is_private(&self, url: &Url) -> Result<()> {
        let loopback = || match url.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        };
        match url.scheme() {
            "https" => Ok(()),
            "http" if self.allow_plain_http_to_loopback && loopback() => Ok(()),
            "http" => Err(Error::input(
                "plain HTTP is for this machine only, and has to be allowed",
            )),
            _ => Err(Error::input("an address must begin with https://")),
        }
    }

    async fn in_span(
        &self,
        call: Call,
        authorization: Option<&Authorization>,
    ) -> Result<(RawResponse, String)> {
        let id = new_id()?;
        let span =
            tracing::debug_span!("cavansite_client", operation = call.operation, request_id = %id);
        let timeout = call.timeout;
        let attempts = self.attempts(call, authorization, &id);
        let outcome = async {
            match timeout {
                Some(timeout) => within(timeout, attempts).await,
                None => attempts.await,
            }
        };
        match outcome.instrument(span).await {
            Ok(response) => Ok((response, id)),
            Err(error) => Err(error.with_request_id(&id)),
        }
    }

    async fn attempts(
        &self,
        call: Call,
        authorization: Option<&Authorization>,
        id: &str,
    ) -> Result<RawResponse> {
        self.check_is_private(&call.url)?;
        let mut request = Request::new(call.method, call.url);
        request.headers = call.headers;
        request.body = call.body;
        let headers = &mut request.headers;
        headers.insert(USER_AGENT, self.user_agent.clone());
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Ok(id) = HeaderValue::from_str(id) {
            headers.insert(CLIENT_REQUEST_ID, id);
        }
        let start = Instant::now();
        let mut renewed = false;
        let mut number = 0;
        loop {
            let (request, used) = self.authorize(&request, authorization).await?;
            let error = match within(self.attempt_timeout, self.attempt(request)).await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            if error.is_status(StatusCode::UNAUTHORIZED)
                && let Some(token) = used
                && self.renew(&token).await
                && !renewed
            {
                // There is another token, and the server has done nothing yet.
                renewed = true;
                continue;
            }
            if number >= self.retry.max_retries || !retry::is_worthwhile(call.repeat, &error) {
                return Err(error);
            }
            let delay = retry::delay(&self.retry, number, &error);
            if start.elapsed().saturating_add(delay) > self.retry.max_elapsed {
                return Err(error);
            }
            tracing::debug!(%error, ?delay, "trying again");
            tokio::time::sleep(delay).await;
            number += 1;
        }
    }

    /// The request of one attempt, and the token that goes along.
    async fn authorize(
        &self,
        request: &Request,
        authorization: Option<&Authorization>,
    ) -> Result<(Request, Option<AccessToken>)> {
        let mut request = request.clone();
        match authorization {
            Some(Authorization::Bearer(credential)) => {
                let token = self.ask(credential.as_ref()).await?;
                let value = sensitive(&format!("Bearer {}", token.token.expose()));
                let value = value.map_err(|_| Error::credential("the token cannot be a header"))?;
                request.headers.insert(AUTHORIZATION, value);
                Ok((request, Some(token)))
            }
            Some(Authorization::Key(key)) => {
                let now = Timestamp::now();
                let signed = key.sign(&request.method, &request.url, &request.body, now);
                let headers = &mut request.headers;
                headers.insert(AUTHORIZATION, sensitive(&signed.authorization)?);
                headers.insert(CONTENT_SHA256, sensitive(&signed.content_hash)?);
                headers.insert(DATE, sensitive(&signed.date)?);
                Ok((request, None))
            }
            None => Ok((request, None)),
        }
    }

    /// Sends once.
    async fn attempt(&self, request: Request) -> Result<RawResponse> {
        let secrets = request.headers.clone();
        tracing::debug!(method = %request.method, url = %ShownUrl(&request.url), "sending");
        let response = self.transport.send(request).await?;
        tracing::debug!(status = response.status.as_u16(), "answered");
        if response.status.is_success() {
            Ok(response)
        } else {
            Err(without_secrets(Error::from_response(&response), &secrets))
        }
    }

    /// Tells the credential that its token was refused; whether it has another one.
    async fn renew(&self, refused: &AccessToken) -> bool {
        self.refused(refused);
        match self.token().await {
            Ok(token) => token.token != refused.token,
            Err(error) => {
                tracing::debug!(%error, "no other token");
                false
            }
        }
    }
}

/// Whether a URL has parts that an endpoint cannot have.
fn has_more_than_a_place(url: &Url) -> bool {
    !url.has_host()
        || !url.username().is_empty()
        || url.password().is_some()
        || url.query().is_some()
        || url.fragment().is_some()
}

/// Bounds a step in time.
async fn within<T>(time: Duration, step: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(time, step).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Error::new(
            ErrorKind::Timeout,
            format!("nothing came within {time:?}"),
        )),
    }
}

/// The error without what the request's secret headers held, should the server have sent it back.
fn without_secrets(mut error: Error, headers: &HeaderMap) -> Error {
    for value in headers.values().filter(|value| value.is_sensitive()) {
        let Ok(value) = value.to_str() else { continue };
        let secret = value.strip_prefix("Bearer ").unwrap_or(value);
        error = error.without(secret);
    }
    error
}

/// A new random id, for a request or for what it creates.
pub(crate) fn new_id() -> Result<String> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| Error::new(ErrorKind::Other, "the system has no randomness"))?;
    Ok(uuid::Builder::from_random_bytes(bytes)
        .into_uuid()
        .to_string())
}

/// Reads an answer as JSON. What it held is not repeated in the error: it may be a token.
pub(crate) fn read<T: DeserializeOwned>(response: &RawResponse) -> Result<T> {
    let is_json = response.header("content-type").is_none_or(|value| {
        let kind = value.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("application/json")
            || kind.to_ascii_lowercase().ends_with("+json")
    });
    if !is_json {
        return Err(Error::data(format!(
            "the answer ({}) is no JSON",
            response.status
        )));
    }
    serde_json::from_slice(&response.body).map_err(|error| {
        let what = match error.classify() {
            serde_json::error::Category::Eof => "ends too early",
            serde_json::error::Category::Data => "has another shape than it should",
            _ => "is no JSON",
        };
        let (line, column) = (error.line(), error.column());
        let status = response.status;
        Error::data(format!(
            "the answer ({status}) {what}, at line {line} column {column}"
        ))
    })
}
