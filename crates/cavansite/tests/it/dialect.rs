//! The chat api-versions that every test speaks, and how the shapes of each differ.

use serde_json::{Value, json};

/// A chat api-version, with what tests need to know of its shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Preview2,
    /// People are strings, as in preview2.
    Preview3,
    /// Who was not added is among the answer's errors, as in preview3.
    Preview4,
    /// Has no metadata yet, and typing notifications without a body.
    Ga2021,
    Ga2024,
    Ga2025,
}

impl Dialect {
    pub(crate) const ALL: [Self; 6] = [
        Self::Preview2,
        Self::Preview3,
        Self::Preview4,
        Self::Ga2021,
        Self::Ga2024,
        Self::Ga2025,
    ];

    pub(crate) fn version(self) -> &'static str {
        match self {
            Self::Preview2 => "2020-09-21-preview2",
            Self::Preview3 => "2020-11-01-preview3",
            Self::Preview4 => "2021-01-27-preview4",
            Self::Ga2021 => "2021-03-07",
            Self::Ga2024 => "2024-03-07",
            Self::Ga2025 => "2025-03-15",
        }
    }

    /// Whether people are called participants, and all that came with it.
    pub(crate) fn has_participants(self) -> bool {
        self != Self::Preview2
    }

    /// Whether people are objects, not strings.
    pub(crate) fn has_identifiers(self) -> bool {
        !matches!(self, Self::Preview2 | Self::Preview3)
    }

    /// Those of the answer to a create or an addition who could not be added.
    pub(crate) fn invalid_participants(self, answer: &Value) -> &Value {
        match self {
            Self::Preview3 | Self::Preview4 => &answer["errors"]["invalidParticipants"],
            _ => &answer["invalidParticipants"],
        }
    }

    /// Whether messages have metadata, and typing notifications a body.
    pub(crate) fn is_since_2021_09(self) -> bool {
        matches!(self, Self::Ga2024 | Self::Ga2025)
    }

    /// The status of the empty answer to a change.
    pub(crate) fn changed(self) -> u16 {
        if self.has_participants() { 204 } else { 200 }
    }

    /// The status of the answer to creating a thread and adding people.
    pub(crate) fn created(self) -> u16 {
        if self.has_participants() { 201 } else { 207 }
    }

    /// The status of the empty answer to a receipt.
    pub(crate) fn receipt_sent(self) -> u16 {
        if self.has_participants() { 200 } else { 201 }
    }

    pub(crate) fn people(self) -> &'static str {
        if self.has_participants() {
            "participants"
        } else {
            "members"
        }
    }

    /// Somebody in a request: id, and other fields.
    pub(crate) fn person(self, id: &str, more: &Value) -> Value {
        let mut person = if self.has_identifiers() {
            json!({ "communicationIdentifier": { "rawId": id, "communicationUser": { "id": id } } })
        } else {
            json!({ "id": id })
        };
        for (key, value) in more.as_object().into_iter().flatten() {
            person[key] = value.clone();
        }
        person
    }

    /// The raw id of somebody in an answer.
    pub(crate) fn id_of(self, person: &Value) -> &str {
        let id = if self.has_identifiers() {
            &person["communicationIdentifier"]["rawId"]
        } else {
            &person["id"]
        };
        id.as_str().unwrap()
    }

    /// The text of a message.
    pub(crate) fn text_of(self, message: &Value) -> &str {
        let text = if self.has_participants() {
            &message["content"]["message"]
        } else {
            &message["content"]
        };
        text.as_str().unwrap_or_default()
    }

    /// Whether a user sent the message.
    pub(crate) fn is_from_user(message: &Value) -> bool {
        matches!(message["type"].as_str(), Some("Text" | "text" | "html"))
    }
}
