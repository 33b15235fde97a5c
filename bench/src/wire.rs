//! The bytes of pushes: websocket frames, chunks of event streams, and the numbers by which
//! messages are told apart.

use anyhow::{Context as _, ensure};

use crate::load::BODY_BYTES;

/// Stands around a message's number; nothing else of a push has it.
const MARK: char = '#';
/// Digits of a message's number.
const DIGITS: usize = 12;

/// Text that came whole, and how many bytes it took with its framing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Piece<'a> {
    pub(crate) text: &'a str,
    pub(crate) bytes: usize,
}

/// What begins the content of the message of that number.
pub(crate) fn marked(number: usize) -> String {
    format!("{MARK}{number:0DIGITS$}{MARK}")
}

/// The JSON that sends that message, of [`BODY_BYTES`] bytes.
pub(crate) fn body(number: usize) -> String {
    let (head, tail) = ("{\"content\":\"", "\"}");
    let marked = marked(number);
    let filled = BODY_BYTES - head.len() - tail.len() - marked.len();
    format!("{head}{marked}{}{tail}", "x".repeat(filled))
}

/// The number of the message in a text; `None` in one that has none. What is less than a message
/// is an error.
pub(crate) fn number(text: &str) -> anyhow::Result<Option<usize>> {
    let Some((_, behind)) = text.split_once(MARK) else {
        return Ok(None);
    };
    let digits = behind.get(..DIGITS).context("a message's number")?;
    let content = behind[DIGITS..].trim_start_matches(MARK);
    let filled = content.bytes().take_while(|byte| *byte == b'x').count();
    ensure!(
        // The body around the content is not pushed.
        filled + 64 > BODY_BYTES,
        "a message came with {filled} of its bytes"
    );
    Ok(Some(digits.parse()?))
}

/// The id of a pushed request, `3:::{"id":7,…`.
pub(crate) fn push_id(text: &str) -> anyhow::Result<u64> {
    let behind = text.strip_prefix("3:::{\"id\":").context("a push's id")?;
    let digits = behind.split(',').next().context("a push's id")?;
    Ok(digits.parse()?)
}

/// The official client's answer to a push.
pub(crate) fn answer(id: u64) -> Vec<u8> {
    format!(
        "3:::{{\"id\":{id},\"status\":200,\"headers\":{{\"trouter-client\":\
         \"{{\\\"cd\\\":0}}\"}},\"body\":\"\"}}"
    )
    .into_bytes()
}

/// A text frame of a client; `None` of more than 64 KiB.
pub(crate) fn masked(text: &[u8]) -> Option<Vec<u8>> {
    const MASK: [u8; 4] = [0x5a, 0xa5, 0x3c, 0xc3];
    let mut frame = Vec::with_capacity(text.len() + 8);
    head(&mut frame, text.len(), 0x80)?;
    frame.extend(MASK);
    frame.extend(text.iter().zip(MASK.iter().cycle()).map(|(a, b)| a ^ b));
    Some(frame)
}

/// A text frame of a server with a message of that number, in so many bytes as a whole.
pub(crate) fn floor_frame(number: usize, bytes: usize) -> Option<Vec<u8>> {
    let length = bytes.checked_sub(4)?;
    let mut frame = Vec::with_capacity(bytes);
    head(&mut frame, length, 0)?;
    frame.extend(marked(number).as_bytes());
    frame.resize(bytes, b'x');
    Some(frame)
}

fn head(frame: &mut Vec<u8>, length: usize, mask: u8) -> Option<()> {
    frame.push(0x81);
    if length < 126 {
        frame.push(mask | u8::try_from(length).ok()?);
    } else {
        frame.push(mask | 0x7e);
        frame.extend(u16::try_from(length).ok()?.to_be_bytes());
    }
    Some(())
}

