//! Error bodies. Which shape an answer has depends on its api-version and on a setting.

use serde::Serialize;

/// `{"code":…,"message":…}`: chat 2020-09-21-preview2.
#[derive(Debug, Serialize)]
pub struct FlatError<'a> {
    /// A word for programs, such as `Forbidden`.
    pub code: &'a str,
    /// A sentence for people.
    pub message: &'a str,
    /// The field at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<&'a str>,
}

/// `{"error":{…}}`: chat from 2020-11-01-preview3 on, and every version of identity.
#[derive(Debug, Serialize)]
pub struct CommunicationErrorResponse<'a> {
    /// What went wrong.
    pub error: FlatError<'a>,
}

/// `{"CommunicationError":{"Code":…,"Message":…,"Details":[]}}`: what the hosted chat service
/// really sends, whatever its documents say; for software that reads the raw text.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct HostedErrorResponse<'a> {
    /// What went wrong.
    pub communication_error: HostedError<'a>,
}

/// The inner part of [`HostedErrorResponse`].
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct HostedError<'a> {
    /// A word for programs.
    pub code: &'a str,
    /// A sentence for people.
    pub message: &'a str,
    /// Always empty.
    pub details: [(); 0],
}
