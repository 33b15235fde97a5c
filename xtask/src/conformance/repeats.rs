//! The suite whose script has the server killed while it runs (conformance/repeats/repeats.mjs):
//! once with the recognition of repeated sends, once without.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::Stdio;

use anyhow::Context as _;

use super::LISTEN;
use super::outcomes::{self, Line};
use super::server::Server;

/// The script's phases: what each expects of a message whose answer was lost.
pub(super) const PHASES: [&str; 2] = ["once", "twice"];

/// What the script says when it wants the server killed and started again.
const KILL: &str = "kill";

/// Turns the recognition of repeats off.
const OFF: &str = "[limits]\nsend_repeat_window_ms = 0\n";

/// Runs both phases, each against a server of its own.
pub(super) fn run(
    binary: &Path,
    program: &Path,
    script: &Path,
    folder: &Path,
) -> anyhow::Result<Vec<Line>> {
    let mut lines = Vec::new();
    for phase in PHASES {
        let data = folder.join(format!("data-{phase}"));
        let settings = folder.join(format!("{phase}.toml"));
        std::fs::write(&settings, if phase == "twice" { OFF } else { "" })?;
        let data = data.to_string_lossy();
        let settings = settings.to_string_lossy();
        let arguments = ["serve", "--data", &data, "--config", &settings];
        let mut server = Server::start(binary, &arguments, LISTEN, folder)?;
        let results = folder.join(format!("{phase}.jsonl"));
        let mut client = server
            .client(program)
            .arg(script)
            .arg("--state")
            .arg(folder.join("state.json"))
            .arg("--results")
            .arg(&results)
            .arg(phase)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut answer = client.stdin.take().context("the script's input")?;
        let asked = BufReader::new(client.stdout.take().context("the script's output")?);
        for line in asked.lines() {
            if line? == KILL {
                let listen = server.listen();
                server.kill()?;
                server = Server::start(binary, &arguments, &listen, folder)?;
                writeln!(answer, "done")?;
            }
        }
        let status = client.wait()?;
        anyhow::ensure!(status.success(), "{} broke off: {status}", script.display());
        server.stop()?;
        let text = std::fs::read_to_string(&results)?;
        lines.extend(outcomes::read::<Line>(&text)?);
    }
    Ok(lines)
}
