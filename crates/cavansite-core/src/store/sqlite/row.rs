//! What stands in the columns, and how it becomes the model's types.
//!
//! Payloads that have structure (metadata, the people of a system message) are JSON text through
//! private structs, so that an operator can read them and the model stays free of formats.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::types::{FromSqlError, Type};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use crate::model::{
    Message, MessageContent, MessageId, Metadata, Participant, Priority, RetentionPolicy,
    TextFormat, Timestamp, UserId, UserMessage, Version,
};

type Sql<T> = rusqlite::Result<T>;

const KIND_TEXT: i64 = 1;
const KIND_HTML: i64 = 2;
const KIND_TOPIC_UPDATED: i64 = 3;
const KIND_PARTICIPANTS_ADDED: i64 = 4;
const KIND_PARTICIPANTS_REMOVED: i64 = 5;

/// The columns of `messages` in the order in which `MessageReader` takes them.
macro_rules! message_columns {
    () => {
        "version, id, sequence, created_at, kind, sender, priority, edited_at, deleted_at, \
         sender_display_name, metadata, content"
    };
}

/// A person of a system message, as its `content` column has them.
#[derive(Serialize, Deserialize)]
struct ParticipantRow {
    user: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    display_name: Option<String>,
    share_history_time: i64,
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    metadata: Metadata,
}

/// String pairs as their column has them.
pub(super) fn metadata_to_sql(metadata: &Metadata) -> Sql<Option<String>> {
    if metadata.is_empty() {
        return Ok(None);
    }
    to_json(metadata).map(Some)
}

/// String pairs from their column.
pub(super) fn metadata_from_sql(column: usize, text: Option<&str>) -> Sql<Metadata> {
    text.map_or_else(|| Ok(Metadata::new()), |text| from_json(column, text))
}

/// A policy as its column has it.
pub(super) fn retention_to_sql(policy: Option<RetentionPolicy>) -> Option<i64> {
    policy.map(|policy| match policy {
        RetentionPolicy::Keep => -1,
        RetentionPolicy::DaysAfterCreation(days) => i64::from(days),
    })
}

/// A policy from its column.
pub(super) fn retention_from_sql(days: Option<i64>) -> Option<RetentionPolicy> {
    days.map(|days| {
        u32::try_from(days).map_or(RetentionPolicy::Keep, RetentionPolicy::DaysAfterCreation)
    })
}

/// A user's id from a text column.
pub(super) fn user_id(row: &Row<'_>, column: usize) -> Sql<UserId> {
    let text = row.get_ref(column)?.as_str()?;
    UserId::parse(text).ok_or_else(|| damaged(column, "not a user id"))
}

/// A time from an integer column.
pub(super) fn timestamp(row: &Row<'_>, column: usize) -> Sql<Timestamp> {
    row.get(column).map(Timestamp::from_millis)
}

/// A time from an integer column that may be NULL.
pub(super) fn timestamp_or_null(row: &Row<'_>, column: usize) -> Sql<Option<Timestamp>> {
    Ok(row
        .get::<_, Option<i64>>(column)?
        .map(Timestamp::from_millis))
}

/// What the columns `kind`, `priority`, `sender_display_name`, `metadata` and `content` hold.
pub(super) struct ContentColumns<'a> {
    pub(super) kind: i64,
    pub(super) priority: i64,
    pub(super) sender_display_name: Option<&'a str>,
    pub(super) metadata: Option<String>,
    pub(super) content: std::borrow::Cow<'a, str>,
}

impl<'a> ContentColumns<'a> {
    /// The columns for that content.
    pub(super) fn new(content: &'a MessageContent) -> Sql<Self> {
        let system = |kind, name: &'a Option<String>, content| Self {
            kind,
            priority: 0,
            sender_display_name: name.as_deref(),
            metadata: None,
            content,
        };
        Ok(match content {
            MessageContent::User(sent) => Self {
                kind: match sent.format {
                    TextFormat::Text => KIND_TEXT,
                    TextFormat::Html => KIND_HTML,
                },
                priority: i64::from(sent.priority == Priority::High),
                sender_display_name: Some(sent.sender_display_name.as_str())
                    .filter(|name| !name.is_empty()),
                metadata: metadata_to_sql(&sent.metadata)?,
                content: sent.content.as_str().into(),
            },
            MessageContent::TopicUpdated {
                initiator_display_name,
                topic,
                ..
            } => system(
                KIND_TOPIC_UPDATED,
                initiator_display_name,
                topic.as_str().into(),
            ),
            MessageContent::ParticipantsAdded {
                initiator_display_name,
                participants,
                ..
            } => system(
                KIND_PARTICIPANTS_ADDED,
                initiator_display_name,
                participants_to_json(participants)?.into(),
            ),
            MessageContent::ParticipantsRemoved {
                initiator_display_name,
                participants,
                ..
            } => system(
                KIND_PARTICIPANTS_REMOVED,
                initiator_display_name,
                participants_to_json(participants)?.into(),
            ),
        })
    }
}

/// Reads message rows of one page: senders that were looked up once are shared.
pub(super) struct MessageReader<'c> {
    pub(super) connection: &'c Connection,
    /// Taken out of the connection's cache once, and not for each row.
    message: Option<CachedStatement<'c>>,
    users: HashMap<i64, UserId>,
}

