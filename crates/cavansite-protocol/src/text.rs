//! Texts of messages, which are most of what is rendered.
//!
//! serde has texts escaped byte by byte, which is a third of what a page costs. So a message's text
//! is handed on as bytes, which JSON has no form for, and the writer of JSON takes bytes for a
//! text: it looks at many at a time for one to escape.

use serde::Serializer;

/// Serialises a text as bytes, for a writer that takes them for a text.
pub fn serialize<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(text.as_bytes())
}

/// The same for a text that may be missing; left out by `skip_serializing_if`.
#[expect(clippy::ref_option, reason = "serde's signature")]
pub(crate) fn serialize_option<S: Serializer>(
    text: &Option<&str>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serialize(text.unwrap_or_default(), serializer)
}
