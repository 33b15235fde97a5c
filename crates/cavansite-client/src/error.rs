//! The one error of the crate.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use http::StatusCode;

use crate::limits::{ERROR_BODY_BYTES_MAX, ERROR_MESSAGE_BYTES_MAX};
use crate::text_enum::text_enum;
use crate::transport::RawResponse;

/// What the methods of this crate return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of thing went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The server answered, and not with success. A redirect is one of these: none is followed.
    #[non_exhaustive]
    HttpResponse {
        /// The HTTP status.
        status: u16,
        /// The service's word for it, where the body has one.
        error_code: Option<ErrorCode>,
    },
    /// No connection was made, so the server has seen nothing of the request.
    Connection,
    /// No connection was made, because TLS failed: mostly a certificate whose authority is not
    /// trusted (see
    /// [`additional_root_certificates`](crate::ClientOptions::additional_root_certificates)).
    /// Waiting does not help, so it is not tried again.
    Tls,
    /// The connection broke after it was made; the server may or may not have acted.
    Io,
    /// Nothing came within the time that was given; the server may or may not have acted.
    Timeout,
    /// The server's answer is not what it should be: no JSON, another shape, too long, a link to
    /// another origin.
    DataConversion,
    /// No token could be had, or a credential makes no sense.
    Credential,
    /// An argument was refused before anything was sent.
    InvalidInput,
    /// The real-time connection failed.
    Realtime,
    /// Anything else.
    Other,
}

text_enum! {
    /// The words with which the services say what went wrong.
    ErrorCode {
        /// The version is missing (400).
        ApiVersionUnspecified = "ApiVersionUnspecified",
        /// The request makes no sense (400).
        BadRequest = "BadRequest",
        /// A signature is wrong or too old (401).
        Denied = "Denied",
        /// The user may not do that (403).
        Forbidden = "Forbidden",
        /// The identity belongs to another resource, or is gone (401).
        IdentityNotOwned = "IdentityNotOwned",
        /// A token of another directory is not valid (401).
        InvalidAccessToken = "InvalidAccessToken",
        /// There is no such thread or message (404).
        NotFound = "NotFound",
        /// The service is not there for the moment (503).
        ServiceUnavailable = "ServiceUnavailable",
        /// Too many requests in too short a time (429).
        TooManyRequests = "TooManyRequests",
        /// The token is missing, expired or revoked (401).
        Unauthorized = "Unauthorized",
        /// The server does not speak this api-version (400).
        UnsupportedApiVersion = "UnsupportedApiVersion",
        /// A value is out of bounds (400).
        ValidationError = "ValidationError",
    }
}

/// What went wrong, in a form that programs can act upon and people can read.
///
/// It never holds a token or a key, and of URLs it names neither host nor query.
///
/// ```
/// use cavansite_client::{Error, ErrorCode};
///
/// fn is_gone(error: &Error) -> bool {
///     error.status() == Some(404) && error.error_code() == Some(&ErrorCode::NotFound)
/// }
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: Cow<'static, str>,
    source: Option<Box<dyn StdError + Send + Sync>>,
    request_id: Option<String>,
    retry_after: Option<Duration>,
}

