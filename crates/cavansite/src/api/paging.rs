//! Pages: sizes, start times, continuations and links to the next page.
//!
//! A continuation carries positions only and is worth nothing without a token that may read what
//! it points into: access is checked anew on each page. It is lower-case hex, which survives
//! every client's re-encoding, and begins with the number of its format.

use std::fmt::Write as _;

use cavansite_core::limits::Limits;
use cavansite_core::model::{ThreadId, Timestamp, Version};
use cavansite_core::store::{MessagePage, ThreadPage};
use cavansite_protocol::time::DateTime;

use super::error::{ApiError, ApiResult};
use super::target::parameter;

const SYNC_STATE: &str = "syncState";
/// First bytes of a continuation: its format, which changes whenever its layout does.
const MESSAGES_FORMAT: u8 = 1;
const THREADS_FORMAT: u8 = 2;

/// What a request asks of a list of messages.
pub(super) fn message_page(
    query: Option<&str>,
    thread: &str,
    limits: &Limits,
) -> ApiResult<MessagePage> {
    let limit = page_size(query, limits)?;
    let Some(token) = parameter(query, SYNC_STATE)? else {
        return Ok(MessagePage {
            start_time: start_time(query)?,
            before: None,
            limit,
        });
    };
    let (start, before, of) = read_token(&token, MESSAGES_FORMAT)?;
    if ThreadId::parse(thread) != Some(of) {
        return Err(malformed_token());
    }
    Ok(MessagePage {
        start_time: start,
        before: Some(Version(before)),
        limit,
    })
}

/// The link to the page of messages after this one.
pub(super) fn next_messages(
    base_url: &str,
    thread: &str,
    page: &MessagePage,
    last: Version,
    api_version: &str,
) -> Option<String> {
    let token = write_token(
        MESSAGES_FORMAT,
        page.start_time,
        last.0,
        ThreadId::parse(thread)?,
    );
    Some(format!(
        "{base_url}/chat/threads/{thread}/messages?{SYNC_STATE}={token}&maxPageSize={}\
         &api-version={api_version}",
        page.limit
    ))
}

/// What a request asks of a list of threads.
pub(super) fn thread_page(query: Option<&str>, limits: &Limits) -> ApiResult<ThreadPage> {
    let limit = page_size(query, limits)?;
    let Some(token) = parameter(query, SYNC_STATE)? else {
        return Ok(ThreadPage {
            start_time: start_time(query)?,
            after: None,
            limit,
        });
    };
    let (start_time, at, thread) = read_token(&token, THREADS_FORMAT)?;
    Ok(ThreadPage {
        start_time,
        after: Some((Timestamp::from_millis(at), thread)),
        limit,
    })
}

/// The link to the page of threads after this one.
pub(super) fn next_threads(
    base_url: &str,
    page: &ThreadPage,
    last: (Timestamp, ThreadId),
    api_version: &str,
) -> String {
    let token = write_token(THREADS_FORMAT, page.start_time, last.0.as_millis(), last.1);
    format!(
        "{base_url}/chat/threads?{SYNC_STATE}={token}&maxPageSize={}&api-version={api_version}",
        page.limit
    )
}

/// A part of a list that is short enough to be read whole: people and receipts.
pub(super) struct Slice {
    skip: usize,
    limit: usize,
}

impl Slice {
    /// What a request asks for, by `skip` and `maxPageSize`.
    pub(super) fn of(query: Option<&str>, limits: &Limits) -> ApiResult<Self> {
        let skip = match parameter(query, "skip")? {
            None => 0,
            Some(text) => text
                .parse::<u32>()
                .map_err(|_| ApiError::invalid(Some("skip"), "skip must be 0 or more."))?
                as usize,
        };
        Ok(Self {
            skip,
            limit: page_size(query, limits)?,
        })
    }

    /// The items of the page, and the link to the next where there is one; `path` is the list's.
    pub(super) fn cut<T>(
        &self,
        mut items: Vec<T>,
        base_url: &str,
        path: &str,
        api_version: &str,
    ) -> (Vec<T>, Option<String>) {
        let end = self.skip.saturating_add(self.limit);
        let more = items.len() > end;
        items.truncate(end);
        items.drain(..self.skip.min(items.len()));
        let link = more.then(|| {
            let limit = self.limit;
            format!("{base_url}{path}?skip={end}&maxPageSize={limit}&api-version={api_version}")
        });
        (items, link)
    }
}

