//! Compares what each device was told of a thread with what the thread holds in the end.
//!
//! - Told is only what happened, as it was asked for; to those alone who may know it.
//! - What comes again comes with the same version, and on streams with the same id.
//! - What comes for the first time comes in the order of versions. A message's coming that is told
//!   after an edit or the deletion of it is nothing new. What happened while a device connected for
//!   the first time, or in the millisecond in which its user came, may come late: only the store
//!   tells it, when the server has died.
//! - All that a user may know is told to each of their devices: each message at least as it stands
//!   in the end, each change of people and topic. Not owed is what happened before the device
//!   first connected, after it stopped, or while it was away for longer than the resume window.
//!   Who was removed and added again may miss what was said before they were added again, if they
//!   were away meanwhile or were still being told what they had missed: the store tells of the last
//!   stay only.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::device::Device;
use super::event::{Told, What, mark};
use super::ledger::{Entry, Ledger, Right, Stay};
use super::world::Thread;

/// What a device is owed begins so much after it was connected, by versions, in milliseconds.
const CONNECTED_MS: u64 = 100;
/// Who was away for longer may miss something, in milliseconds: half of the server's resume window,
/// to be sure.
const AWAY_MS_MAX: u64 = 30_000;
/// How exact the time of typing is compared with versions, in milliseconds.
const TYPING_MS: u64 = 2_000;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// What cannot be.
    pub(super) wrong: Vec<String>,
    /// What was not told so far.
    pub(super) missing: Vec<String>,
    /// What was told more than once.
    pub(super) again: usize,
    /// What had to be told, and was.
    pub(super) owed: usize,
}

/// Compares for all devices.
pub(super) fn verify(
    devices: &[Rc<Device>],
    thread: &Thread,
    ledger: &Ledger,
    findings: &mut Findings,
) {
    let nothing = Vec::new();
    let texts = Texts::of(devices, thread, ledger);
    for device in devices {
        let told = device.told.borrow();
        let told = told.get(&thread.number).unwrap_or(&nothing);
        let mut check = Check {
            thread,
            ledger,
            device,
            texts: &texts,
            findings,
        };
        check.all_told_is_right(told);
        check.all_owed_is_told(told);
    }
}

/// At which version each text came that is an edit's, and what was told at each version.
struct Texts {
    edits: HashMap<u64, u64>,
    entries: HashMap<(u64, What), u64>,
}

impl Texts {
    fn of(devices: &[Rc<Device>], thread: &Thread, ledger: &Ledger) -> Self {
        let mut edits = HashMap::new();
        let entries = ledger.entries.iter();
        let entries: HashMap<_, _> = entries
            .map(|entry| ((entry.version, entry.what), entry.mark))
            .collect();
        for ((version, what), mark) in &entries {
            if let What::Edited(_) = what {
                edits.insert(*mark, *version);
            }
        }
        for device in devices {
            let told = device.told.borrow();
            for told in told.get(&thread.number).into_iter().flatten() {
                if let What::Edited(_) = told.what {
                    edits.entry(told.mark).or_insert(told.version);
                }
            }
        }
        Self { edits, entries }
    }
}

struct Check<'a> {
    thread: &'a Thread,
    ledger: &'a Ledger,
    device: &'a Device,
    texts: &'a Texts,
    findings: &'a mut Findings,
}

