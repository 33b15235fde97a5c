//! JavaScript's legacy `unescape()`. The official client passes the JSON inside thread events
//! through it before it parses it, so servers may escape in this way, and one that writes a percent
//! sign as itself would be misread by that client too.

use std::borrow::Cow;

/// Replaces `%XX` and `%uXXXX`, which name UTF-16 code units, by what they stand for; all else
/// stays, a percent sign that begins neither too.
pub(super) fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut units = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        units.extend(rest[..at].encode_utf16());
        rest = &rest[at..];
        let (unit, length) = escape(rest).unwrap_or((u16::from(b'%'), 1));
        units.push(unit);
        rest = &rest[length..];
    }
    units.extend(rest.encode_utf16());
    Cow::Owned(String::from_utf16_lossy(&units))
}

/// The code unit of the escape that a text begins with, and the escape's length.
fn escape(text: &str) -> Option<(u16, usize)> {
    let digits = |from: usize, to: usize| {
        let digits = text.get(from..to)?;
        let are_hex = digits.bytes().all(|c| c.is_ascii_hexdigit());
        are_hex.then(|| u16::from_str_radix(digits, 16).ok())?
    };
    if text[1..].starts_with('u') {
        return Some((digits(2, 6)?, 6));
    }
    Some((digits(1, 3)?, 3))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_decodes_what_the_language_s_standard_says() {
        for (escaped, text) in [
            ("", ""),
            ("plain \u{1F427}", "plain \u{1F427}"),
            ("%41%u0041", "AA"),
            ("%22topic%22", "\"topic\""),
            ("%u0022", "\""),
            ("\\u0025", "\\u0025"),
            ("%uD83D%uDC27", "\u{1F427}"),
            ("%C3%A4", "\u{c3}\u{a4}"),
            ("100%", "100%"),
            ("%4", "%4"),
            ("%zz%u12g4%U0041", "%zz%u12g4%U0041"),
            ("%%41", "%A"),
            ("%u+041%+1", "%u+041%+1"),
            ("%\u{1F427}%u\u{e4}bc", "%\u{1F427}%u\u{e4}bc"),
            ("%25%34%31", "%41"),
            ("%uD83D", "\u{fffd}"),
        ] {
            assert_eq!(unescape(escaped), text, "{escaped}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_what_has_no_percent_sign_stays(text in ".{0,40}(%u?[0-9a-fA-F]{0,4}.{0,3}){0,4}") {
            let read = unescape(&text);
            if !text.contains('%') {
                prop_assert_eq!(read, text.as_str());
            }
        }
    }
}
