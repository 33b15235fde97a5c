//! A check after a restart: everything is read back and compared; what was in flight is asked for
//! again under its key, which must find what is there already; then everything is compared again.

use std::net::SocketAddr;

use fastrand::Rng;

use crate::history::{Action, End, History};
use crate::http::Connection;
use crate::load;
use crate::model::{self, Certainty, Verdict};
use crate::observe::observe;
use crate::report::brief;
use crate::server::User;

/// Checks a server against a history, in which nothing is open afterwards. An error means that the
/// server is gone; the history is then as good as before.
pub(crate) async fn verify(
    address: SocketAddr,
    users: &[User],
    history: &mut History,
    rng: &mut Rng,
) -> anyhow::Result<Verdict> {
    let observed = observe(address, users).await?;
    let mut verdict = model::check(history, users, &observed);
    let certainties = model::certainties(history).into_iter().enumerate();
    let open: Vec<usize> = certainties
        .filter(|(_, certainty)| *certainty == Certainty::Open)
        .map(|(number, _)| number)
        .collect();
    let mut repeats = Vec::new();
    for number in open {
        let happened = verdict.happened.get(&number).cloned();
        let has_key = matches!(
            history.ops[number].action,
            Action::Create { .. } | Action::Send { .. }
        );
        if has_key && rng.u8(..4) > 0 {
            repeats.push((number, happened.clone()));
        }
        // What was shown stays, whatever is asked for next.
        match happened {
            Some(id) => history.end(number, End::Done(id))?,
            None if repeats.last().is_some_and(|(last, _)| *last == number) => {}
            None => history.end(number, End::Absent)?,
        }
    }
    let shown_at = history.now()?.position;
    verdict.shown_at = shown_at;
    if repeats.is_empty() || !verdict.faults.is_empty() {
        return Ok(verdict);
    }
    for (number, happened) in repeats {
        let op = history.ops[number].clone();
        let mut connection = Connection::open(address, &users[op.client].token).await?;
        let answer = load::perform(&mut connection, &op.action).await?;
        match (load::end_of(&op.action, &answer), happened) {
            (Ok(End::Done(id)), None) => history.end(number, End::Done(id))?,
            (Ok(End::Done(id)), Some(happened)) if happened == id => {}
            (Ok(_), _) => {
                let fault = format!("repeated, and not found again: {}", brief(&op.action));
                verdict.faults.push(fault);
            }
            (Err(fault), _) => verdict.faults.push(fault),
        }
    }
    let again = observe(address, users).await?;
    let mut again = model::check(history, users, &again);
    again.shown_at = shown_at;
    again.faults.splice(..0, verdict.faults);
    Ok(again)
}
