//! The api-versions that the server speaks, and what an unlisted one is answered as.
//!
//! The version travels as the query parameter `api-version` and is compiled into each SDK
//! release. A dated version that is not listed, of the GA shape, is answered as the newest listed
//! one not after it, a stable one before a preview of the same date, because upgrading an SDK
//! must not break anybody's tests.

use std::fmt;

/// The shapes of the chat API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChatFamily {
    /// [`crate::chat::preview2`].
    Preview2,
    /// [`crate::chat::preview3`].
    Preview3,
    /// [`crate::chat::ga`].
    Ga,
}

/// The shapes of the identity API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityFamily {
    /// [`crate::identity::preview2`].
    Preview2,
    /// [`crate::identity::ga`].
    Ga,
}

/// A listed api-version of one of the two APIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiVersion<F: 'static> {
    name: &'static str,
    family: F,
}

/// A version of the chat API.
pub type ChatApiVersion = ApiVersion<ChatFamily>;
/// A version of the identity API.
pub type IdentityApiVersion = ApiVersion<IdentityFamily>;

impl<F: Copy> ApiVersion<F> {
    const fn new(name: &'static str, family: F) -> Self {
        Self { name, family }
    }

    /// Its name, such as `2024-03-07`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its shape.
    pub fn family(&self) -> F {
        self.family
    }

    /// Whether it is a preview.
    pub fn is_preview(&self) -> bool {
        self.name.contains("preview")
    }

    /// Whether it is as new as the version of that name, by date.
    pub fn is_since(&self, name: &str) -> bool {
        date(self.name) >= date(name)
    }
}

impl<F> fmt::Display for ApiVersion<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// The chat versions that are served, oldest first. The previews among them are those that SDKs
/// send, one of which is a stable release (Java 1.2.0 sends 2021-04-05-preview6).
pub const CHAT: &[ChatApiVersion] = &[
    ApiVersion::new("2020-09-21-preview2", ChatFamily::Preview2),
    ApiVersion::new("2020-11-01-preview3", ChatFamily::Preview3),
    ApiVersion::new("2021-01-27-preview4", ChatFamily::Ga),
    ApiVersion::new("2021-03-01-preview5", ChatFamily::Ga),
    ApiVersion::new("2021-03-07", ChatFamily::Ga),
    ApiVersion::new("2021-04-05-preview6", ChatFamily::Ga),
    ApiVersion::new("2021-09-07", ChatFamily::Ga),
    ApiVersion::new("2023-07-01-preview", ChatFamily::Ga),
    ApiVersion::new("2023-11-07", ChatFamily::Ga),
    ApiVersion::new("2023-11-15-preview", ChatFamily::Ga),
    ApiVersion::new("2024-03-07", ChatFamily::Ga),
    ApiVersion::new("2024-06-05-preview", ChatFamily::Ga),
    ApiVersion::new("2025-03-15", ChatFamily::Ga),
];

/// The identity versions that are served, oldest first.
pub const IDENTITY: &[IdentityApiVersion] = &[
    ApiVersion::new("2020-07-20-preview2", IdentityFamily::Preview2),
    ApiVersion::new("2021-03-07", IdentityFamily::Ga),
    ApiVersion::new("2022-06-01", IdentityFamily::Ga),
    ApiVersion::new("2022-10-01", IdentityFamily::Ga),
    ApiVersion::new("2023-10-01", IdentityFamily::Ga),
];

/// Why a request has no version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionError {
    /// The parameter is missing or empty: 400 `ApiVersionUnspecified`.
    Unspecified,
    /// Garbage, or a version whose shape is not served: 400 `UnsupportedApiVersion`.
    Unsupported,
}

/// The chat version that a request with that parameter is answered as.
pub fn chat(requested: Option<&str>) -> Result<ChatApiVersion, VersionError> {
    resolve(CHAT, ChatFamily::Ga, requested)
}

