//! Session ids: the one credential of a websocket. Each names user, connection identity and token,
//! is sealed by the server, good for seconds and for one websocket, and takes no memory until it
//! is used.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use cavansite_core::clock::Randomness;
use cavansite_core::identity::Session;
use cavansite_core::model::{Installation, Timestamp, UserId};

/// Sets these seals apart from whatever else is made with the key.
const PURPOSE: &[u8] = b"real-time session id\0";
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
            "{} {} {} {} {} {}",
            ticket.session.user,
            ticket.epid,
            ticket.session.issued_at.as_millis(),
            ticket.session.expires_at.as_millis(),
            until.as_millis(),
            u64::from_le_bytes(nonce),
        );
        let mut bytes = self.tag(text.as_bytes()).as_ref().to_vec();
        bytes.extend_from_slice(text.as_bytes());
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What the session id says, the first time that it is shown in time.
    pub(super) fn open(&self, id: &str, now: Timestamp) -> Option<Ticket> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(id).ok()?;
        let (tag, text) = bytes.split_at_checked(TAG_BYTES)?;
        let signed = [PURPOSE, text].concat();
        hmac::verify(&self.key, &signed, tag).ok()?;
        let mut fields = std::str::from_utf8(text).ok()?.split(' ');
        let user = UserId::parse(fields.next()?)?;
        let epid = fields.next()?.to_owned();
        let mut number = || fields.next()?.parse().ok().map(Timestamp::from_millis);
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
            },
            epid,
        })
    }

    /// Forgets ids that nobody can use any more.
    pub(super) fn sweep(&self, now: Timestamp) {
        let mut seen = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|_, until| *until > now);
        seen.shrink_to(64);
    }

    fn tag(&self, text: &[u8]) -> hmac::Tag {
        hmac::sign(&self.key, &[PURPOSE, text].concat())
    }
}
