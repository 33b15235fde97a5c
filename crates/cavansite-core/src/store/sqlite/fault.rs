//! Planted faults, to show that `cargo xtask crash` finds them. Only built with the feature
//! `fault-injection`, which no build that is shipped has. The variable `FAULT_INJECTION` chooses.

use super::queue::Request;

/// `unsynced`: commits are not synced.
pub(super) fn synchronous(right: &'static str) -> &'static str {
    if is_chosen("unsynced") { "OFF" } else { right }
}

/// `answer-first`: a group is answered before its commit.
pub(super) fn answer_first(requests: &mut Vec<Box<dyn Request>>) {
    if is_chosen("answer-first") {
        for request in requests.drain(..) {
            request.answer(None);
        }
    }
}

/// `failed-as-done`: a group whose commit failed is answered as if it had not.
pub(super) fn passes_for_done() -> bool {
    is_chosen("failed-as-done")
}

fn is_chosen(fault: &str) -> bool {
    std::env::var_os("FAULT_INJECTION").is_some_and(|chosen| chosen == fault)
}
