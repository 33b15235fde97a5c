//! Who is asking. A [`Caller`] is made from a verified token and from nothing else.

use std::fmt;

use crate::error::{Error, Result};
use crate::model::UserId;

/// What a token allows, as one bit per scope (the names of the Identity API, 2023-10-01).
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u8);

/// One scope of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Scope {
    /// `chat`: everything the chat API offers.
    Chat = 1,
    /// `voip`: calls; no right in chat.
    Voip = 2,
    /// `chat.join`: everything but creating, changing and deleting threads.
    ChatJoin = 4,
    /// `chat.join.limited`: as `chat.join`, without adding and removing participants.
    ChatJoinLimited = 8,
    /// `voip.join`: calls; no right in chat.
    VoipJoin = 16,
    /// `pstn`: calls, of the 2020 betas only; no right in chat.
    Pstn = 32,
}

impl Scope {
    /// Every scope, in the order in which they are written into a token.
    pub const ALL: [Self; 6] = [
        Self::Chat,
        Self::Voip,
        Self::ChatJoin,
        Self::ChatJoinLimited,
        Self::VoipJoin,
        Self::Pstn,
    ];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Voip => "voip",
            Self::ChatJoin => "chat.join",
            Self::ChatJoinLimited => "chat.join.limited",
            Self::VoipJoin => "voip.join",
            Self::Pstn => "pstn",
        }
    }

    /// The scope of that name, letter case ignored.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str().eq_ignore_ascii_case(name))
    }
}

impl Scopes {
    /// These scopes with one more.
    #[must_use]
    pub fn with(self, scope: Scope) -> Self {
        Self(self.0 | scope as u8)
    }

    /// Whether the scope is among them.
    pub fn contains(self, scope: Scope) -> bool {
        self.0 & scope as u8 != 0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The scopes, in the order of [`Scope::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL
            .into_iter()
            .filter(move |scope| self.contains(*scope))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        scopes.into_iter().fold(Self::default(), Self::with)
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.iter().map(Scope::as_str))
            .finish()
    }
}

/// What an operation asks of a token (the scope table of the ACS identity model).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Create, change and delete threads.
    ManageThreads,
    /// Add and remove participants.
    ManageParticipants,
    /// Read threads, participants, messages and receipts; send, edit and delete own messages;
    /// receipts and typing.
    TakePart,
}

/// The user on whose behalf an operation runs, with what the token allows.
#[derive(Clone, Debug)]
pub struct Caller {
    user: UserId,
    scopes: Scopes,
}

impl Caller {
    /// A caller as a verified token names it.
    pub fn new(user: UserId, scopes: Scopes) -> Self {
        Self { user, scopes }
    }

    /// The acting user.
    pub fn user(&self) -> &UserId {
        &self.user
    }

    /// Refuses a token whose scopes do not carry the capability.
    pub fn require(&self, capability: Capability) -> Result<()> {
        let has = |scope| self.scopes.contains(scope);
        let allowed = match capability {
            Capability::ManageThreads => has(Scope::Chat),
            Capability::ManageParticipants => has(Scope::Chat) || has(Scope::ChatJoin),
            Capability::TakePart => {
                has(Scope::Chat) || has(Scope::ChatJoin) || has(Scope::ChatJoinLimited)
            }
        };
        if allowed {
            Ok(())
        } else {
            Err(Error::MissingScope)
        }
    }
}