/// Notes the whole frames of a server; returns how many bytes they have.
pub(crate) fn frames(
    bytes: &[u8],
    note: &mut dyn FnMut(Piece<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<usize> {
    let mut taken = 0;
    loop {
        let rest = &bytes[taken..];
        let (head, length) = match rest {
            [_, 126, high, low, ..] => (4, usize::from(u16::from_be_bytes([*high, *low]))),
            [_, length, ..] if *length < 126 => (2, usize::from(*length)),
            [_, 127..=255, ..] => anyhow::bail!("a frame of the server is masked or huge"),
            _ => return Ok(taken),
        };
        let Some(payload) = rest.get(head..head + length) else {
            return Ok(taken);
        };
        ensure!(rest[0] == 0x81, "a frame of the server is no text");
        note(Piece {
            text: std::str::from_utf8(payload)?,
            bytes: head + length,
        })?;
        taken += head + length;
    }
}

/// Notes the events of whole chunks of an event stream, each with the share of its chunk's framing;
/// returns how many bytes the chunks have.
pub(crate) fn chunks(
    bytes: &[u8],
    note: &mut dyn FnMut(Piece<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<usize> {
    let mut taken = 0;
    loop {
        let rest = &bytes[taken..];
        let Some(line) = rest.iter().take(16).position(|byte| *byte == b'\n') else {
            ensure!(rest.len() < 16, "an event stream is not in chunks");
            return Ok(taken);
        };
        let digits = std::str::from_utf8(&rest[..line])?.trim_end();
        let length = usize::from_str_radix(digits, 16).context("the length of a chunk")?;
        ensure!(length > 0, "the server ended an event stream");
        let begin = line + 1;
        let whole = begin + length + 2;
        if rest.len() < whole {
            return Ok(taken);
        }
        let text = std::str::from_utf8(&rest[begin..begin + length])?;
        ensure!(text.ends_with("\n\n"), "an event in pieces");
        let mut framing = whole - length;
        for event in text.split_inclusive("\n\n") {
            note(Piece {
                text: event,
                bytes: event.len() + framing,
            })?;
            framing = 0;
        }
        taken += whole;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read = fn(&[u8], &mut dyn FnMut(Piece<'_>) -> anyhow::Result<()>) -> anyhow::Result<usize>;

    fn noted(read: Read, bytes: &[u8]) -> (Vec<(String, usize)>, usize) {
        let mut noted = Vec::new();
        let taken = read(bytes, &mut |piece| {
            noted.push((piece.text.to_owned(), piece.bytes));
            Ok(())
        });
        (noted, taken.expect("bytes of a server"))
    }

    #[test]
    fn whole_frames_are_taken_and_the_beginning_of_the_next_is_left() {
        let mut bytes = b"\x81\x031::".to_vec();
        let frame = floor_frame(7, 2000).unwrap();
        assert_eq!(frame.len(), 2000);
        bytes.extend(&frame);
        bytes.extend(&frame[..100]);
        let (pieces, taken) = noted(frames, &bytes);
        assert_eq!(taken, 5 + 2000);
        assert_eq!(pieces[0], ("1::".to_owned(), 5));
        assert_eq!(pieces[1].1, 2000);
        assert_eq!(number(&pieces[1].0).unwrap(), Some(7));
    }

    #[test]
    fn whole_chunks_are_taken_event_by_event() {
        let bytes = b"6\r\na\n\nb\n\n\r\n9\r\nab";
        let (pieces, taken) = noted(chunks, bytes);
        assert_eq!(taken, bytes.len() - 5);
        assert_eq!(pieces, [("a\n\n".to_owned(), 8), ("b\n\n".to_owned(), 3)]);
    }

    #[test]
    fn a_body_has_its_size_and_a_message_that_was_cut_is_noticed() {
        let body = body(12);
        assert_eq!(body.len(), BODY_BYTES);
        assert_eq!(number(&body).unwrap(), Some(12));
        assert!(number(&body[..900]).is_err());
        assert_eq!(number("1::").unwrap(), None);
    }

    #[test]
    fn a_push_is_answered_by_its_id() {
        assert_eq!(push_id("3:::{\"id\":41,\"method\":\"POST\"}").unwrap(), 41);
        assert!(push_id("3:::{}").is_err());
        let frame = masked(&answer(41)).unwrap();
        assert_eq!(frame[1], 0x80 | u8::try_from(frame.len() - 6).unwrap());
    }
}
