//! The request target: what SDKs do to paths, undone before routing; and the query.

use std::borrow::Cow;

use axum::http::Uri;
use axum::http::uri::PathAndQuery;
use percent_encoding::percent_decode_str;

use super::error::{ApiError, ApiResult};

/// The URI before it was tidied: what a signature was made over.
#[derive(Clone)]
pub(super) struct AsReceived(pub(super) Uri);

/// The URI with double slashes collapsed, `%3A` written as `:` and the receipts' path in lower
/// case; `None` where nothing of that occurs. (One SDK joins with two slashes, some encode the
/// colon of `:add`, and the versions differ in the letter case of `readReceipts`.)
pub(super) fn tidy(uri: &Uri) -> ApiResult<Option<Uri>> {
    let path = uri.path();
    let receipts = path.len() > RECEIPTS.len() && path.ends_with("/readReceipts");
    if !receipts && !path.contains("//") && !path.contains('%') {
        return Ok(None);
    }
    let malformed = || ApiError::invalid(None, "The request target is malformed.");
    if percent_decode_str(path).decode_utf8().is_err() {
        return Err(malformed());
    }
    let mut tidied = path.replace("%3A", ":").replace("%3a", ":");
    while tidied.contains("//") {
        tidied = tidied.replace("//", "/");
    }
    if receipts {
        tidied.truncate(tidied.len() - RECEIPTS.len());
        tidied.push_str(RECEIPTS);
    }
    if let Some(query) = uri.query() {
        tidied.push('?');
        tidied.push_str(query);
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(tidied).map_err(|_| malformed())?);
    Uri::from_parts(parts).map(Some).map_err(|_| malformed())
}

const RECEIPTS: &str = "/readreceipts";

/// The first value of a query parameter, decoded; names are compared without letter case. A `+`
/// is a plus: SDKs that mean a blank send `%20`, and times carry offsets.
pub(super) fn parameter<'a>(query: Option<&'a str>, name: &str) -> ApiResult<Option<Cow<'a, str>>> {
    let found = query.unwrap_or_default().split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        key.eq_ignore_ascii_case(name).then_some(value)
    });
    let malformed = |_| ApiError::invalid(None, "A query parameter is not UTF-8.");
    found
        .map(|value| percent_decode_str(value).decode_utf8().map_err(malformed))
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_tidied_and_queries_left_alone() {
        for (given, tidied) in [
            ("/chat/threads?a=%3A//b", None),
            ("//chat///threads?x=1", Some("/chat/threads?x=1")),
            (
                "/identities/8%3aacs%3A1/%3Atoken",
                Some("/identities/8:acs:1/:token"),
            ),
            (
                "/chat/threads/a%2Fb/readReceipts?x",
                Some("/chat/threads/a%2Fb/readreceipts?x"),
            ),
            ("/", None),
        ] {
            let uri = given.parse().unwrap();
            let result = tidy(&uri).unwrap().map(|uri| uri.to_string());
            assert_eq!(result.as_deref(), tidied, "{given}");
        }
    }

    #[test]
    fn parameters_are_decoded_and_found_in_any_letter_case() {
        let query = Some("a=1&maxPageSize=5&startTime=2020-01-01T00%3A00:00+01:00&flag&bad=%FF");
        let value = |name| parameter(query, name).unwrap().map(Cow::into_owned);
        assert_eq!(value("maxpagesize").as_deref(), Some("5"));
        assert_eq!(
            value("startTime").as_deref(),
            Some("2020-01-01T00:00:00+01:00")
        );
        assert_eq!(value("flag").as_deref(), Some(""));
        assert_eq!(value("none"), None);
        assert!(parameter(query, "bad").is_err());
    }
}
