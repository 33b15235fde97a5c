//! Bytes that must never be printed: keys and what is derived from them.

use std::fmt;

/// Secret bytes. `Debug` shows the length only, there is no `Display`, and comparing is left to
/// constant-time functions, so a secret can reach neither a log nor an error text by accident.
#[derive(Clone)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Wraps bytes that must not be printed.
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes themselves, for signing, verifying and storing.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn a_secret_does_not_print_its_bytes() {
        assert_eq!(format!("{:?}", Secret::new(*b"hunter2")), "Secret(7 bytes)");
    }
}
