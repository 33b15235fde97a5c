//! Texts of messages, which are most of what is rendered.
//!
//! serde has texts escaped byte by byte, which is a third of what a page costs. So a message's text
//! is handed on as bytes, which JSON has no form for, and the writer of JSON takes bytes for a
//! text: it looks at many at a time for one to escape.

use serde::{Serialize, Serializer};

/// Bytes that are looked at together for one to be escaped.
const TOGETHER: usize = 8;
/// The lowest character that may stand in a JSON text.
const FIRST_PLAIN: u8 = 0x20;

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

/// How many bytes at the beginning of a text stand for themselves in JSON.
pub fn plain_bytes(text: &[u8]) -> usize {
    let (words, rest) = text.as_chunks::<TOGETHER>();
    let plain = words
        .iter()
        .take_while(|word| !any_to_escape(**word))
        .count();
    let rest = words.get(plain).map_or(rest, <[u8; TOGETHER]>::as_slice);
    let within = rest.iter().take_while(|byte| !is_to_escape(**byte)).count();
    plain * TOGETHER + within
}

/// What JSON does not let stand in a text: controls, quotes and backslashes.
fn is_to_escape(byte: u8) -> bool {
    byte < FIRST_PLAIN || byte == b'"' || byte == b'\\'
}

/// Whether one of the bytes is to be escaped, by arithmetic on all of them at once: taking the same
/// number from each byte borrows from its highest bit where the byte is lower. (Compilers make such
/// of a loop too, but not in a build for size.)
fn any_to_escape(bytes: [u8; TOGETHER]) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; TOGETHER]);
    const HIGHEST: u64 = ONES << 7;
    let word = u64::from_ne_bytes(bytes);
    let below = |word: u64, least: u8| word.wrapping_sub(ONES * u64::from(least)) & !word;
    let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    (below(word, FIRST_PLAIN) | is(b'"') | is(b'\\')) & HIGHEST != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_escaped_is_found_among_all_others_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            for beside in [b' ', b'!', b'#', b'[', b']', 0x7F, 0x80, 0xFF] {
                for at in 0..20 {
                    let mut text = [beside; 20];
                    text[at] = byte;
                    let expected = if is_to_escape(byte) { at } else { 20 };
                    assert_eq!(
                        plain_bytes(&text),
                        expected,
                        "{byte} at {at} beside {beside}"
                    );
                }
            }
        }
    }
}
