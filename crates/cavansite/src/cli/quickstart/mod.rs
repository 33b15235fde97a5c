//! `cavansite quickstart`: the conversation of the quickstart's page, through the Rust client, told
//! step by step.

mod conversation;
mod messages;
mod narrator;

use self::conversation::Conversation;
use self::narrator::Narrator;
use super::client::talk;
use super::{Failure, RunningServer, say};
use crate::ready::FindError;

/// Let three users talk on the running server, through the Rust client, told step by step
///
/// Each step shows what is done, the Rust that does it, and what came back. What it makes on the
/// server is deleted at the end, also when a step fails.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cavansite quickstart
  cavansite quickstart --keep                 leave the thread and its users, to look at them")]
pub(super) struct Quickstart {
    /// Delete nothing at the end
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    server: RunningServer,
}

impl Quickstart {
    pub(super) fn run(self) -> Result<(), Failure> {
        let ready = self.server.find().map_err(|error| match error {
            FindError::None => Failure::new(
                "no server of yours is running: type `cavansite dev` in another terminal, then \
                 `cavansite quickstart` in this one",
            ),
            error => error.into(),
        })?;
        say(format!("The quickstart, at {}", ready.endpoint));
        talk(&ready, async |connection| {
            let mut narrator = Narrator::new();
            let mut conversation = Conversation::new(&connection)?;
            let held = tokio::select! {
                // Listens before anything is made.
                biased;
                failure = interrupt() => Err(failure),
                held = conversation.hold(&mut narrator) => held,
            };
            let held = held.map_err(|failure| stopped(&narrator, &failure));
            if self.keep {
                conversation.leave();
                return held;
            }
            let cleaned_up = tokio::select! {
                biased;
                failure = interrupt() => Err(failure),
                cleaned_up = conversation.clean_up(&mut narrator) => cleaned_up,
            };
            // What went wrong first is what people should read.
            held.and(cleaned_up.map_err(|failure| stopped(&narrator, &failure)))
        })
    }
}

/// Waits for Ctrl-C.
async fn interrupt() -> Failure {
    // Where there is no such signal, nothing interrupts.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
    Failure::new("interrupted")
}

fn stopped(narrator: &Narrator, failure: &Failure) -> Failure {
    Failure::new(format!("stopped at {}: {failure}", narrator.place()))
}

/// Ends the conversation where the server did not do what it should.
fn check(as_it_should_be: bool, otherwise: &str) -> Result<(), Failure> {
    if as_it_should_be {
        Ok(())
    } else {
        Err(Failure::new(otherwise))
    }
}
