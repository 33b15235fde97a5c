//! Starts the binary in a temporary home and talks to it.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;
use tempfile::TempDir;

/// Generous: machines that run tests are busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A home directory of its own, which is all that the program's files depend on.
pub(crate) struct Home(TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The program with these arguments, its environment empty but for the home.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cavansite"));
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.0.path())
            // Where `dev` keeps its data, if there is room.
            .env("XDG_RUNTIME_DIR", self.0.path())
            .env("TMPDIR", self.0.path())
            .current_dir(self.0.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Starts a server on a free port, and waits until it is ready.
    pub(crate) fn start(&self, arguments: &[&str]) -> Server {
        self.start_command(self.command(arguments))
    }

    pub(crate) fn start_command(&self, mut command: Command) -> Server {
        let name = format!("ready-{}", fs::read_dir(self.0.path()).unwrap().count());
        let ready_file = self.path(&format!("{name}.json"));
        let (out, err) = (
            self.path(&format!("{name}.out")),
            self.path(&format!("{name}.err")),
        );
        let child = command
            .args(["--listen", "127.0.0.1:0", "--ready-file"])
            .arg(&ready_file)
            .stdout(fs::File::create(&out).unwrap())
            .stderr(fs::File::create(&err).unwrap())
            .spawn()
            .unwrap();
        let mut server = Server {
            child,
            ready: Value::Null,
            ready_file,
            out,
            err,
        };
        let started = Instant::now();
        while !server.ready_file.exists() {
            let ended = server.child.try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}: {}", server.log());
            assert!(started.elapsed() < PATIENCE, "not ready: {}", server.log());
            std::thread::sleep(Duration::from_millis(5));
        }
        server.ready = serde_json::from_slice(&fs::read(&server.ready_file).unwrap()).unwrap();
        server
    }
}

/// A running server, killed when dropped.
pub(crate) struct Server {
    child: Child,
    /// What its ready file said.
    pub(crate) ready: Value,
    pub(crate) ready_file: PathBuf,
    out: PathBuf,
    err: PathBuf,
}

impl Server {
    pub(crate) fn text(&self, field: &str) -> &str {
        self.ready[field].as_str().unwrap()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.text("address").parse().unwrap()
    }

    /// What it wrote to standard error so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.err).unwrap()
    }

    /// What it wrote to standard output so far.
    pub(crate) fn output(&self) -> String {
        fs::read_to_string(&self.out).unwrap()
    }

    /// Waits for a text to appear in a file that the server writes.
    pub(crate) fn wait_for(&self, what: &str, read: impl Fn(&Self) -> String) {
        let started = Instant::now();
        while !read(self).contains(what) {
            assert!(started.elapsed() < PATIENCE, "no {what} in {}", read(self));
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        let done = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status();
        assert!(done.unwrap().success());
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                started.elapsed() < PATIENCE,
                "still running: {}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// A connection over TLS that trusts the CA of the ready file.
    pub(crate) fn tls(&self) -> Tls {
        tls(self.address(), "127.0.0.1", Path::new(self.text("caFile")))
    }

    /// A connection in the clear.
    pub(crate) fn tcp(&self) -> TcpStream {
        tcp(self.address())
    }

    /// Asks over TLS.
    pub(crate) fn get(&self, path: &str) -> String {
        exchange(self.tls(), path, "")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) type Tls = StreamOwned<ClientConnection, TcpStream>;

pub(crate) fn tcp(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

pub(crate) fn tls(address: SocketAddr, name: &str, ca_file: &Path) -> Tls {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca_file).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let session = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(session, tcp(address));
    stream.flush().unwrap();
    stream
}

/// Sends a GET with more headers (each ending in `\r\n`), and reads the answer to the end.
pub(crate) fn exchange(mut stream: impl Read + Write, path: &str, headers: &str) -> String {
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    read_all(stream)
}

/// Reads until the other side closes.
pub(crate) fn read_all(mut stream: impl Read) -> String {
    let mut answer = Vec::new();
    // A close without TLS's goodbye is an error that says nothing about the answer.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

/// What a program wrote to standard output.
pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Asserts that a program ended with that code and said why in one line with `words` in it.
pub(crate) fn assert_refusal(output: &Output, code: i32, words: &str) {
    let error = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(error.contains(words), "no {words:?} in {error}");
}
