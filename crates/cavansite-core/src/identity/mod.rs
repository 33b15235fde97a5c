//! Identities and their tokens: made, checked, revoked and deleted.

mod token;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tokio::sync::watch;
use uuid::Uuid;

pub use token::IssuedToken;
use token::TokenKey;

use crate::caller::{Caller, Scopes};
use crate::clock::{Clock, Randomness};
use crate::error::{Error, Result, StoreFailure};
use crate::limits::Limits;
use crate::model::{Identity, Installation, KeyGeneration, KeySlot, Timestamp, UserId};
use crate::secret::Secret;
use crate::store::Store;

/// How long a token outlives the deletion of its identity, in milliseconds, where the hosted
/// service is followed ("revocation may take up to 15 minutes", ACS identity model).
pub const REVOCATION_GRACE_MS: i64 = 15 * 60 * 1000;

/// An access key, in bytes; the hosted service's are as long.
pub const ACCESS_KEY_BYTES: usize = 64;

/// So far ahead of a token's issue time it is recorded that tokens were issued: one write for all
/// of that time, in milliseconds.
const ISSUED_AHEAD_MS: i64 = 60_000;

/// The identity service. Who may call it (the holder of an access key) is checked at the edge.
pub struct IdentityService {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    randomness: Arc<dyn Randomness>,
    tokens: TokenKey,
    resource: Uuid,
    /// The keys as they are now.
    installation: Arc<watch::Sender<Arc<Installation>>>,
    limits: Limits,
    revocation_grace_ms: i64,
    /// The latest issue time of any token, in milliseconds. A revocation reaches at least that far,
    /// so that it holds for tokens issued in the same millisecond or while the clock was ahead.
    newest_issued_ms: AtomicI64,
    /// The time that the store has for that, never before it, in milliseconds.
    issued_through_ms: AtomicI64,
}

/// What [`IdentityService`] works with.
pub struct IdentityOptions {
    /// Where identities are kept.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where new ids come from.
    pub randomness: Arc<dyn Randomness>,
    /// The keys.
    pub installation: Installation,
    /// A time after which the process before has issued no token, as the store has it.
    pub issued_through: Timestamp,
    /// The bounds of token lives.
    pub limits: Limits,
    /// How long a token outlives the deletion of its identity: 0, or [`REVOCATION_GRACE_MS`].
    pub revocation_grace_ms: i64,
}

impl IdentityService {
    /// A service over these.
    pub fn new(options: IdentityOptions) -> Self {
        Self {
            tokens: TokenKey::new(&options.installation),
            store: options.store,
            clock: options.clock,
            randomness: options.randomness,
            resource: options.installation.resource,
            installation: Arc::new(watch::Sender::new(Arc::new(options.installation))),
            limits: options.limits,
            revocation_grace_ms: options.revocation_grace_ms,
            newest_issued_ms: AtomicI64::new(options.issued_through.as_millis()),
            issued_through_ms: AtomicI64::new(options.issued_through.as_millis()),
        }
    }

    /// Makes a new identity.
    pub async fn create_identity(&self) -> Result<UserId> {
        let mut suffix = [0; 16];
        self.randomness.fill(&mut suffix);
        let user = UserId::new(self.resource, Uuid::from_bytes(suffix));
        self.store.insert_identity(&user).await?;
        Ok(user)
    }

    /// The identity of that raw id; [`Error::IdentityNotOwned`] for garbage, for an id that this
    /// resource never made, and for a deleted one.
    pub async fn get_identity(&self, raw_id: &str) -> Result<Identity> {
        let user = UserId::parse(raw_id).ok_or(Error::IdentityNotOwned)?;
        let identity = self.store.get_identity(&user).await?;
        identity
            .filter(|found| found.deleted_at.is_none())
            .ok_or(Error::IdentityNotOwned)
    }

    /// Issues a token for a user. `minutes` is its life; `key` the access key that the request was
    /// signed with: rotating that key ends the token, and has ended it if it was rotated meanwhile.
    pub async fn issue_token(
        &self,
        user: &UserId,
        scopes: Scopes,
        minutes: Option<i64>,
        key: KeyGeneration,
    ) -> Result<IssuedToken> {
        let minutes = self.token_minutes(minutes)?;
        if scopes.is_empty() {
            return Err(missing_scopes());
        }
        let identity = self.get_identity(user.as_str()).await?;
        // Strictly after the revocation before, so that revoking and issuing within one
        // millisecond gives a token that works.
        let issued_at = self.clock.now().max(identity.valid_from.plus_millis(1));
        self.newest_issued_ms
            .fetch_max(issued_at.as_millis(), Ordering::SeqCst);
        if issued_at.as_millis() > self.issued_through_ms.load(Ordering::SeqCst) {
            let through = issued_at.plus_millis(ISSUED_AHEAD_MS);
            self.store.raise_issued_through(through).await?;
            self.issued_through_ms
                .fetch_max(through.as_millis(), Ordering::SeqCst);
        }
        let expires_at = issued_at.plus_millis(minutes * 60_000);
        self.tokens
            .issue(&identity.id, scopes, issued_at, expires_at, key)
    }

    /// Checks a life of so many minutes against the bounds and gives the default for none.
    pub fn token_minutes(&self, minutes: Option<i64>) -> Result<i64> {
        let (min, max) = (
            i64::from(self.limits.token_minutes_min),
            i64::from(self.limits.token_minutes_max),
        );
        match minutes {
            None => Ok(i64::from(self.limits.token_minutes_default)),
            Some(minutes) if (min..=max).contains(&minutes) => Ok(minutes),
            Some(minutes) => Err(Error::invalid(
                "ExpiresInMinutes",
                format!(
                    "ExpiresInMinutes value {minutes} is invalid. \
                     Value must be within the [{min}, {max}] interval."
                ),
            )),
        }
    }