/// `maxPageSize`: the cap when absent, at the most the cap; zero, negative or no number is refused.
fn page_size(query: Option<&str>, limits: &Limits) -> ApiResult<usize> {
    let max = limits.page_items_max;
    let Some(text) = parameter(query, "maxPageSize")? else {
        return Ok(max);
    };
    match text.parse::<i64>() {
        Ok(size) if size >= 1 => Ok(usize::try_from(size).unwrap_or(max).min(max)),
        _ => Err(ApiError::invalid(
            Some("maxPageSize"),
            "maxPageSize must be 1 or more.",
        )),
    }
}

/// `startTime`: the epoch when absent.
fn start_time(query: Option<&str>) -> ApiResult<Timestamp> {
    let Some(text) = parameter(query, "startTime")? else {
        return Ok(Timestamp::EPOCH);
    };
    DateTime::parse(&text)
        .map(|time| Timestamp::from_millis(time.0))
        .ok_or_else(|| {
            ApiError::invalid(
                Some("startTime"),
                "startTime must be an RFC 3339 date and time, such as 2020-11-11T00:38:38Z.",
            )
        })
}

fn write_token(format: u8, start: Timestamp, position: i64, thread: ThreadId) -> String {
    let bytes = [format]
        .into_iter()
        .chain(start.as_millis().to_be_bytes())
        .chain(position.to_be_bytes())
        .chain(*thread.as_bytes());
    bytes.fold(String::with_capacity(66), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn read_token(text: &str, format: u8) -> ApiResult<(Timestamp, i64, ThreadId)> {
    parse_token(text, format).ok_or_else(malformed_token)
}

fn parse_token(text: &str, format: u8) -> Option<(Timestamp, i64, ThreadId)> {
    const LENGTH: usize = 1 + 8 + 8 + 16;
    if text.len() != 2 * LENGTH || !text.bytes().all(|c| c.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0_u8; LENGTH];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    let (start, rest) = bytes[1..].split_first_chunk::<8>()?;
    let (position, thread) = rest.split_first_chunk::<8>()?;
    (bytes[0] == format).then_some((
        Timestamp::from_millis(i64::from_be_bytes(*start)),
        i64::from_be_bytes(*position),
        ThreadId::from_bytes(thread.try_into().ok()?),
    ))
}

fn malformed_token() -> ApiError {
    ApiError::invalid(
        Some(SYNC_STATE),
        "syncState is not one that this list has handed out.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREAD: ThreadId = ThreadId::from_bytes([0xab; 16]);

    #[test]
    fn a_continuation_reads_back_what_it_was_written_from() {
        let start = Timestamp::from_millis(-5);
        let token = write_token(MESSAGES_FORMAT, start, i64::MAX, THREAD);
        assert_eq!(
            parse_token(&token, MESSAGES_FORMAT),
            Some((start, i64::MAX, THREAD))
        );
        assert_eq!(
            parse_token(&token.to_uppercase(), MESSAGES_FORMAT).map(|t| t.2),
            Some(THREAD)
        );
    }

    #[test]
    fn a_continuation_of_another_list_or_a_broken_one_is_refused() {
        let token = write_token(THREADS_FORMAT, Timestamp::EPOCH, 1, THREAD);
        for broken in [
            token.as_str(),
            "",
            "01",
            &token[1..],
            &format!("{token}00"),
            &"é".repeat(33),
        ] {
            assert!(parse_token(broken, MESSAGES_FORMAT).is_none(), "{broken}");
        }
    }

    #[test]
    fn page_sizes_below_one_are_refused_and_large_ones_cut() {
        let size = |query| page_size(Some(query), &Limits::default()).ok();
        assert_eq!(size("maxPageSize=1"), Some(1));
        assert_eq!(size("maxPageSize=1000000000"), Some(200));
        assert_eq!(size(""), Some(200));
        for refused in [
            "maxPageSize=0",
            "maxPageSize=-1",
            "maxPageSize=x",
            "maxPageSize=",
        ] {
            assert_eq!(size(refused), None, "{refused}");
        }
    }

    #[test]
    fn slices_cover_a_list_without_gap_or_overlap() {
        let mut seen = Vec::new();
        let mut slice = Slice { skip: 0, limit: 3 };
        loop {
            let (items, link) = slice.cut((0..7).collect::<Vec<_>>(), "https://h", "/p", "v");
            seen.extend(items);
            let Some(link) = link else { break };
            let query = link.split_once('?').unwrap().1.to_owned();
            slice = Slice::of(Some(&query), &Limits::default()).unwrap();
        }
        assert_eq!(seen, (0..7).collect::<Vec<_>>());
    }
}