impl Error {
    /// An error of that kind, for a [`Transport`](crate::Transport) or a credential of your own.
    ///
    /// ```
    /// use cavansite_client::{Error, ErrorKind};
    ///
    /// let error = Error::new(ErrorKind::Connection, "the cable is not plugged in");
    /// assert_eq!(error.to_string(), "the cable is not plugged in");
    /// ```
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            source: None,
            request_id: None,
            retry_after: None,
        }))
    }

    /// The same with what caused it.
    ///
    /// ```
    /// use cavansite_client::{Error, ErrorKind};
    ///
    /// let cause = std::io::Error::other("a bad day");
    /// let error = Error::with_source(ErrorKind::Io, "the connection broke", cause);
    /// assert!(std::error::Error::source(&error).is_some());
    /// ```
    pub fn with_source(
        kind: ErrorKind,
        message: impl Into<Cow<'static, str>>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        let mut error = Self::new(kind, message);
        error.0.source = Some(source.into());
        error
    }

    /// What kind of error it is.
    ///
    /// ```
    /// use cavansite_client::{Error, ErrorKind};
    ///
    /// /// Whether the message may have been sent all the same.
    /// fn is_open(error: &Error) -> bool {
    ///     matches!(error.kind(), ErrorKind::Io | ErrorKind::Timeout)
    /// }
    /// ```
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// The HTTP status, where the server answered.
    ///
    /// ```
    /// fn may_not(error: &cavansite_client::Error) -> bool {
    ///     error.status() == Some(403)
    /// }
    /// ```
    pub fn status(&self) -> Option<u16> {
        match self.0.kind {
            ErrorKind::HttpResponse { status, .. } => Some(status),
            _ => None,
        }
    }

    /// The service's word for what went wrong, where its answer had one.
    ///
    /// ```
    /// use cavansite_client::{Error, ErrorCode};
    ///
    /// fn is_foreign(error: &Error) -> bool {
    ///     error.error_code() == Some(&ErrorCode::IdentityNotOwned)
    /// }
    /// ```
    pub fn error_code(&self) -> Option<&ErrorCode> {
        match &self.0.kind {
            ErrorKind::HttpResponse { error_code, .. } => error_code.as_ref(),
            _ => None,
        }
    }

    /// The id of the request, as the server's log has it, where one was made.
    ///
    /// ```
    /// fn report(error: &cavansite_client::Error) -> String {
    ///     format!("request {}", error.request_id().unwrap_or("never made"))
    /// }
    /// ```
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// How long the server asked to be left alone, where it said so.
    ///
    /// ```
    /// fn wait(error: &cavansite_client::Error) -> std::time::Duration {
    ///     error.retry_after().unwrap_or_default()
    /// }
    /// ```
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The error that an answer without success stands for.
    pub(crate) fn from_response(response: &RawResponse) -> Self {
        let body = &response.body[..response.body.len().min(ERROR_BODY_BYTES_MAX)];
        let said = Said::read(body);
        let status = response.status;
        let mut message = status.to_string();
        if status.is_redirection() {
            message.push_str(": a redirect, which is not followed");
        }
        for part in [said.code.as_deref(), said.message.as_deref()] {
            if let Some(part) = part.filter(|part| !part.is_empty()) {
                message.push_str(": ");
                message.push_str(shorten(part));
            }
        }
        let mut error = Self::new(
            ErrorKind::HttpResponse {
                status: status.as_u16(),
                error_code: said.code.as_deref().map(shorten).map(ErrorCode::from),
            },
            message,
        );
        error.0.retry_after = crate::retry::retry_after(response);
        error
    }

    pub(crate) fn with_request_id(mut self, id: &str) -> Self {
        self.0.request_id.get_or_insert_with(|| id.to_owned());
        self
    }

    /// Takes a secret out of the text, which a server may have sent back in its message.
    pub(crate) fn without(mut self, secret: &str) -> Self {
        if !secret.is_empty() && self.0.message.contains(secret) {
            self.0.message = self.0.message.replace(secret, "[secret]").into();
        }
        if let ErrorKind::HttpResponse {
            error_code: Some(ErrorCode::UnknownValue(word)),
            ..
        } = &mut self.0.kind
            && !secret.is_empty()
            && word.contains(secret)
        {
            *word = word.replace(secret, "[secret]");
        }
        self
    }

    pub(crate) fn input(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    pub(crate) fn data(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::DataConversion, message)
    }

    pub(crate) fn credential(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Credential, message)
    }

    /// Whether the answer had that status.
    pub(crate) fn is_status(&self, status: StatusCode) -> bool {
        self.status() == Some(status.as_u16())
    }
}

/// As much of a server's text as an error repeats, in one line's worth of characters.
fn shorten(text: &str) -> &str {
    let mut end = text.len().min(ERROR_MESSAGE_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// What an error body says, in whichever of the shapes it has.
#[derive(Default)]
struct Said {
    code: Option<String>,
    message: Option<String>,
}

impl Said {
    /// Reads `{"error":{…}}` (the documents), `{"CommunicationError":{…}}` and `{"Error":{…}}`
    /// (what the hosted chat service sends), and `{"code","message"}` in either case, flat. What is
    /// none of these, or no JSON, says nothing.
    fn read(body: &[u8]) -> Self {
        use serde_json::{Map, Value};
        fn get<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
            let mut fields = map.iter();
            fields.find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
        }
        let Ok(Value::Object(map)) = serde_json::from_slice(body) else {
            return Self::default();
        };
        let inner = ["error", "communicationError"]
            .into_iter()
            .find_map(|name| get(&map, name)?.as_object());
        let text = |name| {
            let value = get(inner.unwrap_or(&map), name)?;
            value.as_str().map(str::to_owned)
        };
        Self {
            code: text("code"),
            message: text("message"),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if let Some(id) = &self.0.request_id {
            write!(f, " (request {id})")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("message", &self.0.message)
            .field("request_id", &self.0.request_id)
            .field("retry_after", &self.0.retry_after)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let source = self.0.source.as_deref()?;
        Some(source)
    }
}
