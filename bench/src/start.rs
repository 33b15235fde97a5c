//! `cavansite-bench start`: how soon the emulator answers, and how large it is.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use clap::Args;
use http_body_util::Full;
use hyper::{Request, StatusCode, header};

use crate::client::Target;
use crate::outcome::Outcome;
use crate::plan::Plan;
use crate::server::Server;
use crate::statistics::Runs;

/// Options of `cargo xtask bench start`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The server to measure
    #[arg(long)]
    binary: PathBuf,
    /// Where its home directory is made
    #[arg(long)]
    dir: PathBuf,
    /// Starts of each kind
    #[arg(long, default_value_t = 20)]
    runs: u32,
}

impl Options {
    /// The same as other measurements.
    pub(crate) fn of(plan: &Plan) -> Self {
        Self {
            binary: plan.binary.clone(),
            dir: plan.dir.clone(),
            runs: 20,
        }
    }
}

/// Milliseconds from exec to the first answer, mebibytes in memory and of the binary, that are
/// aimed at.
const FIRST_ANSWER_MS_MAX: f64 = 25.0;
const RESIDENT_MAX: f64 = 10.0;
const BINARY_MAX: f64 = 20.0;

/// Figures of all starts.
#[derive(Debug, Default)]
struct Figures {
    /// Milliseconds, with the CA of an earlier start.
    made: Runs,
    /// Milliseconds, where the CA has to be made.
    unmade: Runs,
    /// Mebibytes.
    resident: Runs,
    anonymous: Runs,
}

/// Measures.
pub(crate) async fn run(options: &Options) -> anyhow::Result<Vec<Outcome>> {
    let home = options.dir.join("start");
    let mut figures = Figures::default();
    for _ in 0..options.runs {
        clear(&home)?;
        let millis = start(options, &home, &mut figures).await?;
        figures.unmade.add(millis);
        // The CA of the first start is there for the second.
        let millis = start(options, &home, &mut figures).await?;
        figures.made.add(millis);
    }
    let mut binary = Runs::default();
    #[expect(clippy::cast_precision_loss, reason = "a figure to be shown")]
    binary.add(std::fs::metadata(&options.binary)?.len() as f64 / MEBIBYTE);
    Ok(vec![
        Outcome::of("exec to first answer, CA made before", "ms", figures.made)
            .at_most(FIRST_ANSWER_MS_MAX),
        Outcome::of("exec to first answer, CA to be made", "ms", figures.unmade)
            .at_most(FIRST_ANSWER_MS_MAX),
        Outcome::of("resident memory after the answer", "MiB", figures.resident)
            .at_most(RESIDENT_MAX),
        Outcome::of("of it not backed by a file", "MiB", figures.anonymous),
        Outcome::of("binary", "MiB", binary).at_most(BINARY_MAX),
    ])
}

const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// One start: exec, ready file, connection, TLS with the CA checked, request, answer. Returns
/// the milliseconds that it took.
async fn start(options: &Options, home: &Path, figures: &mut Figures) -> anyhow::Result<f64> {
    let mut command = Command::new(&options.binary);
    command.args(["dev", "--listen", "127.0.0.1:0"]);
    let begin = Instant::now();
    let server = Server::start(command, home, &[]).await?;
    let target = Target::new(&server.ready.endpoint, &server.ready.ca_file)?;
    let mut connection = target.connect().await?;
    let request = Request::get("/health/ready")
        .header(header::HOST, target.host())
        .body(Full::default())?;
    connection.expect(request, StatusCode::OK).await?;
    let millis = begin.elapsed().as_secs_f64() * 1e3;
    let memory = server.memory()?;
    figures.resident.add(memory.resident / MEBIBYTE);
    figures.anonymous.add(memory.anonymous / MEBIBYTE);
    server.stop().await?;
    Ok(millis)
}

fn clear(home: &Path) -> anyhow::Result<()> {
    if home.exists() {
        std::fs::remove_dir_all(home)?;
    }
    Ok(std::fs::create_dir_all(home)?)
}
