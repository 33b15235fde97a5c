//! Texts of messages, which are most of what is rendered.
//!
//! serde has texts escaped byte by byte, which is a third of what a page costs. So a message's text
//! is handed on as bytes, which JSON has no form for, and the writer of JSON takes bytes for a
//! text: it looks at many at a time for one to escape.

use serde::{Serialize, Serializer};

/// Serialises a text as bytes, for a writer that takes them for a text.
pub fn serialize<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(text.as_bytes())
}

/// A text that is serialised so.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a>(pub &'a str);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(self.0, serializer)
    }
}
