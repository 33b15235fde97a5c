//! User access tokens: JWTs that every SDK can read and only this resource can make.
//!
//! No SDK checks the signature, but all decode the payload, each in its way: Java with the strict
//! standard base64 alphabet and a pattern that allows no blank after `"exp":`, Python by dropping
//! `-` and `_`. So the claims are compact ASCII without `>`, `?` and `~`, which no encoding turns
//! into either of the two characters.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::caller::{Scope, Scopes};
use crate::error::{Error, Result, StoreFailure};
use crate::model::{Installation, KeyGeneration, Timestamp, UserId};

/// The longest token that is looked at, in bytes; ours have some 450.
const TOKEN_BYTES_MAX: usize = 4096;
/// What the `scp` claim has in every token that was seen of the hosted service.
const SCP: u32 = 1792;
/// What stands for the place of the resource; the real-time SDK wants it not empty.
const LOCATION: &str = "local";

/// A token and its end.
pub struct IssuedToken {
    /// The token, to be handed to its user and to nobody else.
    pub token: String,
    /// When it expires.
    pub expires_at: Timestamp,
}

/// Tokens that are known to be good, with what they say; about 800 bytes each.
const KNOWN_TOKENS_MAX: u64 = 16 * 1024;

/// What a verified token says.
#[derive(Clone)]
pub(super) struct VerifiedClaims {
    pub(super) user: UserId,
    pub(super) scopes: Scopes,
    pub(super) issued_at: Timestamp,
    pub(super) expires_at: Timestamp,
    /// The access key that it was issued under, which may have been replaced since.
    pub(super) key: KeyGeneration,
}

/// The claims on the wire. The first eight are the hosted service's, the last two ours.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Claims {
    skypeid: String,
    scp: u32,
    csi: String,
    exp: i64,
    rgn: String,
    acs_scope: String,
    resource_id: String,
    resource_location: String,
    iat: i64,
    /// Issue time in milliseconds: what a revocation is compared with.
    iat_ms: i64,
    /// Slot and generation of the access key under which it was issued.
    key: String,
}

/// Signs and verifies tokens.
pub(super) struct TokenKey {
    sign: EncodingKey,
    verify: DecodingKey,
    validation: Validation,
    resource: Uuid,
    /// Tokens whose signature was checked by this key. A client sends the same one with every
    /// request, and checking it takes longer than all else that is done to say who is asking.
    known: Cache<Box<str>, VerifiedClaims>,
}

