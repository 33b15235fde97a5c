//! The resource's access key, which signs requests with HMAC-SHA256, and connection strings.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use jiff::Timestamp;
use url::{Position, Url};

use crate::{Error, Result, Secret};

/// One of the access keys of a resource. What it can do is everything, so it belongs on servers
/// alone. Neither `Debug` nor an error shows it.
#[derive(Clone)]
pub struct AccessKeyCredential(Arc<hmac::Key>);

impl AccessKeyCredential {
    /// The key as it is shown: in base64.
    ///
    /// ```
    /// use cavansite_client::AccessKeyCredential;
    ///
    /// assert!(AccessKeyCredential::new("aHVudGVyMg==").is_ok());
    /// assert!(AccessKeyCredential::new("not base64!").is_err());
    /// ```
    pub fn new(key: impl Into<Secret>) -> Result<Self> {
        let bytes = STANDARD.decode(key.into().expose().trim());
        let bytes = bytes
            .ok()
            .filter(|bytes| !bytes.is_empty())
            .ok_or_else(|| Error::credential("the access key is not base64"))?;
        Ok(Self(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &bytes))))
    }

    /// What a request is sent with, so that the service knows who made it: the headers `x-ms-date`,
    /// `x-ms-content-sha256` and `Authorization`.
    pub(crate) fn sign(&self, method: &Method, url: &Url, body: &[u8], now: Timestamp) -> Signed {
        let date = http_date(now);
        let content_hash = STANDARD.encode(digest::digest(&digest::SHA256, body));
        let target = &url[Position::BeforePath..Position::AfterQuery];
        let host = &url[Position::BeforeHost..Position::AfterPort];
        let text = format!("{method}\n{target}\n{date};{host};{content_hash}");
        let signature = STANDARD.encode(hmac::sign(&self.0, text.as_bytes()));
        let names = "x-ms-date;host;x-ms-content-sha256";
        Signed {
            authorization: format!("HMAC-SHA256 SignedHeaders={names}&Signature={signature}"),
            date,
            content_hash,
        }
    }
}

impl fmt::Debug for AccessKeyCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessKeyCredential")
    }
}

/// The values of a signed request's headers.
pub(crate) struct Signed {
    pub(crate) date: String,
    pub(crate) content_hash: String,
    pub(crate) authorization: String,
}

/// `Mon, 23 Nov 2026 15:04:35 GMT`.
fn http_date(time: Timestamp) -> String {
    let printer = jiff::fmt::rfc2822::DateTimePrinter::new();
    printer
        .timestamp_to_rfc9110_string(&time)
        .unwrap_or_default()
}

/// `endpoint=https://…/;accesskey=…`, the parts in any order, their names in any case.
pub(crate) struct ConnectionString {
    pub(crate) endpoint: String,
    pub(crate) key: AccessKeyCredential,
}

impl ConnectionString {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let find = |wanted: &str| {
            text.split(';').find_map(|part| {
                let (name, value) = part.split_once('=')?;
                let value = value.trim();
                (name.trim().eq_ignore_ascii_case(wanted) && !value.is_empty()).then_some(value)
            })
        };
        // Which part is wrong may be said; what it holds may not.
        let missing = |name| Error::credential(format!("the connection string has no {name}"));
        let endpoint = find("endpoint").ok_or_else(|| missing("endpoint"))?;
        let key = find("accesskey").ok_or_else(|| missing("accesskey"))?;
        Ok(Self {
            endpoint: endpoint.to_owned(),
            key: AccessKeyCredential::new(key)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    const KEY: &str = "aHVudGVyMmh1bnRlcjI=";

    #[test]
    fn a_request_is_signed_as_the_service_checks_it() {
        let key = AccessKeyCredential::new(KEY).unwrap();
        let url = Url::parse("https://localhost:18443/identities?api-version=2023-10-01").unwrap();
        let signed = key.sign(&Method::POST, &url, b"", Timestamp::UNIX_EPOCH);
        assert_eq!(signed.date, "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(
            signed.content_hash,
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
        );
        // From another implementation of HMAC over the text of the protocol.
        assert_eq!(
            signed.authorization,
            "HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature=0eUryLeSUwew76Z60XAFVH9asudeAc9L7osqY9hHWok="
        );
    }

    #[test]
    fn a_connection_string_is_read_in_any_order_and_case() {
        for text in [
            format!("endpoint=https://h.example:1/;accesskey={KEY}"),
            format!("AccessKey={KEY};Endpoint=https://h.example:1/;"),
        ] {
            let read = ConnectionString::parse(&text).unwrap();
            assert_eq!(read.endpoint, "https://h.example:1/");
        }
    }

    #[test]
    fn a_connection_string_that_lacks_a_part_is_refused_and_not_repeated() {
        for text in [
            String::new(),
            format!("accesskey={KEY}"),
            "endpoint=https://h.example/".to_owned(),
            "endpoint=https://h.example/;accesskey=".to_owned(),
            "endpoint=https://h.example/;accesskey=hunter2hunter2!".to_owned(),
        ] {
            let error = ConnectionString::parse(&text).err().unwrap();
            assert_eq!(error.kind(), &ErrorKind::Credential);
            assert!(!format!("{error:?} {error}").contains("hunter2"));
        }
    }

    #[test]
    fn a_key_is_not_printed() {
        let key = AccessKeyCredential::new(KEY).unwrap();
        assert_eq!(format!("{key:?}"), "AccessKeyCredential");
    }
}
