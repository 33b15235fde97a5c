//! `cavansite serve`: the server.

use super::start::{Mode, start};
use super::{Failure, check_variables};
use crate::config::{ServerOptions, Settings};

/// Start a server that keeps its data
///
/// The first start makes the data directory with keys of its own and a CA for local names.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cavansite serve --data ./data
  cavansite serve --config /etc/cavansite.toml
  cavansite serve --data /var/lib/cavansite --listen 0.0.0.0:443 \\
      --public-url https://chat.example.com --tls-cert chain.pem --tls-key key.pem")]
pub(super) struct Serve {
    #[command(flatten)]
    options: ServerOptions,
}

impl Serve {
    pub(super) fn run(self) -> Result<(), Failure> {
        check_variables()?;
        let settings = Settings::resolve(self.options, std::env::vars())?;
        if settings.data.is_none() {
            return Err(Failure::usage("serve needs a data directory: --data DIR"));
        }
        if settings.listens_beyond_loopback() && settings.public_url.is_none() {
            return Err(Failure::usage(format!(
                "{} can be reached from other machines: say under which URL with --public-url",
                settings.listen
            )));
        }
        start(Mode::Serve, settings)
    }
}