    /// Ends the tokens of a user that were issued at or before `valid_from`, or so far. A time in
    /// the future counts as now: tokens yet to be issued are not revoked beforehand.
    pub async fn revoke_tokens(&self, raw_id: &str, valid_from: Option<Timestamp>) -> Result<()> {
        let identity = self.get_identity(raw_id).await?;
        let newest_issued = Timestamp::from_millis(self.newest_issued_ms.load(Ordering::SeqCst));
        let now = self.clock.now();
        let so_far = now.max(newest_issued);
        // Where a revocation before reached ahead of the clock, so do the tokens issued since.
        let is_ahead = identity.valid_from > now;
        let valid_from = valid_from.filter(|_| !is_ahead);
        let valid_from = valid_from.map_or(so_far, |time| time.min(so_far));
        self.store.revoke_tokens(&identity.id, valid_from).await
    }

    /// Deletes an identity; its tokens end with it, at once or after the grace.
    pub async fn delete_identity(&self, raw_id: &str) -> Result<()> {
        let identity = self.get_identity(raw_id).await?;
        self.store.delete_identity(&identity.id).await
    }

    /// The keys as they are now.
    pub fn installation(&self) -> Arc<Installation> {
        Arc::clone(&self.installation.borrow())
    }

    /// Tells of every change of the keys.
    pub fn installation_changes(&self) -> watch::Receiver<Arc<Installation>> {
        self.installation.subscribe()
    }

    /// Puts a new random access key in a slot. The old one, and the tokens that were issued under
    /// it, have ended when this returns, and also where nobody waits for that any more. To be
    /// called on a runtime.
    pub async fn rotate_access_key(&self, slot: KeySlot) -> Result<Arc<Installation>> {
        let mut key = [0; ACCESS_KEY_BYTES];
        self.randomness.fill(&mut key);
        let (store, present) = (Arc::clone(&self.store), Arc::clone(&self.installation));
        // A task of its own: whoever asked may go away while the store syncs.
        let rotation = tokio::spawn(async move {
            let rotated = store.rotate_access_key(slot, Secret::new(key)).await?;
            let rotated = Arc::new(rotated);
            put_in_force(&present, &rotated);
            Ok(rotated)
        });
        rotation
            .await
            .unwrap_or_else(|_| Err(StoreFailure::new("a rotation has stopped").into()))
    }

    /// The caller that a bearer token names; [`Error::Unauthorized`] for anything but a good token.
    pub async fn authenticate(&self, token: &str) -> Result<Caller> {
        Ok(self.open_session(token).await?.0)
    }

    /// As [`Self::authenticate`], with what a connection that outlives the request must know of
    /// the token.
    pub async fn open_session(&self, token: &str) -> Result<(Caller, Session)> {
        let claims = self.tokens.verify(token, self.clock.now())?;
        let session = Session {
            user: claims.user.clone(),
            issued_at: claims.issued_at,
            expires_at: claims.expires_at,
            key: claims.key,
        };
        self.check_session(&session).await?;
        Ok((Caller::new(claims.user, claims.scopes), session))
    }

    /// Refuses a session that has ended with [`Error::Unauthorized`]; else tells when it ends, as
    /// far as is known now.
    pub async fn check_session(&self, session: &Session) -> Result<Timestamp> {
        if !self.installation.borrow().has_key(session.key) {
            return Err(Error::Unauthorized);
        }
        let identity = self.store.get_identity(&session.user).await?;
        let identity = identity.ok_or(Error::Unauthorized)?;
        let ends_at = session.end(&identity, self.revocation_grace_ms);
        if ends_at <= self.clock.now() {
            return Err(Error::Unauthorized);
        }
        Ok(ends_at)
    }
}

/// Puts keys in force, unless newer ones are: two rotations at once may come back in either order.
fn put_in_force(present: &watch::Sender<Arc<Installation>>, rotated: &Arc<Installation>) {
    let generations = |installation: &Installation| {
        KeySlot::ALL.map(|slot| installation.key_generation(slot).generation)
    };
    present.send_if_modified(|installation| {
        let newer = generations(rotated);
        let mut newer = newer.iter().zip(generations(installation));
        let is_newer = newer.any(|(new, old)| *new > old);
        if is_newer {
            *installation = Arc::clone(rotated);
        }
        is_newer
    });
}

/// What a verified token allows over time: a connection's right to stay open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Whose.
    pub user: UserId,
    /// When its token was issued.
    pub issued_at: Timestamp,
    /// When its token expires.
    pub expires_at: Timestamp,
    /// The access key that its token was issued under.
    pub key: KeyGeneration,
}

impl Session {
    /// When it ends, where a token outlives the deletion of its identity by `grace_ms`.
    pub fn end(&self, identity: &Identity, grace_ms: i64) -> Timestamp {
        if self.issued_at <= identity.valid_from {
            return Timestamp::from_millis(i64::MIN);
        }
        match identity.deleted_at {
            Some(_) if grace_ms == 0 => Timestamp::from_millis(i64::MIN),
            Some(deleted_at) => self.expires_at.min(deleted_at.plus_millis(grace_ms)),
            None => self.expires_at,
        }
    }
}

/// The refusal of a token request without scopes, in the hosted service's words.
pub fn missing_scopes() -> Error {
    Error::invalid("scopes", "Invalid scopes - Scopes field is required.")
}
