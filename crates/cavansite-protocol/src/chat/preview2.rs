//! Chat 2020-09-21-preview2: members, string ids, 207 answers, XML system messages, priority.
//!
//! What the Python quickstart of 2020 speaks (`azure-communication-chat` 1.0.0b1 to b3).

use std::fmt::Write as _;

use quick_xml::escape::escape;
use serde::{Deserialize, Serialize};

use super::Decimal;
use crate::time::DateTime;

/// The hint to the recipient's interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChatMessagePriority {
    /// The default.
    Normal,
    /// Above others.
    High,
}

/// Somebody in a thread, in requests.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChatThreadMemberRequest {
    /// The raw id.
    pub id: String,
    /// Their name in the thread.
    pub display_name: Option<String>,
    /// The history to be theirs to read.
    pub share_history_time: Option<DateTime>,
}

/// Somebody in a thread, in answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChatThreadMember<'a> {
    /// The raw id.
    pub id: &'a str,
    /// Left out when never given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<&'a str>,
    /// Always there; 1970 for the whole history.
    pub share_history_time: DateTime,
}

/// `POST /chat/threads`.
#[derive(Debug, Deserialize)]
pub struct CreateChatThreadRequest {
    /// Not empty.
    pub topic: String,
    /// The people.
    pub members: Vec<ChatThreadMemberRequest>,
}

/// `POST /chat/threads/{id}/members`.
#[derive(Debug, Deserialize)]
pub struct AddChatThreadMembersRequest {
    /// The people.
    pub members: Vec<ChatThreadMemberRequest>,
}

/// The 207 answer to creating a thread and to adding people.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MultiStatusResponse<'a> {
    /// The people in the request's order, then the thread.
    pub multiple_status: Vec<IndividualStatusResponse<'a>>,
}

/// What became of one part of a request. SDKs look for the `type` `Thread`, in that letter case.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IndividualStatusResponse<'a> {
    /// A raw user id or a thread id.
    pub id: &'a str,
    /// 201, 403 or 404.
    pub status_code: u16,
    /// Left out on success.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<&'a str>,
    /// `ThreadMember` or `Thread`.
    pub r#type: &'a str,
}

/// `GET /chat/threads/{id}`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChatThread<'a> {
    /// The thread's id.
    pub id: &'a str,
    /// What it is about.
    pub topic: &'a str,
    /// When it was created.
    pub created_on: DateTime,
    /// The creator's raw id.
    pub created_by: &'a str,
    /// The people in it.
    pub members: Vec<ChatThreadMember<'a>>,
}

/// An item of `GET /chat/threads`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChatThreadInfo<'a> {
    /// The thread's id.
    pub id: String,
    /// What it is about.
    pub topic: &'a str,
    /// Always false: deleted threads are not listed.
    pub is_deleted: bool,
    /// When its newest message came.
    pub last_message_received_on: DateTime,
}

/// `PATCH /chat/threads/{id}`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct UpdateChatThreadRequest {
    /// The new topic.
    pub topic: Option<String>,
}

/// `POST /chat/threads/{id}/messages`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SendChatMessageRequest {
    /// The text.
    pub content: String,
    /// `Normal` when absent.
    pub priority: Option<ChatMessagePriority>,
    /// The sender's name for this message.
    pub sender_display_name: Option<String>,
}

/// `PATCH /chat/threads/{id}/messages/{id}`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct UpdateChatMessageRequest {
    /// The new text.
    pub content: Option<String>,
    /// The new priority.
    pub priority: Option<ChatMessagePriority>,
}

/// A message. System messages carry the thread's id as `senderId` and no name.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChatMessage<'a> {
    /// Its id.
    pub id: Decimal,
    /// `Text` or one of the `ThreadActivity/…`.
    pub r#type: &'a str,
    /// `Normal` for system messages.
    pub priority: ChatMessagePriority,
    /// Rises at each change.
    pub version: Decimal,
    /// The text, or the XML of a [`SystemContent`].
    #[serde(serialize_with = "crate::text::serialize")]
    pub content: std::borrow::Cow<'a, str>,
    /// Present, perhaps empty, on users' messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender_display_name: Option<&'a str>,
    /// When it was sent.
    pub created_on: DateTime,
    /// Who sent it.
    pub sender_id: &'a str,
    /// When it was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_on: Option<DateTime>,
    /// When it was last edited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edited_on: Option<DateTime>,
}

/// `POST /chat/threads/{id}/readreceipts`, in every family.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SendReadReceiptRequest {
    /// Read up to and including this message.
    pub chat_message_id: String,
}

