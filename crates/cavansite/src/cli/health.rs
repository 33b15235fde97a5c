//! `cavansite health`: whether the server answers.

use cavansite_client::{Request, Transport as _};
use hyper::Method;

use super::client::{TIMEOUT, talk};
use super::transport::LocalTransport;
use super::{Failure, RunningServer};

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
        talk(&ready, async |connection| {
            let url = format!("{}/health/ready", connection.endpoint);
            let request = Request::new(Method::GET, url.parse().map_err(Failure::new)?);
            let transport = LocalTransport::new(&ready)?;
            let answer = tokio::time::timeout(TIMEOUT, transport.send(request)).await;
            let answer = answer
                .map_err(|_| Failure::new(format!("no answer within {} s", TIMEOUT.as_secs())))??;
            if answer.status.is_success() {
                Ok(())
            } else {
                let status = answer.status;
                Err(Failure::new(format!("the server is not ready: {status}")))
            }
        })
    }
}
