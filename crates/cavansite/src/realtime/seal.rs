//! What clients keep for the server, signed.
//!
//! Session ids are the one credential of a websocket. Each names user, connection identity and
//! token, and is good for seconds and for one websocket of this process, which alone knows those
//! that were used: they are signed with a key of its own, and take no memory until they are used.
//! Identity marks, signed with a key of the installation, tell since when a connection identity has
//! been there, also to a server that does not know it any more.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use cavansite_core::clock::Randomness;
use cavansite_core::identity::Session;
use cavansite_core::model::{Installation, KeyGeneration, Timestamp, UserId};

use super::limits::{USED_BY_USER_MAX, USED_MAX};

/// Sets these seals apart from whatever else is made with the key.
const SESSION: &[u8] = b"real-time session id\0";
const IDENTITY: &[u8] = b"real-time identity\0";
const TAG_BYTES: usize = 32;

/// Makes and checks session ids and identity marks; their text can be read by anybody.
pub(super) struct Seal {
    /// Of session ids.
    session_key: hmac::Key,
    /// Of identity marks.
    identity_key: hmac::Key,
    used: Mutex<Used>,
}

/// Session ids that were used, by their nonces, with whose they are and until when they would be
/// good.
#[derive(Default)]
struct Used {
    ids: HashMap<u64, (UserId, Timestamp)>,
    by_user: HashMap<UserId, usize>,
}

impl Used {
    /// Takes one down; `false` where it was used before, or there is no room for it.
    fn add(&mut self, nonce: u64, user: &UserId, until: Timestamp) -> bool {
        let of_user = self.by_user.get(user).copied().unwrap_or_default();
        if self.ids.len() >= USED_MAX || of_user >= USED_BY_USER_MAX {
            return false;
        }
        let Entry::Vacant(place) = self.ids.entry(nonce) else {
            return false;
        };
        place.insert((user.clone(), until));
        self.by_user.insert(user.clone(), of_user + 1);
        true
    }

    fn forget_expired(&mut self, now: Timestamp) {
        self.ids.retain(|_, (user, until)| {
            let is_good = *until > now;
            if !is_good && let Some(number) = self.by_user.get_mut(user) {
                *number -= 1;
            }
            is_good
        });
        self.by_user.retain(|_, number| *number > 0);
        self.ids.shrink_to(64);
        self.by_user.shrink_to(64);
    }
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
    pub(super) fn new(installation: &Installation, randomness: &dyn Randomness) -> Self {
        let mut session_key = [0; 32];
        randomness.fill(&mut session_key);
        Self {
            session_key: hmac::Key::new(hmac::HMAC_SHA256, &session_key),
            identity_key: hmac::Key::new(hmac::HMAC_SHA256, installation.derivation_key.expose()),
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
        sign(&self.session_key, SESSION, &text)
    }

    /// What the session id says, the first time that it is shown in time.
    pub(super) fn open(&self, id: &str, now: Timestamp) -> Option<Ticket> {
        let text = verify(&self.session_key, SESSION, id)?;
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
        if !self.used().add(nonce, &user, until) {
            return None;
        }
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
        sign(&self.identity_key, IDENTITY, &text)
    }

    /// Since when a connection identity has been there, by a mark that it brings back; `None` for
    /// what is no mark of its.
    pub(super) fn known_since(&self, mark: &str, user: &UserId, epid: &str) -> Option<Timestamp> {
        let text = verify(&self.identity_key, IDENTITY, mark)?;
        let since = text.strip_prefix(user.as_str())?.strip_prefix(' ')?;
        let since = since.strip_prefix(epid)?.strip_prefix(' ')?;
        since.parse().ok().map(Timestamp::from_millis)
    }

    /// Forgets ids that nobody can use any more.
    pub(super) fn sweep(&self, now: Timestamp) {
        self.used().forget_expired(now);
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sign(key: &hmac::Key, purpose: &[u8], text: &str) -> String {
    let tag = hmac::sign(key, &[purpose, text.as_bytes()].concat());
    BASE64_URL_SAFE_NO_PAD.encode([tag.as_ref(), text.as_bytes()].concat())
}

fn verify(key: &hmac::Key, purpose: &[u8], signed: &str) -> Option<String> {
    let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(signed).ok()?;
    let (tag, text) = bytes.split_at_checked(TAG_BYTES)?;
    hmac::verify(key, &[purpose, text].concat(), tag).ok()?;
    String::from_utf8(bytes.split_off(TAG_BYTES)).ok()
}

#[cfg(test)]
mod tests {
    use cavansite_core::clock::SystemRandomness;

    use super::super::tests::{installation, session};
    use super::*;

    #[test]
    fn who_uses_up_their_session_ids_is_refused_alone_and_for_their_time_only() {
        let mut used = Used::default();
        let users = ["1", "2"].map(|end| {
            let uuid = "00000000-0000-0000-0000-00000000000";
            UserId::parse(&format!("8:acs:{uuid}0_{uuid}{end}")).expect("a user's id")
        });
        let (now, until) = (Timestamp::from_millis(0), Timestamp::from_millis(30_000));
        for nonce in 0..USED_BY_USER_MAX as u64 {
            assert!(used.add(nonce, &users[0], until));
        }
        assert!(!used.add(u64::MAX, &users[0], until));
        assert!(used.add(u64::MAX, &users[1], until));
        assert!(!used.add(u64::MAX, &users[1], until));
        used.forget_expired(now);
        assert!(!used.add(u64::MAX - 1, &users[0], until));
        used.forget_expired(until);
        assert!(used.ids.is_empty() && used.by_user.is_empty());
        assert!(used.add(0, &users[0], until));
    }

    #[test]
    fn a_session_id_is_good_once_and_in_its_process_alone_and_a_mark_in_all() {
        let installation = installation();
        let seal = || Seal::new(&installation, &SystemRandomness);
        let (first, second) = (seal(), seal());
        let now = Timestamp::from_millis(0);
        let ticket = Ticket {
            session: session(1),
            epid: "e".to_owned(),
            known_since: now,
        };
        let id = first.seal(&ticket, now.plus_millis(1), &SystemRandomness);
        assert!(second.open(&id, now).is_none(), "after a restart");
        assert!(first.open(&id, now).is_some());
        assert!(first.open(&id, now).is_none(), "again");
        let user = &ticket.session.user;
        let mark = first.mark(user, "e", now);
        assert_eq!(second.known_since(&mark, user, "e"), Some(now));
    }
}
