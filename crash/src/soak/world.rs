//! What clients and the model share: users with their tokens, threads with what was asked of them,
//! devices with what they were told.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use tokio::time::sleep;

use super::device::Device;
use super::event::Names;
use crate::server::Site;

/// How long who needs the server waits before it tries again.
pub(super) const RETRY: Duration = Duration::from_millis(50);

/// A user.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) id: String,
    token: RefCell<String>,
}

/// Somebody's place in a thread, as far as clients know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Present,
    /// Removed, at that time in milliseconds.
    Absent(u64),
    /// Nobody knows what became of a request: they are left alone from then on.
    Doubtful,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    Refused,
    /// The server died, or may not have got it.
    Unknown,
}

/// A request that changes who is in a thread.
#[derive(Debug, Clone)]
pub(super) enum Move {
    /// Added, with history from that time on, in milliseconds.
    Add(usize, u64),
    Remove(usize),
}

/// A message that was acknowledged.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) sender: usize,
    /// The marks of all that it was asked to say.
    pub(super) contents: Vec<u64>,
    /// What it says, by what was acknowledged, and what else if a change happened that was not;
    /// `None` where it is deleted.
    pub(super) may_say: Vec<Option<u64>>,
}

/// A thread and all that was asked of it.
#[derive(Debug)]
pub(super) struct Thread {
    pub(super) id: String,
    pub(super) number: usize,
    pub(super) round: usize,
    /// Is in it from first to last.
    pub(super) owner: usize,
    pub(super) first_people: BTreeSet<usize>,
    pub(super) first_topic: String,
    pub(super) people: RefCell<BTreeMap<usize, Place>>,
    /// Somebody is changing its people.
    pub(super) is_moving: Cell<bool>,
    /// In the order in which they were made, one after the other.
    pub(super) moves: RefCell<Vec<(Move, Outcome)>>,
    /// Marks of the topics that were acknowledged, and of those that may have been taken.
    pub(super) topics: RefCell<BTreeMap<u64, Outcome>>,
    pub(super) sent: RefCell<BTreeMap<u64, Sent>>,
    /// Marks of sends that were not acknowledged.
    pub(super) in_doubt: RefCell<BTreeSet<u64>>,
    /// Messages that may be changed, with their senders.
    pub(super) changeable: RefCell<Vec<(u64, usize)>>,
}

impl Thread {
    /// The numbers of those in it.
    pub(super) fn present(&self) -> Vec<usize> {
        let people = self.people.borrow();
        let present = people.iter().filter(|(_, place)| **place == Place::Present);
        present.map(|(user, _)| *user).collect()
    }
}

/// How often what happened, to see that all of it did.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) acknowledged: Cell<usize>,
    pub(super) told: Cell<usize>,
    pub(super) joins: Cell<usize>,
    pub(super) leaves: Cell<usize>,
    pub(super) cuts: Cell<usize>,
    pub(super) stalls: Cell<usize>,
    pub(super) overflows: Cell<usize>,
    /// Times that a stream said that more waited for it than is kept, which was read from the
    /// store.
    pub(super) caught_up: Cell<usize>,
    pub(super) replaced: Cell<usize>,
    pub(super) new_identities: Cell<usize>,
    pub(super) tokens_ended: Cell<usize>,
    pub(super) kills: Cell<usize>,
    pub(super) stops: Cell<usize>,
}

/// One more.
pub(super) fn count(cell: &Cell<usize>) {
    cell.set(cell.get() + 1);
}

/// All of it.
#[derive(Debug)]
pub(super) struct World {
    pub(super) site: Site,
    pub(super) address: SocketAddr,
    pub(super) accounts: Vec<Account>,
    pub(super) names: Names,
    pub(super) devices: RefCell<Vec<Rc<Device>>>,
    /// Those of the present round.
    pub(super) threads: RefCell<Vec<Rc<Thread>>>,
    /// Nobody does anything but be told.
    pub(super) is_quiet: Cell<bool>,
    /// Everything is over.
    pub(super) is_over: Cell<bool>,
    /// A flood of messages is on its way, which slow streams do not read.
    pub(super) is_flooding: Cell<bool>,
    pub(super) counts: Counts,
    pub(super) faults: RefCell<Vec<String>>,
    contents: Cell<u64>,
}

impl World {
    /// Makes so many users on the running server.
    pub(super) async fn new(site: Site, address: SocketAddr, users: usize) -> anyhow::Result<Self> {
        let mut accounts = Vec::new();
        let mut names = HashMap::new();
        for number in 0..users {
            let id = site.create_user().await?;
            let id = id.ok_or_else(|| anyhow::anyhow!("no user could be made"))?;
            names.insert(id.clone(), number);
            let token = site.issue_token(&id).await?.unwrap_or_default();
            accounts.push(Account {
                id,
                token: RefCell::new(token),
            });
        }
        Ok(Self {
            site,
            address,
            accounts,
            names: Names::new(names),
            devices: RefCell::default(),
            threads: RefCell::default(),
            is_quiet: Cell::new(true),
            is_over: Cell::new(false),
            is_flooding: Cell::new(false),
            counts: Counts::default(),
            faults: RefCell::default(),
            contents: Cell::new(0),
        })
    }

    /// The token of a user.
    pub(super) fn token(&self, user: usize) -> String {
        self.accounts[user].token.borrow().clone()
    }

    /// A token of the user has ended: they get another one, unless they have it already.
    pub(super) async fn renew(&self, user: usize, ended: &str) {
        let account = &self.accounts[user];
        if *account.token.borrow() != ended {
            return;
        }
        match self.site.issue_token(&account.id).await {
            Ok(Some(token)) => {
                count(&self.counts.tokens_ended);
                *account.token.borrow_mut() = token;
            }
            // The server is away.
            _ => sleep(RETRY).await,
        }
    }

    /// Notes what cannot be.
    pub(super) fn fault(&self, fault: String) {
        self.faults.borrow_mut().push(fault);
    }

    /// A text that nobody has said before, mostly short.
    pub(super) fn content(&self, rng: &mut Rng) -> String {
        let length = match rng.u8(..10) {
            0..8 => rng.usize(..300),
            _ => rng.usize(..8000),
        };
        format!("{} {}", self.number(), "x".repeat(length))
    }

    /// A number that was not used before.
    pub(super) fn number(&self) -> u64 {
        self.contents.set(self.contents.get() + 1);
        self.contents.get()
    }
}

/// The present time in milliseconds, by the clock that the server has too.
pub(super) fn now_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default()
}
