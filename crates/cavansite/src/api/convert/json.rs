//! JSON as answers have it: serde's, but for the texts of messages (`cavansite_protocol::text`),
//! which come as bytes and are escaped many bytes at a time.

use std::io::{self, Write};

use cavansite_protocol::text::plain_bytes;
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

/// Renders a value into a buffer with room for so many bytes.
pub(super) fn render(value: &impl Serialize, bytes: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(bytes);
    let mut serializer = Serializer::with_formatter(&mut body, Texts);
    // Strings, numbers and maps of strings always serialise.
    if value.serialize(&mut serializer).is_err() {
        body.clear();
    }
    body
}

/// Compact JSON in which bytes are a text in UTF-8.
struct Texts;

impl Formatter for Texts {
    fn write_byte_array<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        text: &[u8],
    ) -> io::Result<()> {
        writer.write_all(b"\"")?;
        let mut rest = text;
        while !rest.is_empty() {
            let (plain, others) = rest.split_at(plain_bytes(rest));
            writer.write_all(plain)?;
            rest = others;
            if let Some((byte, others)) = rest.split_first() {
                write_escaped(writer, *byte)?;
                rest = others;
            }
        }
        writer.write_all(b"\"")
    }
}

fn write_escaped<W: ?Sized + Write>(writer: &mut W, byte: u8) -> io::Result<()> {
    let short = match byte {
        b'"' => b'"',
        b'\\' => b'\\',
        0x08 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        0x0C => b'f',
        b'\r' => b'r',
        other => return write!(writer, "\\u{other:04x}"),
    };
    writer.write_all(&[b'\\', short])
}

#[cfg(test)]
mod tests {
    use cavansite_protocol::text::Text;

    use super::*;

    #[test]
    fn a_text_is_escaped_as_serde_does_wherever_it_has_something_to_escape() {
        let all: String = (0..=0x17F).filter_map(char::from_u32).collect();
        let mut texts = vec![String::new(), all.clone(), all.repeat(3)];
        for at in [0, 1, 62, 63, 64, 65, 127, 128, 199] {
            for c in all.chars() {
                let mut text = "x".repeat(200);
                text.replace_range(at..=at, &c.to_string());
                texts.push(text);
            }
        }
        for text in texts {
            let expected = serde_json::to_vec(&text).unwrap();
            assert_eq!(render(&Text(&text), 0), expected);
        }
    }
}
