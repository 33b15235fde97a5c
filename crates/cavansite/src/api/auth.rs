//! Who is asking: bearer tokens for chat, signatures made with an access key for identity.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use aws_lc_rs::{constant_time, digest, hmac};
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cavansite_core::model::{KeyGeneration, KeySlot};
use cavansite_core::{Caller, Error};
use cavansite_protocol::version::{ChatApiVersion, IdentityApiVersion};
use percent_encoding::percent_decode_str;

use super::body;
use super::error::{ApiError, ApiResult};
use super::target::AsReceived;
use crate::http::{ConnectionInfo, Scheme};
use crate::state::{AppState, host_of, request_authority};

/// What a request comes over that no listener has taken in: a test's.
pub(super) const IN_PROCESS: ConnectionInfo = ConnectionInfo {
    peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
    scheme: Scheme::Https,
};

/// A chat request whose token is good.
pub(super) struct ChatCall {
    pub(super) app: Arc<AppState>,
    pub(super) version: ChatApiVersion,
    pub(super) caller: Caller,
    /// The address that links in the answer begin with.
    pub(super) base_url: String,
}

impl FromRequestParts<Arc<AppState>> for ChatCall {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<AppState>) -> ApiResult<Self> {
        let token = bearer_token(&parts.headers).ok_or(Error::Unauthorized)?;
        let caller = app.identity.authenticate(token).await?;
        let version = settled::<ChatApiVersion>(parts)?;
        let connection = parts.extensions.get().copied().unwrap_or(IN_PROCESS);
        let authority = request_authority(&parts.uri, &parts.headers);
        let base_url = app.base_url(authority, connection);
        Ok(Self {
            app: Arc::clone(app),
            version,
            caller,
            base_url,
        })
    }
}

/// The version that the edge settled. A route of the other service has none of this kind.
fn settled<V: Copy + Send + Sync + 'static>(parts: &Parts) -> ApiResult<V> {
    parts
        .extensions
        .get()
        .copied()
        .ok_or_else(ApiError::version_unsupported)
}

pub(super) fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then(|| token.trim())
}

/// An identity request whose signature is good, with its body.
pub(super) struct IdentityCall {
    pub(super) app: Arc<AppState>,
    pub(super) version: IdentityApiVersion,
    /// The access key that signed it.
    pub(super) key: KeyGeneration,
    pub(super) body: Bytes,
}

/// A request to the operator's routes whose signature is good, with its body.
pub(super) struct AdminCall {
    pub(super) app: Arc<AppState>,
    /// The address that connection strings in the answer name.
    pub(super) base_url: String,
    pub(super) body: Bytes,
}

impl FromRequest<Arc<AppState>> for IdentityCall {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<AppState>) -> ApiResult<Self> {
        let (parts, request_body) = request.into_parts();
        let version = settled::<IdentityApiVersion>(&parts)?;
        let (key, body) = signed(&parts, request_body, app).await?;
        Ok(Self {
            app: Arc::clone(app),
            version,
            key,
            body,
        })
    }
}

impl FromRequest<Arc<AppState>> for AdminCall {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<AppState>) -> ApiResult<Self> {
        let (parts, request_body) = request.into_parts();
        let (_, body) = signed(&parts, request_body, app).await?;
        let connection = parts.extensions.get().copied().unwrap_or(IN_PROCESS);
        let authority = request_authority(&parts.uri, &parts.headers);
        Ok(Self {
            app: Arc::clone(app),
            base_url: app.base_url(authority, connection),
            body,
        })
    }
}

/// The access key that signed a request, and the body that it signed.
async fn signed(
    parts: &Parts,
    body: axum::body::Body,
    app: &AppState,
) -> ApiResult<(KeyGeneration, Bytes)> {
    // The signature covers the body's hash, so that nothing is read from who has no key.
    let signature = Signature::of(parts, app)?;
    let key = signature.verify(parts, app)?;
    let request = Request::from_parts(parts.clone(), body);
    let body = body::read(request, app.body_bytes_max).await?;
    signature.verify_body(&body)?;
    // The body may have come slowly.
    if !app.identity.installation().has_key(key) {
        return Err(ApiError::denied("The access key was replaced."));
    }
    Ok((key, body))
}

/// The parts of an `HMAC-SHA256 SignedHeaders=…&Signature=…` authorization.
struct Signature<'a> {
    signed_headers: Vec<&'a str>,
    value: Vec<u8>,
    content_hash: &'a str,
}