impl<'c> MessageReader<'c> {
    /// A reader on that connection.
    pub(super) fn new(connection: &'c Connection) -> Self {
        Self {
            connection,
            message: None,
            users: HashMap::new(),
        }
    }

    /// The message in that row of the table, if the row is there.
    pub(super) fn get(&mut self, row: i64) -> Sql<Option<Arc<Message>>> {
        let mut statement = match self.message.take() {
            Some(statement) => statement,
            None => self.connection.prepare_cached(concat!(
                "SELECT ",
                message_columns!(),
                " FROM messages WHERE row = ?1"
            ))?,
        };
        let message = statement
            .query_row(params![row], |row| self.read(row))
            .optional();
        self.message = Some(statement);
        message
    }

    /// The message in a result row that has the columns of `message_columns!`.
    fn read(&mut self, row: &Row<'_>) -> Sql<Arc<Message>> {
        let kind: i64 = row.get(4)?;
        let sender = self.user(row.get(5)?)?;
        let name = row.get_ref(9)?.as_str_or_null()?;
        let content = row.get_ref(11)?.as_str()?;
        let initiator_display_name = || name.map(str::to_owned);
        let content = match kind {
            KIND_TEXT | KIND_HTML => MessageContent::User(UserMessage {
                sender,
                sender_display_name: name.unwrap_or_default().to_owned(),
                format: if kind == KIND_HTML {
                    TextFormat::Html
                } else {
                    TextFormat::Text
                },
                content: content.to_owned(),
                priority: if row.get::<_, i64>(6)? == 0 {
                    Priority::Normal
                } else {
                    Priority::High
                },
                metadata: metadata_from_sql(10, row.get_ref(10)?.as_str_or_null()?)?,
                edited_at: timestamp_or_null(row, 7)?,
                deleted_at: timestamp_or_null(row, 8)?,
            }),
            KIND_TOPIC_UPDATED => MessageContent::TopicUpdated {
                initiator: sender,
                initiator_display_name: initiator_display_name(),
                topic: content.to_owned(),
            },
            KIND_PARTICIPANTS_ADDED => MessageContent::ParticipantsAdded {
                initiator: sender,
                initiator_display_name: initiator_display_name(),
                participants: participants_from_json(11, content)?,
            },
            KIND_PARTICIPANTS_REMOVED => MessageContent::ParticipantsRemoved {
                initiator: sender,
                initiator_display_name: initiator_display_name(),
                participants: participants_from_json(11, content)?,
            },
            _ => return Err(damaged(4, "an unknown kind of message")),
        };
        Ok(Arc::new(Message {
            version: Version(row.get(0)?),
            id: MessageId(row.get(1)?),
            sequence_id: row.get(2)?,
            created_at: timestamp(row, 3)?,
            content,
        }))
    }

    fn user(&mut self, number: i64) -> Sql<UserId> {
        if let Some(user) = self.users.get(&number) {
            return Ok(user.clone());
        }
        let user = self
            .connection
            .prepare_cached("SELECT id FROM users WHERE user = ?1")?
            .query_row(params![number], |row| user_id(row, 0))
            .map_err(|error| match error {
                // A damaged row, not an empty result.
                rusqlite::Error::QueryReturnedNoRows => damaged(5, "an unknown user"),
                error => error,
            })?;
        self.users.insert(number, user.clone());
        Ok(user)
    }
}

/// Whether the error tells of one damaged value and not of the engine.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::Error as E;
    matches!(
        error,
        E::FromSqlConversionFailure(..)
            | E::InvalidColumnType(..)
            | E::IntegralValueOutOfRange(..)
            | E::ToSqlConversionFailure(..)
            | E::Utf8Error(..)
    )
}

fn participants_to_json(participants: &[Participant]) -> Sql<String> {
    let rows: Vec<_> = participants
        .iter()
        .map(|participant| ParticipantRow {
            user: participant.user.as_str().to_owned(),
            display_name: participant.display_name.clone(),
            share_history_time: participant.share_history_time.as_millis(),
            metadata: participant.metadata.clone(),
        })
        .collect();
    to_json(&rows)
}

fn participants_from_json(column: usize, text: &str) -> Sql<Vec<Participant>> {
    let rows: Vec<ParticipantRow> = from_json(column, text)?;
    rows.into_iter()
        .map(|row| {
            Ok(Participant {
                user: UserId::parse(&row.user).ok_or_else(|| damaged(column, "not a user id"))?,
                display_name: row.display_name,
                share_history_time: Timestamp::from_millis(row.share_history_time),
                metadata: row.metadata,
            })
        })
        .collect()
}

fn to_json(value: &impl Serialize) -> Sql<String> {
    serde_json::to_string(value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

fn from_json<T: for<'de> Deserialize<'de>>(column: usize, text: &str) -> Sql<T> {
    // The parser's own words may quote the text, and content belongs in no log.
    serde_json::from_str(text).map_err(|_| damaged(column, "unreadable JSON"))
}

pub(super) fn damaged(column: usize, what: &'static str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(
        column,
        Type::Text,
        Box::new(FromSqlError::Other(what.into())),
    )
}
