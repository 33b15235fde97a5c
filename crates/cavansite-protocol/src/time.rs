//! Points in time as the wire writes them.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, Visitor};
use serde::ser::{Serialize, Serializer};

/// Milliseconds since 1970-01-01T00:00:00Z, written `2020-11-11T00:38:38Z`.
///
/// Answers carry whole seconds, the rest cut off (every recorded answer of the chat API does).
/// Requests may carry any fraction and any offset; what is finer than a millisecond is rounded
/// up, so that "from this instant on" never includes what came before it. A time without an
/// offset is refused: the OpenAPI documents say RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DateTime(pub i64);

const NANOS_PER_MILLI: i128 = 1_000_000;

impl DateTime {
    /// Reads RFC 3339; `None` for anything else, and for years beyond 9999.
    pub fn parse(text: &str) -> Option<Self> {
        let time: jiff::Timestamp = text.parse().ok()?;
        let nanos = time.as_nanosecond();
        let millis =
            nanos.div_euclid(NANOS_PER_MILLI) + i128::from(nanos.rem_euclid(NANOS_PER_MILLI) != 0);
        i64::try_from(millis).ok().map(Self)
    }

    /// The calendar time; `None` beyond the year 9999.
    fn calendar(self) -> Option<jiff::Timestamp> {
        jiff::Timestamp::from_millisecond(self.0).ok()
    }
}

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = Self(self.0.div_euclid(1000) * 1000)
            .calendar()
            .unwrap_or(jiff::Timestamp::MAX);
        write!(f, "{whole:.0}")
    }
}

impl Serialize for DateTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DateTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = DateTime;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an RFC 3339 date and time, such as 2020-11-11T00:38:38Z")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<DateTime, E> {
                DateTime::parse(text)
                    .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Text).map_err(D::Error::custom)
    }
}

/// A [`DateTime`] as the identity API writes it: `2023-01-17T10:11:49.336+00:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetDateTime(pub i64);

impl Serialize for OffsetDateTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let time = DateTime(self.0).calendar().unwrap_or(jiff::Timestamp::MAX);
        let text = time.to_string();
        serializer.collect_str(&format_args!("{}+00:00", text.trim_end_matches('Z')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_whole_seconds_and_cut_off() {
        assert_eq!(
            DateTime(1_605_055_118_692).to_string(),
            "2020-11-11T00:38:38Z"
        );
        assert_eq!(DateTime(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(DateTime(-1).to_string(), "1969-12-31T23:59:59Z");
    }

    #[test]
    fn the_time_formats_of_all_sdks_are_read_and_rounded_up() {
        for (text, millis) in [
            ("2020-11-11T00:38:38.692Z", 1_605_055_118_692),
            ("2020-11-11T00:38:38.691001Z", 1_605_055_118_692),
            ("2020-11-11T00:38:38.691000001Z", 1_605_055_118_692),
            ("2020-11-11T01:38:38.692+01:00", 1_605_055_118_692),
            ("1970-01-01T00:00:00Z", 0),
        ] {
            assert_eq!(DateTime::parse(text), Some(DateTime(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_time_with_an_offset_is_refused() {
        for text in [
            "",
            "now",
            "2020-11-11",
            "2020-11-11T00:38:38",
            "99999-01-01T00:00:00Z",
        ] {
            assert_eq!(DateTime::parse(text), None, "{text}");
        }
    }

    #[test]
    fn expiry_times_carry_an_offset() {
        let json = serde_json::to_string(&OffsetDateTime(1_605_055_118_690)).unwrap();
        assert_eq!(json, r#""2020-11-11T00:38:38.69+00:00""#);
    }

    proptest::proptest! {
        #[test]
        fn reading_what_was_written_gives_the_second(millis in 0_i64..253_402_207_200_000) {
            let read = DateTime::parse(&DateTime(millis).to_string());
            proptest::prop_assert_eq!(read, Some(DateTime(millis / 1000 * 1000)));
        }
    }
}
