//! Alternating runs: each subject in turn under the same load, several times over.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

use crate::client::Target;
use crate::floors::Appended;
use crate::load::{self, Lane, Measured};
use crate::server::{self, Server};
use crate::statistics::{Runs, percentile};

/// What all measurements have in common.
#[derive(Debug, Clone, Args)]
pub(crate) struct Plan {
    /// The server to measure
    #[arg(long)]
    pub(crate) binary: PathBuf,
    /// Where data directories are made: a real disk, not memory
    #[arg(long)]
    pub(crate) dir: PathBuf,
    /// Connections (HTTP/1.1, keep-alive, TLS)
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=200))]
    pub(crate) connections: u16,
    /// Seconds of each measured run
    #[arg(long, default_value_t = 2.0)]
    pub(crate) seconds: f64,
    /// Seconds of load before each measurement
    #[arg(long, default_value_t = 0.5)]
    pub(crate) warm_up: f64,
    /// Alternating runs; medians are shown
    #[arg(long, default_value_t = 5)]
    pub(crate) runs: u64,
    /// The core of the servers
    #[arg(long, default_value_t = 0)]
    pub(crate) server_core: usize,
    /// The core of the load
    #[arg(long, default_value_t = 1)]
    pub(crate) load_core: usize,
}

/// A server under test, with its data, and how to reach it.
pub(crate) struct Running {
    pub(crate) server: Server,
    pub(crate) target: Target,
    pub(crate) folder: PathBuf,
}

/// What takes its turn.
pub(crate) enum Subject<'a> {
    /// A server under a load of one lane per connection.
    Load {
        server: &'a Running,
        lanes: Vec<Lane>,
        /// Requests per second of all lanes together; none: each as soon as it is answered.
        rate: Option<f64>,
    },
    /// The append floor, with a writer per connection.
    Append,
}

impl<'a> Subject<'a> {
    /// A closed loop.
    pub(crate) fn closed(server: &'a Running, lanes: Vec<Lane>) -> Self {
        Self::Load {
            server,
            lanes,
            rate: None,
        }
    }
}

/// Figures of one subject.
#[derive(Debug, Default, Clone)]
pub(crate) struct Figures {
    pub(crate) cpu_micros: Runs,
    pub(crate) per_second: Runs,
    pub(crate) p50_ms: Runs,
    pub(crate) p99_ms: Runs,
    pub(crate) written_bytes: Runs,
    pub(crate) server_busy: Runs,
    pub(crate) load_busy: Runs,
    /// Polls asked for, also outside of the measured time.
    pub(crate) polls: f64,
}

impl Figures {
    fn add(&mut self, measured: &Measured) {
        let millis = |per_mille| f64::from(percentile(&measured.latencies, per_mille)) / 1e3;
        self.cpu_micros
            .add(measured.cpu_seconds * 1e6 / measured.requests);
        self.per_second.add(measured.requests / measured.seconds);
        self.p50_ms.add(millis(500));
        self.p99_ms.add(millis(990));
        self.written_bytes
            .add(measured.written_bytes / measured.requests);
        self.server_busy
            .add(100.0 * measured.cpu_seconds / measured.seconds);
        self.load_busy.add(100.0 * measured.load_busy);
        self.polls += measured.polls;
    }

    /// What stands beside the CPU time.
    pub(crate) fn notes(&self) -> String {
        format!(
            "{} per second; ms p50 {}, p99 {}; {} bytes written each; server's core {} %, \
             load's {} %",
            self.per_second.show(0),
            self.p50_ms.show(2),
            self.p99_ms.show(2),
            self.written_bytes.show(0),
            self.server_busy.show(0),
            self.load_busy.show(0),
        )
    }
}

impl Plan {
    /// The core of the servers, where server and load can be kept apart.
    pub(crate) fn core(&self) -> Option<usize> {
        server::pin_self(self.load_core).then_some(self.server_core)
    }

