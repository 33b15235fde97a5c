//! `cavansite key`: the access keys.

use std::path::PathBuf;

use base64::prelude::{BASE64_STANDARD, Engine};
use cavansite_core::model::KeySlot;
use cavansite_core::store::sqlite::read_installation;

use super::{Failure, RunningServer, say};
use crate::ready::connection_string;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Key {
    Show(Show),
}

/// Print the primary and the secondary access key; both are valid
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cavansite key show                  the keys of the running server
  cavansite key show --data ./data    the keys in a data directory, server or no server")]
pub(super) struct Show {
    /// Read this data directory instead of that of the running server
    #[arg(long, value_name = "DIR", conflicts_with = "ready_file")]
    data: Option<PathBuf>,
    #[command(flatten)]
    server: RunningServer,
}

impl Key {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Show(show) => show.run(),
        }
    }
}

impl Show {
    fn run(self) -> Result<(), Failure> {
        let (data, endpoint) = if let Some(data) = self.data {
            (data, None)
        } else {
            let ready = self.server.find()?;
            (ready.data, Some(ready.endpoint))
        };
        let installation = read_installation(&data)
            .map_err(Failure::new)?
            .ok_or_else(|| {
                Failure::new(format!(
                    "{} holds no keys: it is no data directory",
                    data.display()
                ))
            })?;
        for slot in KeySlot::ALL {
            let key = installation.access_key(slot).key.expose();
            say(format!(
                "{:<9}  {}",
                slot.as_str(),
                BASE64_STANDARD.encode(key)
            ));
        }
        if let Some(endpoint) = endpoint {
            let key = installation.access_key(KeySlot::Primary).key.expose();
            say(format!(
                "\nconnection string: {}",
                connection_string(&endpoint, key)
            ));
        }
        Ok(())
    }
}
