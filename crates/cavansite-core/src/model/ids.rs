//! Identifiers and points in time.

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

/// A point in time: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 1970-01-01T00:00:00Z, which as a share-history time means "the whole history".
    pub const EPOCH: Self = Self(0);

    /// From milliseconds since the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// This time, moved by so many milliseconds; stops at the ends of the range.
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }
}

/// A user's raw id, `8:acs:<resource guid>_<suffix>`; of this resource or of another.
///
/// Cheap to clone. Compared as text: the service hands out lower-case ids and finds no others.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(Arc<str>);

impl UserId {
    /// The longest id that is looked at, in bytes; ours have 81.
    pub const BYTES_MAX: usize = 256;
    const PREFIX: &'static str = "8:acs:";

    /// The id of a user of `resource`; `suffix` should be random. It is written like a GUID, with
    /// no `_` (SDKs take a suffix with two of them for another kind of user).
    pub fn new(resource: Uuid, suffix: Uuid) -> Self {
        Self(
            format!(
                "{}{}_{}",
                Self::PREFIX,
                resource.hyphenated(),
                suffix.hyphenated()
            )
            .into(),
        )
    }

    /// Takes any raw id of the kind that chat knows, whichever resource it belongs to.
    pub fn parse(raw: &str) -> Option<Self> {
        let (resource, suffix) = raw.strip_prefix(Self::PREFIX)?.split_once('_')?;
        let plain = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
        let valid = raw.len() <= Self::BYTES_MAX
            && !resource.is_empty()
            && !suffix.is_empty()
            && resource.bytes().chain(suffix.bytes()).all(plain);
        valid.then(|| Self(raw.into()))
    }

    /// The id as it stands on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id without its leading `8:`, as the `skypeid` claim of a token carries it.
    pub fn without_kind(&self) -> &str {
        &self.0[2..]
    }

    /// Whether the id names a user of that resource (existing or not).
    pub fn belongs_to(&self, resource: Uuid) -> bool {
        self.0
            .strip_prefix(Self::PREFIX)
            .and_then(|rest| rest.split_once('_'))
            .and_then(|(owner, _)| Uuid::try_parse(owner).ok())
            == Some(resource)
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A thread's id: 128 bits that cannot be guessed, written `19:<32 hex digits>@thread.v2`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ThreadId([u8; 16]);

impl ThreadId {
    /// From its 16 bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its 16 bytes, as stores keep it.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Reads the wire form; `None` means that no thread of this server has that id.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix("19:")?.strip_suffix("@thread.v2")?;
        let lower_hex = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        if hex.len() != 32 || !hex.bytes().all(lower_hex) {
            return None;
        }
        u128::from_str_radix(hex, 16)
            .ok()
            .map(|value| Self(value.to_be_bytes()))
    }
}

impl fmt::Display for ThreadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "19:{:032x}@thread.v2", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for ThreadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A message's id: `max(previous + 1, now in ms)` at its commit, so unique and rising within the
/// thread. Under a burst it runs ahead of the clock; [`crate::model::Message::created_at`] does
/// not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub i64);

/// The version of a message: as its id when it was sent, and by the same rule at each change.
/// Unique within the thread over all messages; lists run from the highest down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub i64);

impl MessageId {
    /// Reads the wire form, a decimal number without sign; `None` means that no message has that
    /// id.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
        (digits && !text.starts_with('0'))
            .then(|| text.parse().ok().map(Self))
            .flatten()
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_id_reads_back_what_it_writes_and_nothing_else() {
        let id = ThreadId::from_bytes([0, 0x9a, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255]);
        assert_eq!(ThreadId::parse(&id.to_string()), Some(id));
        for other in [
            "",
            "19:@thread.v2",
            "19:+09a02030405060708090a0b0c0d0eff@thread.v2",
            "19:009A02030405060708090A0B0C0D0EFF@thread.v2",
            "19:009a02030405060708090a0b0c0d0eff@thread.v3",
            "19:009a02030405060708090a0b0c0d0eff0@thread.v2",
        ] {
            assert_eq!(ThreadId::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_message_id_is_a_plain_decimal_number() {
        assert_eq!(
            MessageId::parse("1605055118692"),
            Some(MessageId(1_605_055_118_692))
        );
        for other in [
            "",
            "0",
            "+1",
            "-1",
            "01",
            "1.0",
            "99999999999999999999",
            "1 ",
        ] {
            assert_eq!(MessageId::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_user_id_knows_its_resource() {
        let (resource, other) = (Uuid::from_u128(7), Uuid::from_u128(8));
        let user = UserId::new(resource, Uuid::from_u128(1));
        assert!(user.belongs_to(resource) && !user.belongs_to(other));
        assert_eq!(UserId::parse(user.as_str()), Some(user));
        for garbage in [
            "",
            "8:acs:",
            "8:acs:x",
            "8:acs:_y",
            "8:orgid:a",
            "8:acs:a_b\"",
            "8:acs:é_b",
        ] {
            assert_eq!(UserId::parse(garbage), None, "{garbage}");
        }
    }
}
