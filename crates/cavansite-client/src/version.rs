//! The api-versions that the clients can speak, and what each can say.

use cavansite_protocol::chat::since::Feature;

use crate::{Error, Result};

/// A stable version of the chat API. The newest is the default.
///
/// Cavansite and the hosted service serve them all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[non_exhaustive]
pub enum ChatApiVersion {
    /// 2021-03-07, the first.
    V2021_03_07,
    /// 2021-09-07: metadata of messages, names in typing notifications.
    V2021_09_07,
    /// 2023-11-07: attachments in messages that are read.
    V2023_11_07,
    /// 2024-03-07: apps as senders, attachments of any type.
    V2024_03_07,
    /// 2025-03-15: metadata of threads and participants, retention.
    #[default]
    V2025_03_15,
}

impl ChatApiVersion {
    /// All of them, oldest first.
    pub const ALL: &[Self] = &[
        Self::V2021_03_07,
        Self::V2021_09_07,
        Self::V2023_11_07,
        Self::V2024_03_07,
        Self::V2025_03_15,
    ];

    /// Its name on the wire.
    ///
    /// ```
    /// use cavansite_client::ChatApiVersion;
    ///
    /// assert_eq!(ChatApiVersion::default().as_str(), "2025-03-15");
    /// ```
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V2021_03_07 => "2021-03-07",
            Self::V2021_09_07 => "2021-09-07",
            Self::V2023_11_07 => "2023-11-07",
            Self::V2024_03_07 => "2024-03-07",
            Self::V2025_03_15 => "2025-03-15",
        }
    }

    /// Whether this version has that.
    pub(crate) fn has(self, feature: Feature) -> bool {
        // Names of stable versions are dates, which sort as text.
        self.as_str() >= feature.since()
    }

    /// Refuses what is given for a field that this version does not have.
    pub(crate) fn check(self, feature: Feature, what: &str, given: bool) -> Result<()> {
        if given && !self.has(feature) {
            return Err(lacks(self.as_str(), what, feature.since()));
        }
        Ok(())
    }
}

/// A stable version of the identity API. The newest is the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[non_exhaustive]
pub enum IdentityApiVersion {
    /// 2021-03-07, the first.
    V2021_03_07,
    /// 2022-06-01.
    V2022_06_01,
    /// 2022-10-01: lives of tokens can be chosen.
    V2022_10_01,
    /// 2023-10-01: the scopes `chat.join`, `chat.join.limited` and `voip.join`.
    #[default]
    V2023_10_01,
}

impl IdentityApiVersion {
    /// All of them, oldest first.
    pub const ALL: &[Self] = &[
        Self::V2021_03_07,
        Self::V2022_06_01,
        Self::V2022_10_01,
        Self::V2023_10_01,
    ];

    /// Its name on the wire.
    ///
    /// ```
    /// use cavansite_client::IdentityApiVersion;
    ///
    /// assert_eq!(IdentityApiVersion::default().as_str(), "2023-10-01");
    /// ```
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V2021_03_07 => "2021-03-07",
            Self::V2022_06_01 => "2022-06-01",
            Self::V2022_10_01 => "2022-10-01",
            Self::V2023_10_01 => "2023-10-01",
        }
    }

    /// Refuses what is given, but came with a later version.
    pub(crate) fn check(self, since: Self, what: &str, given: bool) -> Result<()> {
        if given && self < since {
            return Err(lacks(self.as_str(), what, since.as_str()));
        }
        Ok(())
    }
}

fn lacks(version: &str, what: &str, since: &str) -> Error {
    Error::input(format!(
        "api-version {version} has no {what}, which came with {since}"
    ))
}
