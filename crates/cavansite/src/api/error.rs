//! Refusals: which status and code each error of the core gets, and in which shape it is sent.
//! Here and nowhere else.

use std::borrow::Cow;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use cavansite_core::Error;
use cavansite_protocol::error::{
    CommunicationErrorResponse, FlatError, HostedError, HostedErrorResponse,
};

use super::version::Service;

/// What a handler returns.
pub(super) type ApiResult<T> = Result<T, ApiError>;

/// A refusal without its shape, which [`render`] gives it on the way out.
#[derive(Debug, Clone)]
pub(super) struct ApiError {
    status: StatusCode,
    code: Code,
    message: Cow<'static, str>,
    target: Option<&'static str>,
}

/// The word for programs.
#[derive(Debug, Clone, Copy)]
enum Code {
    /// The same in both services.
    Named(&'static str),
    /// `BadRequest` in chat, `ValidationError` in identity.
    Invalid,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            code: Code::Named(code),
            message: message.into(),
            target: None,
        }
    }

    /// 400 for a value that cannot be accepted.
    pub(super) fn invalid(
        target: Option<&'static str>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            code: Code::Invalid,
            message: message.into(),
            target,
        }
    }

    /// 401 of a signed request that does not hold.
    pub(super) fn denied(message: &'static str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Denied", message)
    }

    /// 400 for a request without a version.
    pub(super) fn version_unspecified() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "ApiVersionUnspecified",
            "An API version is required, but was not specified.",
        )
    }

    /// 400 for a version that is not served, or that does not have the operation.
    pub(super) fn version_unsupported() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "UnsupportedApiVersion",
            "The HTTP resource that matches the request does not support this API version.",
        )
    }

    /// 404 for a path that leads nowhere.
    pub(super) fn no_such_resource() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "NotFound",
            "There is no such resource.",
        )
    }

    /// 405.
    pub(super) fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "MethodNotAllowed",
            "The resource does not support this method.",
        )
    }

    /// 421 for a host that is not this server's.
    pub(super) fn misdirected() -> Self {
        Self::new(
            StatusCode::MISDIRECTED_REQUEST,
            "MisdirectedRequest",
            "This server does not answer to that host name; --host NAME adds one.",
        )
    }

    /// 413 for a body over the limit.
    pub(super) fn body_too_large(bytes_max: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "PayloadTooLarge",
            format!("The body of a request may have {bytes_max} bytes."),
        )
    }

    /// 408 for a body that did not come in time.
    pub(super) fn body_timed_out() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "RequestTimeout",
            "The body of the request did not arrive in time.",
        )
    }

    /// 429 for more event streams of one user than there may be.
    pub(super) fn too_many_streams() -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "TooManyRequests",
            "This user has as many event streams open as a user may have.",
        )
    }

    /// 415 for a body that is not JSON in UTF-8.
    pub(super) fn unsupported_media_type() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "UnsupportedMediaType",
            "The body of a request must be application/json in UTF-8.",
        )
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let (status, code) = match &error {
            Error::ThreadNotFound | Error::MessageNotFound => (StatusCode::NOT_FOUND, "NotFound"),
            Error::NotParticipant
            | Error::NotSender
            | Error::MissingScope
            | Error::ThreadTooLarge { .. } => (StatusCode::FORBIDDEN, "Forbidden"),
            Error::Unauthorized => (StatusCode::UNAUTHORIZED, "Unauthorized"),
            Error::IdentityNotOwned => (StatusCode::UNAUTHORIZED, "IdentityNotOwned"),
            Error::Invalid { target, message } => {
                return Self::invalid(Some(target), message.clone());
            }
            Error::Store(failure) => {
                tracing::error!(%failure, "the store refused a request");
                (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable")
            }
            other => {
                tracing::error!(error = %other, "an error without a status of its own");
                (StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError")
            }
        };
        Self::new(status, code, error.to_string())
    }
}

impl IntoResponse for ApiError {
    /// A response that only carries the refusal to the edge, where [`render`] makes the real one.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The shapes of an error body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyShape {
    /// `{"code","message"}`.
    Flat,
    /// `{"error":{…}}`.
    Enveloped,
    /// `{"CommunicationError":{…}}`.
    Hosted,
}

/// The answer that a refusal becomes.
pub(super) fn render(refusal: &ApiError, service: Service, shape: BodyShape) -> Response {
    let code = match (refusal.code, service) {
        (Code::Named(code), _) => code,
        (Code::Invalid, Service::Identity) => "ValidationError",
        (Code::Invalid, Service::Chat | Service::Unversioned) => "BadRequest",
    };
    let error = FlatError {
        code,
        message: &refusal.message,
        target: refusal.target,
    };
    let body = match shape {
        BodyShape::Flat => serde_json::to_vec(&error),
        BodyShape::Enveloped => serde_json::to_vec(&CommunicationErrorResponse { error }),
        BodyShape::Hosted => serde_json::to_vec(&HostedErrorResponse {
            communication_error: HostedError {
                code,
                message: error.message,
                details: [],
            },
        }),
    };
    // Serialising strings cannot fail; an empty body is what SDKs take best if it ever did.
    let mut response = (refusal.status, body.unwrap_or_default()).into_response();
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    if refusal.status == StatusCode::SERVICE_UNAVAILABLE {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
