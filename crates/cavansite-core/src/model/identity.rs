//! Identities and the keys of the installation.

use std::fmt;

use uuid::Uuid;

use super::{Timestamp, UserId};
use crate::secret::Secret;

/// A user that the identity API made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its raw id.
    pub id: UserId,
    /// Tokens issued at or before this time are revoked.
    pub valid_from: Timestamp,
    /// When it was deleted, if it was.
    pub deleted_at: Option<Timestamp>,
}

/// What makes this server this one resource: made once at first start and kept by the store.
#[derive(Clone, Debug)]
pub struct Installation {
    /// The resource's id, part of every user id.
    pub resource: Uuid,
    /// The primary and the secondary access key; both are valid.
    pub access_keys: [AccessKey; 2],
    /// Signs user access tokens.
    pub token_key: Secret,
    /// Makes what must be the same at each repeat and must not be guessed: thread ids of repeated
    /// creates.
    pub derivation_key: Secret,
}

/// Which of the two access keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeySlot {
    /// The first.
    Primary,
    /// The second, for rotating without a pause.
    Secondary,
}

impl KeySlot {
    /// Both, in the order of [`Installation::access_keys`].
    pub const ALL: [Self; 2] = [Self::Primary, Self::Secondary];

    /// The name that people use for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Secondary => "secondary",
        }
    }
}

/// An access key, which signs requests to the identity API.
#[derive(Clone, Debug)]
pub struct AccessKey {
    /// Rises at each rotation of its slot. A token names the slot and the generation under which it
    /// was issued, and ends with them.
    pub generation: u32,
    /// The key's bytes; connection strings carry them in base64.
    pub key: Secret,
}

/// One access key as it was at some time: its slot, and the generation that it had then. A token
/// ends with the one that it was issued under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyGeneration {
    /// Where it was.
    pub slot: KeySlot,
    /// Which of those that were there.
    pub generation: u32,
}

impl KeyGeneration {
    /// From the form that [`fmt::Display`] gives it, `primary.1`.
    pub fn parse(text: &str) -> Option<Self> {
        let (slot, generation) = text.split_once('.')?;
        let slot = KeySlot::ALL
            .into_iter()
            .find(|known| known.as_str() == slot)?;
        let generation = generation.parse().ok()?;
        Some(Self { slot, generation })
    }
}

impl fmt::Display for KeyGeneration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot.as_str(), self.generation)
    }
}

impl Installation {
    /// The generation of the access key that is in that slot now.
    pub fn key_generation(&self, slot: KeySlot) -> KeyGeneration {
        let generation = self.access_key(slot).generation;
        KeyGeneration { slot, generation }
    }

    /// Whether that access key is in its slot still.
    pub fn has_key(&self, key: KeyGeneration) -> bool {
        self.key_generation(key.slot) == key
    }

    /// The access key in that slot.
    pub fn access_key(&self, slot: KeySlot) -> &AccessKey {
        match slot {
            KeySlot::Primary => &self.access_keys[0],
            KeySlot::Secondary => &self.access_keys[1],
        }
    }
}
