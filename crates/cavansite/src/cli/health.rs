//! `cavansite health`: whether the server answers.

use super::{Failure, RunningServer, operator};

/// Exit 0 when the running server answers and is ready, 1 when not
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cavansite health
  cavansite health --ready-file /run/cavansite/ready.json")]
pub(super) struct Health {
    #[command(flatten)]
    server: RunningServer,
}

impl Health {
    pub(super) fn run(self) -> Result<(), Failure> {
        let ready = self.server.find()?;
        let answer = operator::get(&ready, "/health/ready")?;
        if answer.status.is_success() {
            Ok(())
        } else {
            Err(Failure::new(format!(
                "the server is not ready: {}",
                answer.status
            )))
        }
    }
}