impl<'a> Signature<'a> {
    /// Reads a request's signature and checks what needs neither key nor body: that all parts are
    /// there, and the date.
    fn of(parts: &'a Parts, app: &AppState) -> ApiResult<Self> {
        let header = |name: &str| {
            parts
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        let authorization = header("authorization")
            .ok_or_else(|| ApiError::denied("The request carries no signature."))?;
        let malformed = || {
            ApiError::denied(
                "The authorization must be 'HMAC-SHA256 SignedHeaders=...&Signature=...'.",
            )
        };
        let (scheme, fields) = authorization.split_once(' ').ok_or_else(malformed)?;
        if !scheme.eq_ignore_ascii_case("HMAC-SHA256") {
            return Err(malformed());
        }
        let field = |name: &str| {
            fields.split('&').find_map(|field| {
                let (key, value) = field.split_once('=')?;
                key.eq_ignore_ascii_case(name).then_some(value)
            })
        };
        let names = field("SignedHeaders").ok_or_else(malformed)?;
        let value = field("Signature").ok_or_else(malformed)?;
        let value = BASE64_STANDARD.decode(value).map_err(|_| malformed())?;
        let signed_headers: Vec<_> = names.split(';').take(SIGNABLE.len() + 1).collect();
        let host = request_authority(&parts.uri, &parts.headers);
        if signed_headers.len() > SIGNABLE.len() || host.len() > HOST_BYTES_MAX {
            return Err(malformed());
        }
        let content_hash = header("x-ms-content-sha256").ok_or_else(|| {
            ApiError::denied("The request carries no 'x-ms-content-sha256' header.")
        })?;
        let signed = |name: &str| signed_headers.iter().any(|h| h.eq_ignore_ascii_case(name));
        // With x-ms-date present, Date does not count (as the hosted service has it).
        let date_name = if signed("x-ms-date") {
            "x-ms-date"
        } else {
            "date"
        };
        let known = signed_headers
            .iter()
            .all(|name| SIGNABLE.contains(&name.to_ascii_lowercase().as_str()));
        if !known || !signed("host") || !signed("x-ms-content-sha256") || !signed(date_name) {
            return Err(ApiError::denied(
                "The signed headers must be a date, 'host' and 'x-ms-content-sha256'.",
            ));
        }
        let now = app.clock.now().as_millis();
        match header(date_name).and_then(http_date_millis) {
            Some(date) if now.abs_diff(date) <= app.date_skew_ms.unsigned_abs() => {}
            Some(_) => return Err(ApiError::denied("The request's date is too far off.")),
            None => {
                return Err(ApiError::denied(
                    "The request's date is missing or malformed.",
                ));
            }
        }
        Ok(Self {
            signed_headers,
            value,
            content_hash,
        })
    }

    /// Refuses a body other than the one that was signed.
    fn verify_body(&self, body: &[u8]) -> ApiResult<()> {
        let hash = BASE64_STANDARD.encode(digest::digest(&digest::SHA256, body));
        constant_time::verify_slices_are_equal(hash.as_bytes(), self.content_hash.as_bytes())
            .map_err(|_| {
                ApiError::denied(
                    "Request 'x-ms-content-sha256' differs from generated content hash.",
                )
            })
    }

    /// The access key that made the signature.
    ///
    /// SDKs sign what they believe to send: some lose the leading slash of the path, decode it,
    /// sign the host without its port or with a slash behind it. Each such variant is tried; all
    /// need the key.
    fn verify(&self, parts: &Parts, app: &AppState) -> ApiResult<KeyGeneration> {
        let targets = signed_targets(parts);
        let hosts = signed_hosts(parts, app);
        let installation = app.identity.installation();
        for slot in KeySlot::ALL {
            let key = installation.access_key(slot).key.expose();
            let key = hmac::Key::new(hmac::HMAC_SHA256, key);
            for target in &targets {
                for host in &hosts {
                    let text = self.string_to_sign(parts, target, host);
                    if hmac::verify(&key, text.as_bytes(), &self.value).is_ok() {
                        return Ok(installation.key_generation(slot));
                    }
                }
            }
        }
        Err(ApiError::denied("The request's signature does not match."))
    }

    /// `<VERB>\n<path and query>\n<the signed headers' values, in their order, joined by ;>`.
    fn string_to_sign(&self, parts: &Parts, target: &str, host: &str) -> String {
        let values: Vec<_> = self
            .signed_headers
            .iter()
            .map(|name| {
                if name.eq_ignore_ascii_case("host") {
                    host
                } else {
                    parts
                        .headers
                        .get(*name)
                        .and_then(|v| v.to_str().ok())
                        .unwrap_or_default()
                }
            })
            .collect();
        format!("{}\n{target}\n{}", parts.method, values.join(";"))
    }
}

/// The longest host that is looked at, in bytes, as long as a name in the DNS may be, and a port.
const HOST_BYTES_MAX: usize = 253 + 6;

/// The headers that a signature may cover, each once.
const SIGNABLE: [&str; 4] = ["x-ms-date", "date", "host", "x-ms-content-sha256"];

/// The paths and queries that an SDK may have signed for this request.
fn signed_targets(parts: &Parts) -> Vec<Cow<'_, str>> {
    let uri: &Uri = parts
        .extensions
        .get::<AsReceived>()
        .map_or(&parts.uri, |received| &received.0);
    let raw = uri.path_and_query().map_or("/", |target| target.as_str());
    let mut targets = vec![Cow::Borrowed(raw)];
    if let Ok(decoded) = percent_decode_str(raw).decode_utf8() {
        targets.push(decoded);
    }
    let bare: Vec<_> = targets
        .iter()
        .filter_map(|target| {
            target
                .strip_prefix('/')
                .map(|bare| Cow::Owned(bare.to_owned()))
        })
        .collect();
    targets.extend(bare);
    targets
}

/// The hosts that an SDK may have signed for this request: as received, and as the public URL
/// names it, for a proxy that replaces the header.
fn signed_hosts(parts: &Parts, app: &AppState) -> Vec<String> {
    let received = request_authority(&parts.uri, &parts.headers);
    [Some(received), app.public_authority()]
        .into_iter()
        .flatten()
        .flat_map(|host| {
            [
                host.to_owned(),
                host_of(host).to_owned(),
                format!("{host}/"),
            ]
        })
        .collect()
}

/// An HTTP date in milliseconds since the epoch.
fn http_date_millis(text: &str) -> Option<i64> {
    let time = httpdate::parse_http_date(text).ok()?;
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
}
