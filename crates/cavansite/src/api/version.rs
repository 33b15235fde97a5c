//! Which service a request is for, and the api-version that it is answered as.

use std::sync::LazyLock;

use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue};
use cavansite_protocol::version::{
    self, ApiVersion, ChatApiVersion, ChatFamily, IdentityApiVersion, VersionError,
};

use super::error::{ApiError, ApiResult, BodyShape};
use super::target;
use crate::state::ErrorShape;

/// The header that names the version an answer has, where the one asked for is not listed.
const SERVED_VERSION: HeaderName = HeaderName::from_static("x-cavansite-served-api-version");
const SUPPORTED_VERSIONS: HeaderName = HeaderName::from_static("api-supported-versions");

/// The two APIs, which have versions and errors of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// Everything below `/chat`.
    Chat,
    /// What has no version: the connections of real-time notifications, and what is our own.
    Unversioned,
    /// Everything else.
    Identity,
}

impl Service {
    /// The service that a path belongs to.
    pub(super) fn of(path: &str) -> Self {
        let first = path.split('/').find(|segment| !segment.is_empty());
        match first {
            Some("chat") => Self::Chat,
            None | Some("v3" | "v4" | "socket.io" | "cavansite") => Self::Unversioned,
            Some(_) => Self::Identity,
        }
    }
}

/// A request's version, known to be served.
#[derive(Clone, Copy, Debug)]
pub(super) enum Version {
    Chat {
        version: ChatApiVersion,
        listed: bool,
    },
    Identity {
        version: IdentityApiVersion,
        listed: bool,
    },
    /// Of a request that has none.
    None,
}

/// The version that the request is answered as.
pub(super) fn settle(service: Service, query: Option<&str>) -> ApiResult<Version> {
    let requested = target::parameter(query, "api-version")?;
    let requested = requested.as_deref();
    let refusal = |error| match error {
        VersionError::Unspecified => ApiError::version_unspecified(),
        VersionError::Unsupported => ApiError::version_unsupported(),
    };
    let listed = |name: &str| requested.is_some_and(|asked| asked.eq_ignore_ascii_case(name));
    match service {
        Service::Unversioned => Ok(Version::None),
        Service::Chat => {
            let version = version::chat(requested).map_err(refusal)?;
            Ok(Version::Chat {
                version,
                listed: listed(version.name()),
            })
        }
        Service::Identity => {
            let version = version::identity(requested).map_err(refusal)?;
            Ok(Version::Identity {
                version,
                listed: listed(version.name()),
            })
        }
    }
}

impl Version {
    /// Hands the version to the handlers.
    pub(super) fn insert_into(self, extensions: &mut Extensions) {
        match self {
            Self::Chat { version, .. } => extensions.insert(version).map(drop),
            Self::Identity { version, .. } => extensions.insert(version).map(drop),
            Self::None => None,
        };
    }

    /// Says so where another version is answered than was asked for.
    pub(super) fn add_headers(self, headers: &mut HeaderMap) {
        let name = match self {
            Self::Chat { listed: true, .. } | Self::Identity { listed: true, .. } | Self::None => {
                return;
            }
            Self::Chat { version, .. } => version.name(),
            Self::Identity { version, .. } => version.name(),
        };
        headers.insert(SERVED_VERSION, HeaderValue::from_static(name));
    }
}

/// The shape of an error body: the settled chat version's; of identity, and without a version,
/// the newer published one.
pub(super) fn error_shape(version: Option<&Version>, setting: ErrorShape) -> BodyShape {
    let Some(Version::Chat { version, .. }) = version else {
        return BodyShape::Enveloped;
    };
    match (setting, version.family()) {
        (ErrorShape::Hosted, _) => BodyShape::Hosted,
        (ErrorShape::Published, ChatFamily::Preview2) => BodyShape::Flat,
        (ErrorShape::Published, ChatFamily::Preview3 | ChatFamily::Ga) => BodyShape::Enveloped,
    }
}

/// Lists the served versions, as the hosted service does on every answer.
pub(super) fn add_supported_versions(service: Service, headers: &mut HeaderMap) {
    static CHAT: LazyLock<HeaderValue> = LazyLock::new(|| names(version::CHAT));
    static IDENTITY: LazyLock<HeaderValue> = LazyLock::new(|| names(version::IDENTITY));
    let list = match service {
        Service::Chat => &CHAT,
        Service::Identity => &IDENTITY,
        Service::Unversioned => return,
    };
    headers.insert(SUPPORTED_VERSIONS, HeaderValue::clone(list));
}

fn names<F: Copy>(versions: &[ApiVersion<F>]) -> HeaderValue {
    let names: Vec<_> = versions.iter().map(ApiVersion::name).collect();
    HeaderValue::from_str(&names.join(", ")).unwrap_or(HeaderValue::from_static(""))
}