/// The identity version that a request with that parameter is answered as.
pub fn identity(requested: Option<&str>) -> Result<IdentityApiVersion, VersionError> {
    resolve(IDENTITY, IdentityFamily::Ga, requested)
}

fn resolve<F: Copy + PartialEq>(
    listed: &[ApiVersion<F>],
    ga: F,
    requested: Option<&str>,
) -> Result<ApiVersion<F>, VersionError> {
    let requested = requested
        .filter(|name| !name.is_empty())
        .ok_or(VersionError::Unspecified)?;
    let same = |version: &&ApiVersion<F>| version.name.eq_ignore_ascii_case(requested);
    if let Some(version) = listed.iter().find(same) {
        return Ok(*version);
    }
    let asked = parse(requested).ok_or(VersionError::Unsupported)?;
    listed
        .iter()
        .filter(|version| version.family == ga && parse(version.name).is_some_and(|v| v <= asked))
        .max_by_key(|version| (!version.is_preview(), date(version.name)))
        .copied()
        .ok_or(VersionError::Unsupported)
}

/// The date part, which sorts as text.
fn date(name: &str) -> &str {
    name.get(..10).unwrap_or(name)
}

/// A version's date and whether it is stable, in their order of age; `None` unless the text is a
/// date, followed perhaps by `-preview` and a number.
fn parse(name: &str) -> Option<(&str, bool)> {
    let (date, rest) = name.split_at_checked(10)?;
    let shape = date.bytes().zip("0000-00-00".bytes());
    let dated = shape.into_iter().all(|(c, pattern)| {
        if pattern == b'0' {
            c.is_ascii_digit()
        } else {
            c == pattern
        }
    });
    let month_and_day = dated
        && (1..=12).contains(&date[5..7].parse::<u8>().ok()?)
        && (1..=31).contains(&date[8..].parse::<u8>().ok()?);
    let preview = rest
        .strip_prefix("-preview")
        .is_some_and(|n| n.len() <= 2 && n.bytes().all(|c| c.is_ascii_digit()));
    (month_and_day && (rest.is_empty() || preview)).then_some((date, rest.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(requested: &str) -> Result<&'static str, VersionError> {
        chat(Some(requested)).map(|version| version.name())
    }

    #[test]
    fn listed_versions_are_served_as_themselves() {
        for version in CHAT {
            assert_eq!(served(version.name()), Ok(version.name()));
        }
        for version in IDENTITY {
            assert_eq!(identity(Some(version.name())), Ok(*version));
        }
    }

    #[test]
    fn an_unlisted_version_is_served_as_the_newest_listed_one_not_after_it() {
        assert_eq!(served("2024-03-15-preview"), Ok("2024-03-07"));
        assert_eq!(served("2025-03-15-preview"), Ok("2024-03-07"));
        assert_eq!(served("2031-01-01"), Ok("2025-03-15"));
        assert_eq!(served("2021-10-01-preview7"), Ok("2021-09-07"));
        assert_eq!(served("2021-03-05-preview"), Ok("2021-03-01-preview5"));
        assert_eq!(served("2021-02-01"), Ok("2021-01-27-preview4"));
        assert_eq!(
            identity(Some("2023-08-01")).map(|v| v.name()),
            Ok("2022-10-01")
        );
    }

    #[test]
    fn what_has_no_listed_version_before_it_is_unsupported() {
        for name in ["2021-01-26", "2020-11-01", "2020-01-01", "2019-12-31"] {
            assert_eq!(served(name), Err(VersionError::Unsupported), "{name}");
        }
    }

    #[test]
    fn garbage_is_unsupported_and_nothing_is_unspecified() {
        for name in [
            "1",
            "latest",
            "2024-3-7",
            "2024-13-01",
            "2024-03-07x",
            "2024-03-07-preview123",
            "٢٠٢٤-03-07",
        ] {
            assert_eq!(served(name), Err(VersionError::Unsupported), "{name}");
        }
        assert_eq!(chat(None), Err(VersionError::Unspecified));
        assert_eq!(chat(Some("")), Err(VersionError::Unspecified));
    }
}
