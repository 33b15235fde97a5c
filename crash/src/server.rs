//! The server under test: the real binary on a directory, with or without the preloaded library.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::Deserialize;

/// How long a start or a stop may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// Repeats are recognised however long a check takes: a day, and no bound on their number.
const REPEAT_LIMITS: [(&str, &str); 2] = [
    ("CAVANSITE_LIMITS_SEND_REPEAT_WINDOW_MS", "86400000"),
    ("CAVANSITE_LIMITS_SEND_REPEATS_PER_THREAD_MAX", "1000000"),
];

/// The variable that names the file for the preloaded library's record.
pub(crate) const RECORD: &str = "POWERCUT_LOG";

/// A user of the server, with an access token.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) token: String,
}

/// Where a server lives: a directory of this run's own, with what the harness writes beside it.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    binary: PathBuf,
    folder: PathBuf,
    /// Where the server listens.
    listen: SocketAddr,
}

/// How a start ended.
#[derive(Debug)]
pub(crate) enum Started {
    /// It listens.
    Running(Server),
    /// It ended before it was ready.
    Ended(Ended),
}

/// A server that ended before it was ready.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) log: String,
}

impl Ended {
    /// What it said last.
    pub(crate) fn last_line(&self) -> &str {
        self.log.lines().last().unwrap_or_default()
    }
}

/// A running server; killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// Whether the preloaded library writes a record.
    is_recorded: bool,
    pub(crate) address: SocketAddr,
}

#[derive(Deserialize)]
struct Ready {
    address: SocketAddr,
}

impl Site {
    /// An empty site at that folder; what was there is removed.
    pub(crate) fn new(binary: &Path, folder: &Path) -> anyhow::Result<Self> {
        if folder.exists() {
            std::fs::remove_dir_all(folder)?;
        }
        std::fs::create_dir_all(folder.join("disk"))?;
        Ok(Self {
            binary: binary.to_owned(),
            folder: std::path::absolute(folder)?,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        })
    }

    /// The same site, whose server listens at that address at each start.
    pub(crate) fn listening_at(self, listen: SocketAddr) -> Self {
        Self { listen, ..self }
    }

    /// All that belongs to it.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What stands for the disk: the data directory is in it.
    pub(crate) fn disk(&self) -> PathBuf {
        self.folder.join("disk")
    }

    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.disk().join("data")
    }

    /// The preloaded library's record.
    pub(crate) fn record(&self) -> PathBuf {
        self.folder.join("record")
    }

    /// What the server has logged since its last start.
    pub(crate) fn log(&self) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string(self.folder.join("server.log"))?)
    }

    /// The program with these arguments in an environment of its own.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .args(arguments)
            .env_clear()
            .env("HOME", &self.folder)
            .env("RUST_BACKTRACE", "0")
            .envs(REPEAT_LIMITS)
            .current_dir(&self.folder)
            .stdin(Stdio::null());
        command
    }

    /// Starts the server with these further variables and waits until it is ready or has ended.
    pub(crate) async fn start<K, V>(
        &self,
        environment: impl IntoIterator<Item = (K, V)>,
    ) -> anyhow::Result<Started>
    where
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        let ready_file = self.folder.join("ready.json");
        if ready_file.exists() {
            std::fs::remove_file(&ready_file)?;
        }
        let log = std::fs::File::create(self.folder.join("server.log"))?;
        let mut command =
            self.command(&["serve", "--data", "disk/data", "--ready-file", "ready.json"]);
        command
            .args(["--listen", &self.listen.to_string()])
            .envs(environment)
            .stdout(log.try_clone()?)
            .stderr(log);
        let is_recorded = command.get_envs().any(|(name, _)| name == RECORD);
        let mut child = command
            .spawn()
            .with_context(|| format!("starting {}", self.binary.display()))?;
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if let Ok(text) = std::fs::read_to_string(&ready_file) {
                let ready: Ready = serde_json::from_str(&text).context("the ready file")?;
                return Ok(Started::Running(Server {
                    child,
                    is_recorded,
                    address: ready.address,
                }));
            }
            if let Some(status) = child.try_wait()? {
                return Ok(Started::Ended(Ended {
                    code: status.code(),
                    log: self.log()?,
                }));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        child.kill()?;
        bail!("the server was not ready after {} s", PATIENCE.as_secs())
    }

    /// Starts the server, which has to get ready.
    pub(crate) async fn run(&self) -> anyhow::Result<Server> {
        match self.start(std::iter::empty::<(&str, &str)>()).await? {
            Started::Running(server) => Ok(server),
            Started::Ended(ended) => bail!("the server did not start: {}", ended.last_line()),
        }
    }

    /// Makes a user of the running server; `None` when the server refused or has died.
    pub(crate) async fn create_user(&self) -> anyhow::Result<Option<String>> {
        self.operate(&["user", "create"]).await
    }

    /// A token for a user; `None` when the server refused or has died.
    pub(crate) async fn issue_token(&self, user: &str) -> anyhow::Result<Option<String>> {
        self.operate(&["token", "issue", "--user", user]).await
    }

    /// What a command that asks the running server prints; `None` when it fails.
    async fn operate(&self, arguments: &[&str]) -> anyhow::Result<Option<String>> {
        let mut command = self.command(arguments);
        command.args(["--ready-file", "ready.json"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn()?;
        let output: Output = tokio::task::spawn_blocking(|| child.wait_with_output()).await??;
        let text = String::from_utf8(output.stdout)?;
        Ok(output.status.success().then(|| text.trim().to_owned()))
    }
}

impl Server {
    /// Kills it: with SIGKILL, at whatever it does. Where its calls are recorded the preloaded
    /// library does that, so that none is done and not in the record.
    pub(crate) fn kill(mut self) -> anyhow::Result<()> {
        if self.is_recorded {
            self.signal("-USR1")?;
        } else {
            // An error means that it has ended already.
            let _ = self.child.kill();
        }
        self.child.wait()?;
        Ok(())
    }

    /// Sends it a signal unless it has ended: somebody else may have its number then.
    fn signal(&mut self, signal: &str) -> anyhow::Result<()> {
        if self.child.try_wait()?.is_none() {
            let pid = self.child.id().to_string();
            let status = Command::new("kill").args([signal, &pid]).status()?;
            anyhow::ensure!(status.success(), "kill {signal} {pid} failed");
        }
        Ok(())
    }

    /// The number of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Asks it to end (SIGTERM) and waits; returns its exit code.
    pub(crate) async fn stop(mut self) -> anyhow::Result<Option<i32>> {
        self.signal("-TERM")?;
        Ok(self.end().await?.code())
    }

    /// Waits for its end.
    pub(crate) async fn end(&mut self) -> anyhow::Result<ExitStatus> {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        bail!("the server did not end within {} s", PATIENCE.as_secs())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
