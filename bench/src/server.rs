//! Servers under test as processes: started on one core, measured through `/proc`, stopped.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

/// How long a start or a stop may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// Linux counts CPU time for user programs in hundredths of a second on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;

/// What a server writes once its port answers; the floors write the same.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ready {
    pub(crate) endpoint: String,
    #[serde(default)]
    pub(crate) connection_string: String,
    pub(crate) ca_file: PathBuf,
    /// The process that serves (not a program around it).
    pub(crate) pid: u32,
}

/// A running server; killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) ready: Ready,
}

/// CPU and disk that a process has used so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) cpu_seconds: f64,
    pub(crate) written_bytes: f64,
}

/// Memory of a process in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) resident: f64,
    /// The part that is backed by no file: not the program itself.
    pub(crate) anonymous: f64,
}

impl Server {
    /// Starts a command, which is given `--ready-file` and variables, and waits for that file.
    pub(crate) async fn start(
        mut command: Command,
        folder: &Path,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let ready_file = folder.join("ready.json");
        if ready_file.exists() {
            std::fs::remove_file(&ready_file)?;
        }
        let log = std::fs::File::create(folder.join("server.log"))?;
        let child = command
            .arg("--ready-file")
            .arg(&ready_file)
            .env_clear()
            .env("HOME", std::path::absolute(folder)?)
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {}", command.get_program().display()))?;
        let mut started = Started { child: Some(child) };
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if let Ok(text) = std::fs::read_to_string(&ready_file) {
                let ready = serde_json::from_str(&text).context("the ready file")?;
                return started.into_server(ready);
            }
            if let Some(status) = started.has_ended()? {
                let log = std::fs::read_to_string(folder.join("server.log"))?;
                bail!("the server ended before it was ready ({status}):\n{log}");
            }
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        bail!("the server was not ready after {} s", PATIENCE.as_secs())
    }

    /// CPU and disk so far.
    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        usage(&self.ready.pid.to_string())
    }

    /// Its memory now.
    pub(crate) fn memory(&self) -> anyhow::Result<Memory> {
        memory(&self.ready.pid.to_string())
    }

    /// Asks it to end (SIGTERM) and waits; an exit code other than 0 is an error.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let pid = self.ready.pid.to_string();
        Command::new("kill").args(["-TERM", &pid]).status()?;
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                if status.success() {
                    return Ok(());
                }
                bail!("the server ended with {status} when asked to stop");
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
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

/// A child that is not ready yet; killed when it never gets there.
struct Started {
    child: Option<Child>,
}

impl Started {
    fn has_ended(&mut self) -> anyhow::Result<Option<std::process::ExitStatus>> {
        let child = self.child.as_mut().context("no child")?;
        Ok(child.try_wait()?)
    }

    fn into_server(mut self, ready: Ready) -> anyhow::Result<Server> {
        let child = self.child.take().context("no child")?;
        Ok(Server { child, ready })
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// CPU and disk of a process, by its id or `self`.
pub(crate) fn usage(pid: &str) -> anyhow::Result<Usage> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let io = std::fs::read_to_string(format!("/proc/{pid}/io"))?;
    Ok(Usage {
        cpu_seconds: cpu_ticks(&stat)? / TICKS_PER_SECOND,
        #[expect(clippy::cast_precision_loss, reason = "a figure to be shown")]
        written_bytes: field(&io, "write_bytes:")? as f64,
    })
}

/// Memory of a process, by its id or `self`.
pub(crate) fn memory(pid: &str) -> anyhow::Result<Memory> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let bytes = |name| -> anyhow::Result<f64> {
        let kibibytes = u32::try_from(field(&status, name)?)?;
        Ok(f64::from(kibibytes) * 1024.0)
    };
    Ok(Memory {
        resident: bytes("VmRSS:")?,
        anonymous: bytes("RssAnon:")?,
    })
}

/// User and system time: the 14th and 15th field. The second, the program's name in brackets,
/// may hold blanks, so counting begins behind it.
fn cpu_ticks(stat: &str) -> anyhow::Result<f64> {
    let behind = stat.rsplit_once(')').context("/proc/PID/stat")?.1;
    let mut fields = behind.split_whitespace().skip(11);
    let mut next = || -> anyhow::Result<f64> { Ok(fields.next().context("too short")?.parse()?) };
    Ok(next()? + next()?)
}

/// A number behind a name at the beginning of a line.
fn field(text: &str, name: &str) -> anyhow::Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let value = line.and_then(|line| line.split_whitespace().next());
    Ok(value.with_context(|| name.to_owned())?.parse()?)
}

/// The command, on one core where that can be said.
pub(crate) fn pinned(program: &Path, core: Option<usize>) -> Command {
    let Some(core) = core else {
        return Command::new(program);
    };
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string()]).arg(program);
    command
}

/// Keeps this process (so far one thread) on one core. Returns whether that worked.
pub(crate) fn pin_self(core: usize) -> bool {
    pin(&std::process::id().to_string(), core)
}

/// Keeps the thread that calls on one core. Returns whether that worked.
pub(crate) fn pin_self_thread(core: usize) -> bool {
    // `PID/task/TID`.
    let link = std::fs::read_link("/proc/thread-self");
    let id = link
        .as_ref()
        .ok()
        .and_then(|link| link.file_name()?.to_str());
    id.is_some_and(|id| pin(id, core))
}

fn pin(id: &str, core: usize) -> bool {
    let status = Command::new("taskset")
        .args(["-c", "-p", &core.to_string(), id])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_read_behind_a_name_with_blanks_and_brackets() {
        let stat = "17 (a b) c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0";
        assert!((cpu_ticks(stat).unwrap() - 300.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_field_is_read_by_its_name() {
        let text = "cancelled_write_bytes: 3\nwrite_bytes: 4096\nVmRSS:\t  5120 kB\n";
        assert_eq!(field(text, "write_bytes:").unwrap(), 4096);
        assert_eq!(field(text, "VmRSS:").unwrap(), 5120);
        assert!(field(text, "VmHWM:").is_err());
    }
}
