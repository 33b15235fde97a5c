//! The server under test: the release binary, started and ended as a user would.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::Deserialize;

/// How long a start or a graceful stop may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);
/// How often is looked whether it has happened.
const POLL: Duration = Duration::from_millis(5);

/// A shell script: its name is the server's program, its first argument the ready file, the rest
/// a command. The assignment keeps a failure of `cavansite env` from being lost.
const TAKE_OVER: &str =
    r#"set -e; exported=$("$0" env --ready-file "$1"); eval "$exported"; shift; exec "$@""#;

/// What the server writes once its port answers.
#[derive(Debug, Deserialize)]
struct Ready {
    endpoint: String,
}

/// A running server. It is killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    binary: PathBuf,
    ready_file: PathBuf,
    endpoint: String,
}

impl Server {
    /// Starts `cavansite ARGUMENTS --listen LISTEN` with everything that it writes below
    /// `folder`, and waits for its ready file.
    pub(crate) fn start(
        binary: &Path,
        arguments: &[&str],
        listen: &str,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let ready_file = folder.join("ready.json");
        if ready_file.exists() {
            std::fs::remove_file(&ready_file)?;
        }
        let log = File::options()
            .create(true)
            .append(true)
            .open(folder.join("server.log"))?;
        let child = Command::new(binary)
            .args(arguments)
            .args(["--listen", listen, "--ready-file"])
            .arg(&ready_file)
            // Nothing of the developer's own: neither settings nor the state directory.
            .env_clear()
            .env("HOME", folder)
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {}", binary.display()))?;
        let mut server = Self {
            child,
            binary: binary.to_path_buf(),
            ready_file,
            endpoint: String::new(),
        };
        server.wait_until_ready(folder)?;
        Ok(server)
    }

    fn wait_until_ready(&mut self, folder: &Path) -> anyhow::Result<()> {
        let begin = Instant::now();
        loop {
            // The file is put in place whole, so what is there can be read.
            if let Ok(text) = std::fs::read_to_string(&self.ready_file) {
                let ready: Ready = serde_json::from_str(&text).context("the ready file")?;
                self.endpoint = ready.endpoint;
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                let log = std::fs::read_to_string(folder.join("server.log"))?;
                bail!("the server ended before it was ready ({status}):\n{log}");
            }
            if begin.elapsed() > PATIENCE {
                bail!("the server was not ready after {} s", PATIENCE.as_secs());
            }
            std::thread::sleep(POLL);
        }
    }

    /// The address to listen on in order to come back under the same endpoint.
    pub(crate) fn listen(&self) -> String {
        self.endpoint.trim_start_matches("https://").to_owned()
    }

    /// A command that runs with nothing but what `cavansite env` exports, taken over by a shell
    /// as the documents tell the user to, and with `cavansite` among the commands.
    pub(crate) fn client(&self, program: &Path) -> Command {
        let mut path = self
            .binary
            .parent()
            .map_or_else(OsString::new, OsString::from);
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let mut command = Command::new("/bin/sh");
        command
            .env_clear()
            .env("PATH", path)
            .arg("-c")
            .arg(TAKE_OVER)
            .arg(&self.binary)
            .arg(&self.ready_file)
            .arg(program);
        command
    }

    /// Ends it as a crash would (SIGKILL).
    pub(crate) fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to end (SIGTERM); it must do so by itself and with exit code 0.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let id = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status()?;
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                if status.success() {
                    return Ok(());
                }
                bail!("the server ended with {status} when asked to stop");
            }
            std::thread::sleep(POLL);
        }
        bail!("the server did not stop within {} s", PATIENCE.as_secs())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