impl TokenKey {
    pub(super) fn new(installation: &Installation) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        // Expiry is compared with the injected clock below, in one place and without leeway.
        validation.validate_exp = false;
        validation.required_spec_claims.clear();
        Self {
            sign: EncodingKey::from_secret(installation.token_key.expose()),
            verify: DecodingKey::from_secret(installation.token_key.expose()),
            validation,
            resource: installation.resource,
            known: crate::recent::cache(KNOWN_TOKENS_MAX),
        }
    }

    pub(super) fn issue(
        &self,
        user: &UserId,
        scopes: Scopes,
        issued_at: Timestamp,
        expires_at: Timestamp,
        key: KeyGeneration,
    ) -> Result<IssuedToken> {
        let names: Vec<_> = scopes.iter().map(Scope::as_str).collect();
        let issued_at_secs = issued_at.as_millis() / 1000;
        let claims = Claims {
            skypeid: user.without_kind().to_owned(),
            scp: SCP,
            csi: issued_at_secs.to_string(),
            exp: expires_at.as_millis() / 1000,
            rgn: LOCATION.to_owned(),
            acs_scope: names.join(","),
            resource_id: self.resource.hyphenated().to_string(),
            resource_location: LOCATION.to_owned(),
            iat: issued_at_secs,
            iat_ms: issued_at.as_millis(),
            key: key.to_string(),
        };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.sign)
            .map_err(|error| StoreFailure::new(format_args!("signing a token: {error}")))?;
        // The token carries whole seconds; what is promised is what it says.
        let expires_at = Timestamp::from_millis(claims.exp * 1000);
        Ok(IssuedToken { token, expires_at })
    }

    /// What a token says, if it is good at that time. Whether it is revoked, or its access key was
    /// replaced, is another question.
    pub(super) fn verify(&self, token: &str, now: Timestamp) -> Result<VerifiedClaims> {
        let is_current = |claims: &VerifiedClaims| claims.expires_at > now;
        if let Some(claims) = self.known.get(token) {
            return is_current(&claims)
                .then_some(claims)
                .ok_or(Error::Unauthorized);
        }
        let claims = self.check(token)?;
        if !is_current(&claims) {
            return Err(Error::Unauthorized);
        }
        self.known.insert(token.into(), claims.clone());
        Ok(claims)
    }

    /// Checks a token's signature and all it says but its end.
    fn check(&self, token: &str) -> Result<VerifiedClaims> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Error::Unauthorized);
        }
        let claims: Claims = jsonwebtoken::decode(token, &self.verify, &self.validation)
            .map_err(|_| Error::Unauthorized)?
            .claims;
        let user = UserId::parse(&format!("8:{}", claims.skypeid)).ok_or(Error::Unauthorized)?;
        let key = KeyGeneration::parse(&claims.key).ok_or(Error::Unauthorized)?;
        if !user.belongs_to(self.resource) {
            return Err(Error::Unauthorized);
        }
        let scopes = claims
            .acs_scope
            .split(',')
            .filter_map(Scope::parse)
            .collect();
        Ok(VerifiedClaims {
            user,
            scopes,
            issued_at: Timestamp::from_millis(claims.iat_ms),
            expires_at: Timestamp::from_millis(claims.exp.saturating_mul(1000)),
            key,
        })
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};

    use super::*;
    use crate::model::{AccessKey, KeySlot};
    use crate::secret::Secret;

    fn installation(resource: u128, generation: u32, key: u8) -> Installation {
        let access_key = AccessKey {
            generation,
            key: Secret::new([1; 64]),
        };
        Installation {
            resource: Uuid::from_u128(resource),
            access_keys: [access_key.clone(), access_key],
            token_key: Secret::new([key; 32]),
            derivation_key: Secret::new([3; 32]),
        }
    }

    const ISSUED: Timestamp = Timestamp::from_millis(1_700_000_000_123);
    const EXPIRES: Timestamp = Timestamp::from_millis(1_700_003_600_123);

    fn issue(key: &TokenKey) -> IssuedToken {
        let user = UserId::new(key.resource, Uuid::from_u128(u128::MAX / 3));
        let scopes = [Scope::Chat, Scope::Voip].into_iter().collect();
        let issued_under = KeyGeneration {
            slot: KeySlot::Secondary,
            generation: 1,
        };
        key.issue(&user, scopes, ISSUED, EXPIRES, issued_under)
            .unwrap()
    }

    #[test]
    fn a_token_names_its_user_and_scopes_until_it_expires() {
        let key = TokenKey::new(&installation(7, 1, 9));
        let issued = issue(&key);
        let claims = key.verify(&issued.token, ISSUED).unwrap();
        assert_eq!(claims.issued_at, ISSUED);
        assert!(claims.scopes.contains(Scope::Chat) && !claims.scopes.contains(Scope::ChatJoin));
        assert!(
            key.verify(&issued.token, issued.expires_at.plus_millis(-1))
                .is_ok()
        );
        assert!(key.verify(&issued.token, issued.expires_at).is_err());
        assert_eq!(key.known.len(), 1);
        assert_eq!(key.known.capacity(), KNOWN_TOKENS_MAX);
    }

    #[test]
    fn the_payload_is_what_the_decoders_of_all_sdks_can_read() {
        let token = issue(&TokenKey::new(&installation(7, 1, 9))).token;
        let payload = token.split('.').nth(1).unwrap();
        let json = BASE64_STANDARD_NO_PAD.decode(payload).unwrap();
        let json = std::str::from_utf8(&json).unwrap();
        assert!(
            json.is_ascii() && json.contains(r#""exp":1700003600,"#),
            "{json}"
        );
        assert!(json.contains(r#""acsScope":"chat,voip""#), "{json}");
    }

    #[test]
    fn tokens_of_another_key_or_resource_are_refused() {
        let token = issue(&TokenKey::new(&installation(7, 1, 9))).token;
        for other in [installation(8, 1, 9), installation(7, 1, 8)] {
            assert!(TokenKey::new(&other).verify(&token, ISSUED).is_err());
        }
    }

    #[test]
    fn forged_tokens_are_refused() {
        let key = TokenKey::new(&installation(7, 1, 9));
        let token = issue(&key).token;
        let parts: Vec<_> = token.split('.').collect();
        let unsigned = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
        for forged in [
            String::new(),
            "..".to_owned(),
            token[..token.len() - 1].to_owned(),
            format!("{}.{}.", parts[0], parts[1]),
            format!("{unsigned}.{}.", parts[1]),
            format!("{unsigned}.{}.{}", parts[1], parts[2]),
            format!("{}.{}A.{}", parts[0], parts[1], parts[2]),
            "A".repeat(TOKEN_BYTES_MAX + 1),
        ] {
            assert!(key.verify(&forged, ISSUED).is_err(), "{forged}");
        }
        assert_eq!(key.known.len(), 0);
    }
}
