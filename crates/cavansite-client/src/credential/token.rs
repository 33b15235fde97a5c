//! A token with its expiry, and the credential that holds just one.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use jiff::Timestamp;
use serde::Deserialize;

use super::TokenCredential;
use crate::{Error, Result, Secret};

/// A token and when it expires.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccessToken {
    /// The token.
    pub token: Secret,
    /// When it expires.
    pub expires_on: Timestamp,
}

/// The alphabet of JWTs, with padding or without, whatever the bits after the last byte.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

impl AccessToken {
    /// A token with the expiry that came along with it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use cavansite_client::{AccessToken, Timestamp};
    ///
    /// let token = AccessToken::new("opaque", Timestamp::now() + Duration::from_secs(3600));
    /// ```
    pub fn new(token: impl Into<Secret>, expires_on: Timestamp) -> Self {
        Self {
            token: token.into(),
            expires_on,
        }
    }

    /// A token that says itself when it expires: a JWT with `exp` in its claims. Its signature is
    /// the server's to check.
    ///
    /// ```
    /// use cavansite_client::AccessToken;
    ///
    /// # fn main() -> cavansite_client::Result<()> {
    /// let token = AccessToken::from_jwt("e30.eyJleHAiOjE3OTU2NTEyMDB9.c2lnbmF0dXJl")?;
    /// assert_eq!(token.expires_on.to_string(), "2026-11-26T00:00:00Z");
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_jwt(token: impl Into<Secret>) -> Result<Self> {
        #[derive(Deserialize)]
        struct Claims {
            exp: i64,
        }
        let token = token.into();
        let claims = || {
            let payload = token.expose().split('.').nth(1)?;
            // Some issuers write the standard alphabet.
            let payload = payload.replace('+', "-").replace('/', "_");
            let payload = BASE64.decode(payload).ok()?;
            let claims: Claims = serde_json::from_slice(&payload).ok()?;
            Timestamp::from_second(claims.exp).ok()
        };
        // What went wrong in detail would tell of the token.
        let expires_on = claims()
            .ok_or_else(|| Error::credential("the token is no JWT that says when it expires"))?;
        Ok(Self { token, expires_on })
    }
}

/// One token, sent until the program ends: also after its expiry, so that it is the server that
/// says no.
///
/// ```
/// use cavansite_client::StaticTokenCredential;
///
/// # fn main() -> cavansite_client::Result<()> {
/// # let token = "e30.eyJleHAiOjE3OTU2NTEyMDB9.c2lnbmF0dXJl";
/// let credential = StaticTokenCredential::new(token)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct StaticTokenCredential(AccessToken);

impl StaticTokenCredential {
    /// The token of a user, a JWT.
    ///
    /// ```
    /// use cavansite_client::StaticTokenCredential;
    ///
    /// assert!(StaticTokenCredential::new("no JWT").is_err());
    /// ```
    pub fn new(token: impl Into<Secret>) -> Result<Self> {
        AccessToken::from_jwt(token).map(Self)
    }
}

impl From<AccessToken> for StaticTokenCredential {
    /// The token with an expiry of your own, for one that is no JWT.
    fn from(token: AccessToken) -> Self {
        Self(token)
    }
}

#[async_trait]
impl TokenCredential for StaticTokenCredential {
    async fn get_token(&self) -> Result<AccessToken> {
        Ok(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    use super::*;
    use crate::ErrorKind;

    #[test]
    fn the_expiry_is_read_from_the_claims_in_either_alphabet() {
        let claims = br#"{"skypeid":"acs:\u00ff?>~","exp":1605055118}"#;
        for payload in [STANDARD.encode(claims), URL_SAFE_NO_PAD.encode(claims)] {
            let token = AccessToken::from_jwt(format!("head.{payload}.signature")).unwrap();
            assert_eq!(token.expires_on.as_second(), 1_605_055_118);
        }
    }

    #[test]
    fn a_token_that_does_not_say_when_it_expires_is_refused_and_not_repeated() {
        let claims = |claims: &str| format!("head.{}.sig", URL_SAFE_NO_PAD.encode(claims));
        for token in [
            String::new(),
            "hunter2".to_owned(),
            "hunter2.hunter2.hunter2".to_owned(),
            claims("{}"),
            claims(r#"{"exp":"hunter2"}"#),
            claims(r#"{"exp":9223372036854775807}"#),
        ] {
            let error = StaticTokenCredential::new(token).unwrap_err();
            assert_eq!(error.kind(), &ErrorKind::Credential);
            assert!(!format!("{error:?} {error}").contains("hunter2"));
        }
    }
}