    /// Each subject in turn, as often as there are runs.
    pub(crate) async fn alternate(&self, subjects: &[Subject<'_>]) -> anyhow::Result<Vec<Figures>> {
        let warm_up = Duration::from_secs_f64(self.warm_up);
        let duration = Duration::from_secs_f64(self.seconds);
        let mut figures = vec![Figures::default(); subjects.len()];
        for run in 0..self.runs {
            for (subject, figures) in subjects.iter().zip(&mut figures) {
                match subject {
                    Subject::Load {
                        server,
                        lanes,
                        rate,
                    } => {
                        let Running { server, target, .. } = server;
                        let load = load::Load {
                            lanes,
                            rate: *rate,
                            seed: run,
                            warm_up,
                            duration,
                        };
                        figures.add(&Box::pin(load::run(server, target, load)).await?);
                    }
                    Subject::Append => self.append(figures)?,
                }
            }
        }
        Ok(figures)
    }

    /// The release build as a server, on the data in a folder.
    pub(crate) async fn serve(
        &self,
        folder: &Path,
        settings: &[(&str, String)],
    ) -> anyhow::Result<Running> {
        let mut command = server::pinned(&self.binary, self.core());
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--log", "json"])
            .arg("--data")
            .arg(folder.join("data"));
        let settings: Vec<_> = settings
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let server = Server::start(command, folder, &settings).await?;
        running(server, folder)
    }

    /// The floor that echoes and sends bodies from memory.
    pub(crate) async fn floor(&self) -> anyhow::Result<Running> {
        self.start_floor(&["http"]).await
    }

    /// A floor program that serves.
    pub(crate) async fn start_floor(&self, arguments: &[&str]) -> anyhow::Result<Running> {
        let folder = self.fresh_folder("floor")?;
        let mut command = server::pinned(&std::env::current_exe()?, self.core());
        command.arg("floor").args(arguments);
        let server = Server::start(command, &folder, &[]).await?;
        running(server, &folder)
    }

    /// An empty folder.
    pub(crate) fn fresh_folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.dir.join(name);
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        Ok(folder)
    }

    /// Lanes that all ask for the same.
    pub(crate) fn lanes(&self, lane: &Lane) -> Vec<Lane> {
        vec![lane.clone(); usize::from(self.connections)]
    }

    fn append(&self, figures: &mut Figures) -> anyhow::Result<()> {
        let folder = self.fresh_folder("append")?;
        let output = server::pinned(&std::env::current_exe()?, self.core())
            .args(["floor", "append", "--file"])
            .arg(folder.join("records"))
            .args(["--writers", &self.connections.to_string()])
            .args(["--warm-up", &self.warm_up.to_string()])
            .args(["--seconds", &self.seconds.to_string()])
            .stderr(Stdio::inherit())
            .output()?;
        anyhow::ensure!(output.status.success(), "the append floor failed");
        let appended: Appended = serde_json::from_slice(&output.stdout)?;
        let records = appended.records;
        figures.cpu_micros.add(appended.cpu_seconds * 1e6 / records);
        figures.per_second.add(records / appended.seconds);
        std::fs::remove_dir_all(folder)?;
        Ok(())
    }
}

fn running(server: Server, folder: &Path) -> anyhow::Result<Running> {
    Ok(Running {
        target: Target::new(&server.ready.endpoint, &server.ready.ca_file)?,
        server,
        folder: folder.to_owned(),
    })
}

impl Running {
    /// Stops the server; returns what it says of its store.
    pub(crate) async fn stop(self) -> anyhow::Result<Closed> {
        self.server.stop().await?;
        let log = std::fs::read_to_string(self.folder.join("server.log"))?;
        let mut lines = log.lines().rev().take(3);
        lines
            .find_map(|line| serde_json::from_str(line).ok())
            .context("the server did not say what its store did")
    }
}

/// The line that a server logs last.
#[derive(serde::Deserialize)]
pub(crate) struct Closed {
    pub(crate) writes: f64,
    pub(crate) groups: f64,
    pub(crate) reads: f64,
}
