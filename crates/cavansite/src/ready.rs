//! Ready files: where a running server says how to reach it.
//!
//! Each server leaves one in the user's state directory, beside a lock that it holds while it runs;
//! `--ready-file` asks for one more copy. They hold the access key, so only their owner may read
//! them.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use cavansite_core::store::sqlite::Durability;
use serde::{Deserialize, Serialize};

use crate::directories::{self, write_private};
use crate::platform;

/// What a ready file says. It cannot be printed as a whole, since it holds the access key.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ready {
    /// The URL for clients, without a slash at the end.
    pub endpoint: String,
    /// The connection string, which holds the access key.
    pub connection_string: String,
    /// The local CA's certificate; absent when the operator brought a certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The system's CAs and the local one; absent as above.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<PathBuf>,
    /// The server's process.
    pub pid: u32,
    /// Where a client on this machine connects.
    pub address: SocketAddr,
    /// A name that the server's certificate is for, for a client on this machine.
    pub server_name: String,
    /// The data directory.
    pub data: PathBuf,
}

/// Why no server was found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// None runs.
    #[error("no server of yours is running (`cavansite dev` starts one)")]
    None,
    /// More than one runs; the lines name their ready files.
    #[error("several servers are running; choose one with --ready-file PATH:{0}")]
    Several(String),
    /// A ready file cannot be read.
    #[error("ready file {}: {problem}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// There is no state directory.
    #[error("{0}")]
    NoState(#[from] io::Error),
}

/// The ready files of a server, removed when this is dropped.
pub struct Published {
    files: Vec<PathBuf>,
    /// Held, never read: closing it lets the lock go, after the files are gone.
    lock: Option<File>,
}

impl Published {
    /// Writes the file to `extra`, where given, and to the user's state directory. That the latter
    /// cannot be written (a system account without a home, a read-only container) is no reason not
    /// to run; it is logged.
    pub fn publish(ready: &Ready, extra: Option<&Path>) -> io::Result<Self> {
        let mut contents = serde_json::to_vec_pretty(ready)?;
        contents.push(b'\n');
        let mut published = Self {
            files: Vec::new(),
            lock: None,
        };
        match register(ready, &contents) {
            Ok((files, lock)) => {
                published.files.extend(files);
                published.lock = Some(lock);
            }
            Err(error) => tracing::warn!(
                %error,
                "no ready file in the state directory: commands find this server by --ready-file"
            ),
        }
        if let Some(path) = extra {
            write_private(path, contents.as_slice(), Durability::None).map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", path.display()))
            })?;
            published.files.push(path.to_owned());
        }
        Ok(published)
    }
}

impl Published {
    /// Writes the files again: what they say has changed.
    pub fn update(&self, ready: &Ready) -> io::Result<()> {
        let mut contents = serde_json::to_vec_pretty(ready)?;
        contents.push(b'\n');
        // That of the state directory last: whoever sees it can be sure of the other one.
        let files = self.files.iter().rev();
        files
            .filter(|path| path.extension().is_none_or(|extension| extension != "lock"))
            // One that cannot be written must not keep the others back.
            .map(|path| write_private(path, contents.as_slice(), Durability::None))
            .fold(Ok(()), io::Result::and)
    }
}

impl Ready {
    /// The access key of the connection string, in base64.
    pub fn access_key(&self) -> Option<&str> {
        let mut parts = self.connection_string.split(';');
        parts.find_map(|part| part.strip_prefix("accesskey="))
    }

    /// The URL for a client on this machine that connects to [`Self::address`].
    pub fn local_endpoint(&self) -> String {
        let port = self.address.port();
        match self.server_name.parse() {
            Ok(ip) => format!("https://{}", SocketAddr::new(ip, port)),
            Err(_) => format!("https://{}:{port}", self.server_name),
        }
    }
}

/// A connection string, as the SDKs take it, with a key in base64.
pub fn connection_string(endpoint: &str, key: &str) -> String {
    format!("endpoint={endpoint}/;accesskey={key}")
}

impl Drop for Published {
    fn drop(&mut self) {
        for path in &self.files {
            let _ = fs::remove_file(path);
        }
        drop(self.lock.take());
    }
}

fn register(ready: &Ready, contents: &[u8]) -> io::Result<([PathBuf; 2], File)> {
    let directory = servers()?;
    platform::create_private_directory(&directory)?;
    let name = format!("{}-{}", ready.address.port(), ready.pid);
    let path = directory.join(format!("{name}.json"));
    let lock_path = directory.join(format!("{name}.lock"));
    let lock = File::create(&lock_path)?;
    lock.lock()?;
    write_private(&path, contents, Durability::None)?;
    Ok(([path, lock_path], lock))
}

fn servers() -> io::Result<PathBuf> {
    Ok(directories::user_state()?.join("servers"))
}

/// The running server: the one whose ready file is given, or the only one of this user.
pub fn find(given: Option<&Path>) -> Result<Ready, FindError> {
    if let Some(path) = given {
        return read(path);
    }
    let mut running = list(&servers()?)?;
    match running.len() {
        0 => Err(FindError::None),
        1 => Ok(running.remove(0).1),
        _ => {
            let line = |(path, ready): &(PathBuf, Ready)| {
                format!("\n  {}  {}", ready.endpoint, path.display())
            };
            Err(FindError::Several(running.iter().map(line).collect()))
        }
    }
}

/// The servers that run, by their ready files. Files that killed servers left are removed.
fn list(directory: &Path) -> Result<Vec<(PathBuf, Ready)>, FindError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut running = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        if is_running(&path) {
            // A server that stops meanwhile has taken its file away.
            if path.exists() {
                running.push((path.clone(), read(&path)?));
            }
        } else {
            let _ = fs::remove_file(&path);
            let _ = fs::remove_file(path.with_extension("lock"));
        }
    }
    running.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(running)
}

/// Whether the server that wrote the file still holds its lock. A process id would not tell: it may
/// belong to another process by now, or to another container.
fn is_running(ready_file: &Path) -> bool {
    match File::open(ready_file.with_extension("lock")) {
        Ok(lock) => lock.try_lock_shared().is_err(),
        Err(_) => false,
    }
}

fn read(path: &Path) -> Result<Ready, FindError> {
    let unreadable = |problem: String| FindError::Unreadable {
        path: path.to_owned(),
        problem,
    };
    let text = fs::read(path).map_err(|error| unreadable(error.to_string()))?;
    serde_json::from_slice(&text).map_err(|error| unreadable(error.to_string()))
}
