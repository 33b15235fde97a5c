//! The suites whose scripts end the server while they run. A script asks for it by a line on
//! standard output, and goes on at the line that it gets back once the server answers again, on the
//! same data and port.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::Stdio;

use anyhow::Context as _;

use super::LISTEN;
use super::outcomes::{self, Line};
use super::script::Script;
use super::server::Server;
use super::suites::Phase;

/// Asks for a crash (SIGKILL).
const KILL: &str = "kill";
/// Asks for a graceful end (SIGTERM).
const STOP: &str = "stop";

/// Runs the phases, each against a server of its own.
pub(super) fn run(
    binary: &Path,
    script: &Script,
    phases: &[Phase],
    folder: &Path,
) -> anyhow::Result<Vec<Line>> {
    let mut lines = Vec::new();
    for Phase { name, settings } in phases {
        let data = folder.join(format!("data-{name}"));
        let file = folder.join(format!("{name}.toml"));
        std::fs::write(&file, settings)?;
        let (data, file) = (data.to_string_lossy(), file.to_string_lossy());
        let arguments = ["serve", "--data", &data, "--config", &file];
        let mut server = Server::start(binary, &arguments, LISTEN, folder)?;
        let results = folder.join(format!("{name}.jsonl"));
        let mut client = script
            .command(&server, folder, &results, &[name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut answer = client.stdin.take().context("the script's input")?;
        let asked = BufReader::new(client.stdout.take().context("the script's output")?);
        for line in asked.lines() {
            let listen = server.listen();
            match line?.as_str() {
                KILL => server.kill()?,
                STOP => server.stop()?,
                other => {
                    println!("{other}");
                    continue;
                }
            }
            server = Server::start(binary, &arguments, &listen, folder)?;
            writeln!(answer, "done")?;
        }
        let status = client.wait()?;
        let path = script.path().display();
        anyhow::ensure!(status.success(), "{path} broke off: {status}");
        server.stop()?;
        let text = std::fs::read_to_string(&results)?;
        lines.extend(outcomes::read::<Line>(&text)?);
    }
    Ok(lines)
}
