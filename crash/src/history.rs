//! What clients asked of the server and what they were told, in order: all that the model knows.

use std::fs::File;
use std::path::Path;

/// A point in a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Rises with each moment of the history.
    pub(crate) order: u64,
    /// The length that the record of the disk had; 0 where there is none. What was answered at a
    /// position came after all that the record held up to it.
    pub(crate) position: u64,
}

/// A message as a reader saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) id: u64,
    pub(crate) version: u64,
    pub(crate) sequence: u64,
    pub(crate) body: Body,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Body {
    /// A user's, with its sender; `None` once it is deleted.
    User {
        sender: String,
        content: Option<String>,
    },
    /// A new topic.
    Topic(String),
    /// People who were added, sorted.
    Added(Vec<String>),
    /// People who were removed, sorted.
    Removed(Vec<String>),
}

/// What was asked. Contents and topics never repeat within a history.
#[derive(Debug, Clone)]
pub(crate) enum Action {
    Create {
        key: String,
        topic: String,
        /// All but the creator.
        participants: Vec<String>,
    },
    Send {
        thread: String,
        request_id: String,
        content: String,
    },
    Edit {
        thread: String,
        message: u64,
        content: String,
    },
    Delete {
        thread: String,
        message: u64,
    },
    Topic {
        thread: String,
        topic: String,
    },
    Add {
        thread: String,
        users: Vec<String>,
        /// Whether they are to see no message at all.
        hidden: bool,
    },
    Remove {
        thread: String,
        user: String,
    },
    Receipt {
        thread: String,
        message: u64,
    },
    /// A page was read, with these messages.
    Read {
        thread: String,
        messages: Vec<Message>,
    },
}

impl Action {
    /// Whether it stores anything.
    pub(crate) fn is_write(&self) -> bool {
        !matches!(self, Self::Read { .. })
    }
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// Acknowledged, with the id of what was made where something was.
    Done(String),
    /// Refused with 503: nothing has changed.
    Refused,
    /// A check after a restart has found that it never happened.
    Absent,
}

/// An operation.
#[derive(Debug, Clone)]
pub(crate) struct Op {
    /// The number of the client, which is that of its user.
    pub(crate) client: usize,
    pub(crate) action: Action,
    pub(crate) started: Moment,
    /// `None` while there is no answer.
    pub(crate) ended: Option<(Moment, End)>,
}

/// All operations on one data directory.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) ops: Vec<Op>,
    moments: u64,
    record: Option<File>,
}

impl History {
    /// An empty history whose positions are the length of that file.
    pub(crate) fn recorded(record: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            record: Some(File::open(record)?),
            ..Self::default()
        })
    }

    /// What was known when the record had that length.
    pub(crate) fn until(&self, position: u64) -> Self {
        let asked = self.ops.iter().filter(|op| op.started.position <= position);
        let ops = asked.cloned().map(|mut op| {
            op.ended = op.ended.filter(|(moment, _)| moment.position <= position);
            op
        });
        Self {
            ops: ops.collect(),
            moments: self.moments,
            record: None,
        }
    }

    /// Now.
    pub(crate) fn now(&mut self) -> anyhow::Result<Moment> {
        self.moments += 1;
        let position = match &self.record {
            Some(record) => record.metadata()?.len(),
            None => 0,
        };
        Ok(Moment {
            order: self.moments,
            position,
        })
    }

    /// Notes that an operation is about to be asked for; returns its number.
    pub(crate) fn start(&mut self, client: usize, action: Action) -> anyhow::Result<usize> {
        let started = self.now()?;
        self.ops.push(Op {
            client,
            action,
            started,
            ended: None,
        });
        Ok(self.ops.len() - 1)
    }

    /// Notes how an operation ended.
    pub(crate) fn end(&mut self, op: usize, end: End) -> anyhow::Result<()> {
        let now = self.now()?;
        self.ops[op].ended = Some((now, end));
        Ok(())
    }
}