impl Check<'_> {
    fn wrong(&mut self, told: &Told, what: &str) {
        self.findings.wrong.push(format!(
            "{}: {:?} at version {} of {} {what}; they were in it {:?}",
            self.device.name(),
            told.what,
            told.version,
            self.thread.id,
            self.ledger.stays(self.device.user),
        ));
    }

    fn all_told_is_right(&mut self, all: &[Told]) {
        let mut seen: HashMap<(u64, What), u64> = HashMap::new();
        let mut newest_of_message: HashMap<u64, u64> = HashMap::new();
        let mut newest = 0;
        for told in all {
            if !told.what.is_stored() {
                self.passing_is_right(told);
                continue;
            }
            let right = self
                .ledger
                .right(self.device.user, told.version, told.what.message());
            if right == Right::No {
                self.wrong(told, "was told to somebody who may not know it");
                continue;
            }
            if let Err(differs) = self.happened(told) {
                self.wrong(told, differs);
                continue;
            }
            if let Some(id) = seen.insert((told.version, told.what), told.id) {
                self.findings.again += 1;
                if id != told.id {
                    self.wrong(told, "came again under another id");
                }
                continue;
            }
            let of_message = told.what.message();
            let known = of_message.and_then(|id| newest_of_message.get(&id).copied());
            let is_stale = known.is_some_and(|known| known > told.version);
            if is_stale && matches!(told.what, What::Received(_)) {
                continue;
            }
            let since = self.device.since.get().unwrap_or_default();
            let may_be_late = right != Right::Yes || told.version <= since + CONNECTED_MS;
            if told.version < newest && !may_be_late {
                self.wrong(told, &format!("came after version {newest}"));
            }
            newest = newest.max(told.version);
            if let Some(id) = of_message {
                newest_of_message.insert(id, told.version);
            }
        }
    }

    /// What no list shows: typing, whose time is no version, and read receipts, which come with
    /// none on streams.
    fn passing_is_right(&mut self, told: &Told) {
        let is_right = |stay: &Stay| {
            let near = Stay {
                from: stay.from.saturating_sub(TYPING_MS),
                until: stay.until.map(|until| until + TYPING_MS),
                history_from: stay.history_from,
            };
            let version = match told.what {
                What::Receipt(_) => near.from,
                _ => told.version,
            };
            near.right(version, told.what.message()) > Right::No
        };
        if !self.ledger.stays(self.device.user).iter().any(is_right) {
            self.wrong(told, "was told to somebody who may not know it");
        }
    }

    /// Whether it happened, with that content.
    fn happened(&self, told: &Told) -> Result<(), &'static str> {
        let Some(id) = told.what.message() else {
            return match self.texts.entries.get(&(told.version, told.what)) {
                Some(mark) if *mark == told.mark => Ok(()),
                Some(_) => Err("was told with another content"),
                None => Err("never happened"),
            };
        };
        let message = self.ledger.messages.get(&id);
        let message = message.ok_or("is of a message that no list shows")?;
        let may_say = || {
            let may = message.contents.contains(&told.mark);
            may.then_some(()).ok_or("was told with another content")
        };
        match told.what {
            What::Received(_) if told.version != id => Err("came under another version"),
            What::Received(_) => {
                may_say()?;
                self.may_know_text(told, &message.contents)
            }
            What::Edited(_) if told.version == message.version => match message.mark {
                Some(mark) if mark == told.mark => Ok(()),
                _ => Err("was told with another content"),
            },
            What::Edited(_) if told.version > id && told.version < message.version => {
                match self.texts.edits.get(&told.mark) {
                    Some(version) if *version == told.version => may_say(),
                    _ => Err("was told to others at another version"),
                }
            }
            What::Deleted(_) if message.mark.is_none() && told.version == message.version => {
                let is_of_sender = told.mark == mark(&message.sender);
                is_of_sender
                    .then_some(())
                    .ok_or("was told of another sender")
            }
            _ => Err("never happened"),
        }
    }

    /// The coming of a message that was edited since is told with its new text: only to those who
    /// may know that.
    fn may_know_text(&self, told: &Told, contents: &[u64]) -> Result<(), &'static str> {
        if contents.first() == Some(&told.mark) {
            return Ok(());
        }
        let message = told.what.message();
        match self.texts.edits.get(&told.mark) {
            Some(version)
                if self.ledger.right(self.device.user, *version, message) == Right::No =>
            {
                Err("was told with a text of later")
            }
            _ => Ok(()),
        }
    }

    fn all_owed_is_told(&mut self, all: &[Told]) {
        let told: HashSet<(u64, What)> = all.iter().map(|told| (told.version, told.what)).collect();
        let stored = all.iter().filter(|told| told.what.is_stored());
        let last = stored.map(|told| told.version).max().unwrap_or_default();
        for entry in &self.ledger.entries {
            if !self.is_owed(entry, last) {
                continue;
            }
            if told.contains(&(entry.version, entry.what)) {
                self.findings.owed += 1;
                continue;
            }
            self.findings.missing.push(format!(
                "{}: {:?} at version {} of {} was not told; they were in it {:?}; last told {last}",
                self.device.name(),
                entry.what,
                entry.version,
                self.thread.id,
                self.ledger.stays(self.device.user),
            ));
        }
    }

    fn is_owed(&self, entry: &Entry, last: u64) -> bool {
        let (device, at) = (self.device, entry.version);
        let Some(since) = device.since.get() else {
            return false;
        };
        if at <= since + CONNECTED_MS
            || (device.has_stopped.get() && at >= last)
            || device.was_away_for(at, AWAY_MS_MAX)
        {
            return false;
        }
        let stays = self.ledger.stays(device.user);
        let message = entry.what.message();
        let stay = stays
            .iter()
            .position(|stay| stay.right(at, message) == Right::Yes);
        match stay.and_then(|stay| stays.get(stay + 1)) {
            Some(next) => !device.was_behind(at, next.from),
            None => stay.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::history::{Body, Message};
    use crate::soak::device::{Kind, Temper};
    use crate::soak::event::{Names, message_mark};
    use crate::soak::world::{Move, Outcome, Sent};

    /// Users: the owner, one who comes at 2000, is removed at 4000 and comes back at 6000 to a
    /// history from 5000 on, and one who never comes.
    const OWNER: usize = 0;
    const GUEST: usize = 1;
    const STRANGER: usize = 2;

    fn row(sequence: u64, id: u64, version: u64, body: Body) -> Message {
        Message {
            id,
            version,
            sequence,
            body,
        }
    }

    fn said(content: &str) -> Body {
        Body::User {
            sender: "u0".to_owned(),
            content: Some(content.to_owned()),
        }
    }

    /// Messages at 1000, 3000 (edited from "c" to "d" at 3500), 4500, 5500 and 7000.
    fn thread() -> (Thread, Ledger) {
        let mut sent = BTreeMap::new();
        for (id, contents) in [
            (1000, vec!["a"]),
            (3000, vec!["c", "d"]),
            (4500, vec!["e"]),
            (5500, vec!["f"]),
            (7000, vec!["g"]),
        ] {
            let contents: Vec<u64> = contents.iter().map(|c| message_mark(OWNER, c)).collect();
            let may_say = vec![contents.last().copied()];
            let message = Sent {
                sender: OWNER,
                contents,
                may_say,
            };
            sent.insert(id, message);
        }
        let moves = [
            Move::Add(GUEST, 0),
            Move::Remove(GUEST),
            Move::Add(GUEST, 5000),
        ];
        let moves = moves.map(|next| (next, Outcome::Done));
        let thread = Thread {
            id: "t".to_owned(),
            number: 0,
            round: 1,
            owner: OWNER,
            first_people: BTreeSet::from([OWNER]),
            first_topic: "topic".to_owned(),
            people: BTreeMap::new().into(),
            is_moving: Cell::new(false),
            moves: moves.to_vec().into(),
            topics: BTreeMap::new().into(),
            sent: sent.into(),
            in_doubt: BTreeSet::new().into(),
            changeable: Vec::new().into(),
        };
        let person = |id: &str| vec![id.to_owned()];
        let rows = [
            row(1, 500, 500, Body::Added(person("u0"))),
            row(2, 501, 501, Body::Topic("topic".to_owned())),
            row(3, 1000, 1000, said("a")),
            row(4, 2000, 2000, Body::Added(person("u1"))),
            row(5, 3000, 3500, said("d")),
            row(6, 4000, 4000, Body::Removed(person("u1"))),
            row(7, 4500, 4500, said("e")),
            row(8, 5500, 5500, said("f")),
            row(9, 6000, 6000, Body::Added(person("u1"))),
            row(10, 7000, 7000, said("g")),
        ];
        let names = ["u0", "u1", "u2"].into_iter().enumerate();
        let names = names.map(|(number, id)| (id.to_owned(), number));
        let names = Names::new(names.collect());
        let ledger = Ledger::new(&thread, &rows, &names);
        assert_eq!(ledger.faults, Vec::<String>::new());
        (thread, ledger)
    }

    fn told(version: u64, what: What, content: &str) -> Told {
        let mark = match what {
            What::Received(_) | What::Edited(_) => message_mark(OWNER, content),
            _ => 0,
        };
        Told {
            version,
            what,
            mark,
            id: 0,
        }
    }

    /// What is found when a device of that user, there from the beginning, was told that.
    fn found(user: usize, all: &[Told]) -> Findings {
        let (thread, ledger) = thread();
        let device = Device::new(user, Kind::Websocket, Temper::Steady, "e".to_owned());
        device.since.set(Some(0));
        device.told.borrow_mut().insert(0, all.to_vec());
        let mut findings = Findings::default();
        verify(&[Rc::new(device)], &thread, &ledger, &mut findings);
        findings
    }

    /// What the guest is told.
    fn all() -> Vec<Told> {
        vec![
            told(2000, What::Added(GUEST), ""),
            told(3000, What::Received(3000), "c"),
            told(3500, What::Edited(3000), "d"),
            told(4000, What::Removed(GUEST), ""),
            told(6000, What::Added(GUEST), ""),
            told(7000, What::Received(7000), "g"),
        ]
    }

    fn is_wrong(user: usize, all: &[Told], says: &str) {
        let found = found(user, all);
        let finds = found.wrong.iter().any(|wrong| wrong.contains(says));
        assert!(finds, "{says}: {found:?}");
    }

    #[test]
    fn who_is_told_all_and_nothing_else_gives_no_fault() {
        let findings = found(GUEST, &all());
        assert!(findings.wrong.is_empty(), "{findings:?}");
        assert!(findings.missing.is_empty(), "{findings:?}");
        assert_eq!(findings.owed, 5);
        let findings = found(STRANGER, &[]);
        assert!(findings.wrong.is_empty() && findings.missing.is_empty());
    }

    #[test]
    fn what_was_not_told_is_missed() {
        for left_out in [0, 2, 3, 4, 5] {
            let mut all = all();
            let version = all.remove(left_out).version;
            let findings = found(GUEST, &all);
            assert!(findings.wrong.is_empty(), "{findings:?}");
            assert_eq!(findings.missing.len(), 1, "{findings:?}");
            assert!(findings.missing[0].contains(&format!("at version {version} ")));
        }
        // The edit says all that the coming said.
        let mut all = all();
        all.remove(1);
        assert!(found(GUEST, &all).missing.is_empty());
    }

    #[test]
    fn what_comes_again_is_no_fault_and_what_comes_late_is_one() {
        let mut again = all();
        again.extend(all());
        // After the edit the coming is told with the new text, and is nothing new.
        again.push(told(3000, What::Received(3000), "d"));
        let findings = found(GUEST, &again);
        assert!(findings.wrong.is_empty(), "{findings:?}");
        let mut late = all();
        late.swap(3, 5);
        is_wrong(GUEST, &late, "came after version");
    }

    #[test]
    fn who_may_not_know_is_not_told() {
        for (version, content) in [(1000, "a"), (4500, "e"), (5500, "f")] {
            let mut all = all();
            all.push(told(version, What::Received(version), content));
            is_wrong(GUEST, &all, "may not know");
        }
        let stranger = [told(7000, What::Received(7000), "g")];
        is_wrong(STRANGER, &stranger, "may not know");
    }

    #[test]
    fn what_did_not_happen_is_found() {
        for (version, what, content, says) in [
            (7001, What::Received(7001), "g", "that no list shows"),
            (7001, What::Received(7000), "g", "under another version"),
            (7000, What::Received(7000), "x", "with another content"),
            (3500, What::Edited(3000), "c", "with another content"),
            (7001, What::Deleted(7000), "", "never happened"),
            (7001, What::Topic, "", "never happened"),
        ] {
            let mut all = all();
            all.push(told(version, what, content));
            is_wrong(GUEST, &all, says);
        }
    }
}