/// An item of `GET /chat/threads/{id}/readreceipts`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadReceipt<'a> {
    /// Who read.
    pub sender_id: &'a str,
    /// Up to and including this message.
    pub chat_message_id: Decimal,
    /// When they said so.
    pub read_on: DateTime,
}

/// What a system message says, written as XML without white space between the elements, as
/// recorded of the hosted service in 2020.
#[derive(Debug)]
pub struct SystemContent<'a> {
    /// Epoch milliseconds.
    pub event_time: i64,
    /// Who did it.
    pub initiator: &'a str,
    /// Their name in the thread, where known.
    pub initiator_name: Option<&'a str>,
    /// What was done.
    pub change: SystemChange<'a>,
}

/// The change that a system message tells of.
#[derive(Debug)]
pub enum SystemChange<'a> {
    /// `<topicupdate>` with the new topic.
    Topic(&'a str),
    /// `<addmember>` with raw ids and names.
    Added(Vec<(&'a str, Option<&'a str>)>),
    /// `<deletemember>` with raw ids and names.
    Removed(Vec<(&'a str, Option<&'a str>)>),
}

impl SystemContent<'_> {
    /// The XML.
    pub fn to_xml(&self) -> String {
        let (element, people) = match &self.change {
            SystemChange::Topic(_) => ("topicupdate", &[][..]),
            SystemChange::Added(people) => ("addmember", &people[..]),
            SystemChange::Removed(people) => ("deletemember", &people[..]),
        };
        let mut xml = String::new();
        let mut put = |name: &str, text: &str| {
            // Writing to a String cannot fail.
            let _ = write!(xml, "<{name}>{}</{name}>", escape(readable(text)));
        };
        put("eventtime", &self.event_time.to_string());
        put("initiator", self.initiator);
        if let SystemChange::Topic(topic) = self.change {
            put("value", topic);
        } else {
            if let Some(name) = self.initiator_name {
                let name = escape(readable(name));
                let name = format!("<friendlyName>{name}</friendlyName>");
                let _ = write!(xml, "<detailedinitiatorinfo>{name}</detailedinitiatorinfo>");
            }
            let _ = write!(xml, "<rosterVersion>{}</rosterVersion>", self.event_time);
        }
        for (id, name) in people {
            let id = escape(*id);
            let _ = write!(
                xml,
                "<target>{id}</target><detailedtargetinfo><id>{id}</id>"
            );
            if let Some(name) = name {
                let _ = write!(
                    xml,
                    "<friendlyName>{}</friendlyName>",
                    escape(readable(name))
                );
            }
            xml.push_str("</detailedtargetinfo>");
        }
        format!("<{element}>{xml}</{element}>")
    }
}

/// The text without what XML 1.0 cannot carry, escaped or not: U+FFFD stands in its place.
fn readable(text: &str) -> String {
    let allowed = |c: char| {
        matches!(c, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}')
            || c > '\u{FFFF}'
    };
    text.chars()
        .map(|c| if allowed(c) { c } else { '\u{FFFD}' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn added_members_are_written_as_the_hosted_service_wrote_them() {
        let content = SystemContent {
            event_time: 1_605_055_117_233,
            initiator: "8:acs:R_a",
            initiator_name: None,
            change: SystemChange::Added(vec![("8:acs:R_a", None), ("8:acs:R_b", Some("User 2"))]),
        };
        assert_eq!(
            content.to_xml(),
            "<addmember><eventtime>1605055117233</eventtime><initiator>8:acs:R_a</initiator>\
             <rosterVersion>1605055117233</rosterVersion>\
             <target>8:acs:R_a</target><detailedtargetinfo><id>8:acs:R_a</id></detailedtargetinfo>\
             <target>8:acs:R_b</target><detailedtargetinfo><id>8:acs:R_b</id>\
             <friendlyName>User 2</friendlyName></detailedtargetinfo></addmember>"
        );
    }

    #[test]
    fn hostile_topics_stay_text() {
        let content = SystemContent {
            event_time: 1,
            initiator: "8:acs:R_a",
            initiator_name: Some("unused in topic updates"),
            change: SystemChange::Topic("</value><x a=\"1\">&'\u{1}\u{FFFE}😀"),
        };
        let xml = content.to_xml();
        assert_eq!(
            xml,
            "<topicupdate><eventtime>1</eventtime><initiator>8:acs:R_a</initiator>\
             <value>&lt;/value&gt;&lt;x a=&quot;1&quot;&gt;&amp;&apos;\u{FFFD}\u{FFFD}😀</value>\
             </topicupdate>"
        );
    }
}
