//! `cavansite key`: the access keys.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine};
use cavansite_client::models::KeyType;
use cavansite_core::model::KeySlot;
use cavansite_core::store::sqlite::read_installation;

use super::client::talk;
use super::{Failure, RunningServer, say};
use crate::ready::{Ready, connection_string};

/// How long the server may take to write its ready file anew after a rotation.
const READY_FILE_TIMEOUT: Duration = Duration::from_secs(5);
/// How often that is looked for.
const READY_FILE_CHECK: Duration = Duration::from_millis(10);

#[derive(Debug, clap::Subcommand)]
pub(super) enum Key {
    Show(Show),
    Rotate(Rotate),
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

/// Put a new access key in the place of one, and print it
///
/// The old key signs nothing from then on, and the tokens that were issued under it have ended,
/// with their connections. Let your applications use the other key first.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cavansite key rotate secondary
  cavansite key rotate primary        `cavansite env` then gives the new one")]
pub(super) struct Rotate {
    /// Which of the two
    #[arg(value_name = "KEY")]
    slot: Slot,
    #[command(flatten)]
    server: RunningServer,
}

/// One of the two keys, as it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Slot {
    Primary,
    Secondary,
}

impl Key {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Show(show) => show.run(),
            Self::Rotate(rotate) => rotate.run(),
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
        let key = |slot| BASE64_STANDARD.encode(installation.access_key(slot).key.expose());
        for slot in KeySlot::ALL {
            say_key(slot, &key(slot));
        }
        if let Some(endpoint) = endpoint {
            say_connection_string(&endpoint, &key(KeySlot::Primary));
        }
        Ok(())
    }
}

impl Rotate {
    fn run(self) -> Result<(), Failure> {
        let ready = self.server.find()?;
        let (slot, key_type) = match self.slot {
            Slot::Primary => (KeySlot::Primary, KeyType::Primary),
            Slot::Secondary => (KeySlot::Secondary, KeyType::Secondary),
        };
        let keys = talk(&ready, async |connection| {
            let admin_client = connection.admin_client()?;
            let keys = admin_client.regenerate_key(key_type, None).await?;
            Ok(keys.into_model())
        })?;
        let key = match slot {
            KeySlot::Primary => &keys.primary_key,
            KeySlot::Secondary => &keys.secondary_key,
        };
        say_key(slot, key.expose());
        say_connection_string(&ready.endpoint, key.expose());
        self.wait_for_ready_file(&ready, keys.primary_key.expose())
    }

    /// Waits until the next command finds the key that is valid now.
    fn wait_for_ready_file(&self, before: &Ready, primary_key: &str) -> Result<(), Failure> {
        let start = Instant::now();
        while self.server.find()?.access_key() != Some(primary_key) {
            if start.elapsed() > READY_FILE_TIMEOUT {
                return Err(Failure::new(format!(
                    "{}: the key was replaced, but the ready file still says the old one: the \
                     server's log tells why",
                    before.endpoint
                )));
            }
            std::thread::sleep(READY_FILE_CHECK);
        }
        Ok(())
    }
}

fn say_key(slot: KeySlot, key: &str) {
    say(format!("{:<9}  {key}", slot.as_str()));
}

fn say_connection_string(endpoint: &str, key: &str) {
    let connection_string = connection_string(endpoint, key);
    say(format!("\nconnection string: {connection_string}"));
}
