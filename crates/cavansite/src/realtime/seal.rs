//! What clients keep for the server, sealed with a key of the installation.
//!
//! Session ids are the one credential of a websocket. Each names user, connection identity and
//! token, is good for seconds and for one websocket, and takes no memory until it is used. Identity
//! marks tell since when a connection identity has been there, also to a server that does not know
//! it any more.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use cavansite_core::clock::Randomness;
use cavansite_core::identity::Session;
use cavansite_core::model::{Installation, KeyGeneration, Timestamp, UserId};

/// Sets these seals apart from whatever else is made with the key.
const SESSION: &[u8] = b"real-time session id\0";
const IDENTITY: &[u8] = b"real-time identity\0";
const TAG_BYTES: usize = 32;
/// Used session ids that are remembered until they expire.
const USED_MAX: usize = 64 * 1024;

/// Makes and opens session ids.
pub(super) struct Seal {
    key: hmac::Key,
    used: Mutex<HashMap<u64, Timestamp>>,
}

/// What a session id says.
#[derive(Clone, Debug)]
pub(crate) struct Ticket {
    pub(super) session: Session,
    pub(super) epid: String,
    /// Since when the connection identity has been there.
    pub(super) known_since: Timestamp,
}

impl Seal {
    pub(super) fn new(installation: &Installation) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, installation.derivation_key.expose()),
            used: Mutex::default(),
        }
    }

    pub(super) fn seal(
        &self,
        ticket: &Ticket,
        until: Timestamp,
        randomness: &dyn Randomness,
    ) -> String {
        let mut nonce = [0; 8];
        randomness.fill(&mut nonce);
        let text = format!(
            "{} {} {} {} {} {} {} {}",
            ticket.session.user,
            ticket.epid,
            ticket.session.key,
            ticket.known_since.as_millis(),
            ticket.session.issued_at.as_millis(),
            ticket.session.expires_at.as_millis(),
            until.as_millis(),
            u64::from_le_bytes(nonce),
        );
        self.close(SESSION, &text)
    }

    /// What the session id says, the first time that it is shown in time.
    pub(super) fn open(&self, id: &str, now: Timestamp) -> Option<Ticket> {
        let text = self.unseal(SESSION, id)?;
        let mut fields = text.split(' ');
        let user = UserId::parse(fields.next()?)?;
        let epid = fields.next()?.to_owned();
        let key = KeyGeneration::parse(fields.next()?)?;
        let mut number = || fields.next()?.parse().ok().map(Timestamp::from_millis);
        let known_since = number()?;
        let (issued_at, expires_at, until) = (number()?, number()?, number()?);
        let nonce: u64 = fields.next()?.parse().ok()?;
        if until <= now {
            return None;
        }
        let mut seen = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= USED_MAX {
            seen.retain(|_, until| *until > now);
        }
        if seen.len() >= USED_MAX || seen.insert(nonce, until).is_some() {
            return None;
        }
        drop(seen);
        Some(Ticket {
            session: Session {
                user,
                issued_at,
                expires_at,
                key,
            },
            epid,
            known_since,
        })
    }

    /// A mark for a connection identity that has been there since then.
    pub(super) fn mark(&self, user: &UserId, epid: &str, known_since: Timestamp) -> String {
        let text = format!("{user} {epid} {}", known_since.as_millis());
        self.close(IDENTITY, &text)
    }

    /// Since when a connection identity has been there, by a mark that it brings back; `None` for
    /// what is no mark of its.
    pub(super) fn known_since(&self, mark: &str, user: &UserId, epid: &str) -> Option<Timestamp> {
        let text = self.unseal(IDENTITY, mark)?;
        let since = text.strip_prefix(user.as_str())?.strip_prefix(' ')?;
        let since = since.strip_prefix(epid)?.strip_prefix(' ')?;
        since.parse().ok().map(Timestamp::from_millis)
    }

    /// Forgets ids that nobody can use any more.
    pub(super) fn sweep(&self, now: Timestamp) {
        let mut seen = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|_, until| *until > now);
        seen.shrink_to(64);
    }

    fn close(&self, purpose: &[u8], text: &str) -> String {
        let tag = hmac::sign(&self.key, &[purpose, text.as_bytes()].concat());
        BASE64_URL_SAFE_NO_PAD.encode([tag.as_ref(), text.as_bytes()].concat())
    }

    fn unseal(&self, purpose: &[u8], sealed: &str) -> Option<String> {
        let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (tag, text) = bytes.split_at_checked(TAG_BYTES)?;
        hmac::verify(&self.key, &[purpose, text].concat(), tag).ok()?;
        String::from_utf8(bytes.split_off(TAG_BYTES)).ok()
    }
}
