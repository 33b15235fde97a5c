//! The floors: what the parts of a request cost when nothing else is done.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Subcommand;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::TlsAcceptor;

use crate::fan_floor;
use crate::load::BODY_BYTES;
use crate::server::{self, Ready};

/// The largest body that is sent from memory.
const FROM_MEMORY_MAX: usize = 64 * 1024 * 1024;

/// A floor program.
#[derive(Debug, Subcommand)]
pub(crate) enum Floor {
    /// Over TLS: answers JSON with the same JSON, and `GET /SIZE` with so many bytes from memory
    Http {
        /// Written once the port answers
        #[arg(long)]
        ready_file: PathBuf,
    },
    /// Over TLS: writes frames of so many bytes to each of many connections
    Fan {
        /// Written once the port answers
        #[arg(long)]
        ready_file: PathBuf,
        #[arg(long)]
        frame_bytes: usize,
    },
    /// Appends records to a file, many writers to one sync, and reports as JSON
    Append {
        /// The file
        #[arg(long)]
        file: PathBuf,
        /// Writers that wait for their record to be synced
        #[arg(long)]
        writers: usize,
        #[arg(long)]
        warm_up: f64,
        #[arg(long)]
        seconds: f64,
    },
}

/// Runs a floor program to its end.
#[expect(clippy::print_stdout, reason = "what the append floor reports")]
pub(crate) async fn run(floor: Floor) -> anyhow::Result<()> {
    match floor {
        Floor::Http { ready_file } => http(&ready_file).await,
        Floor::Fan {
            ready_file,
            frame_bytes,
        } => fan_floor::run(&ready_file, frame_bytes).await,
        Floor::Append {
            file,
            writers,
            warm_up,
            seconds,
        } => {
            let warm_up = Duration::from_secs_f64(warm_up);
            let duration = Duration::from_secs_f64(seconds);
            let appended = append(&file, writers, warm_up, duration).await?;
            println!("{}", serde_json::to_string(&appended)?);
            Ok(())
        }
    }
}

/// The shape of a message's body.
#[derive(Debug, Serialize, Deserialize)]
struct Message {
    content: String,
}

/// Serves until it is killed.
async fn http(ready_file: &Path) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let ca_file = ready_file.with_file_name("ca.pem");
    let acceptor = TlsAcceptor::from(Arc::new(tls(&ca_file)?));
    announce(ready_file, &listener, ca_file)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            // A connection that ends in an error was broken by the client.
            let _ = serve(stream, &acceptor).await;
        });
    }
}

/// Writes the ready file.
pub(crate) fn announce(
    ready_file: &Path,
    listener: &TcpListener,
    ca_file: PathBuf,
) -> anyhow::Result<()> {
    let ready = Ready {
        endpoint: format!("https://{}", listener.local_addr()?),
        connection_string: String::new(),
        ca_file,
        pid: std::process::id(),
    };
    let unfinished = ready_file.with_extension("new");
    std::fs::write(&unfinished, serde_json::to_string(&ready)?)?;
    Ok(std::fs::rename(unfinished, ready_file)?)
}

async fn serve(stream: TcpStream, acceptor: &TlsAcceptor) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let stream = acceptor.accept(stream).await?;
    // The body in memory, made by the first request for that size.
    let kept = Mutex::new(Bytes::new());
    let service = service_fn(|request| answer(request, &kept));
    hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await?;
    Ok(())
}

async fn answer(
    request: Request<Incoming>,
    kept: &Mutex<Bytes>,
) -> anyhow::Result<Response<Full<Bytes>>> {
    if request.method() == Method::GET {
        let size = request.uri().path().trim_start_matches('/').parse()?;
        return Ok(json(from_memory(kept, size)));
    }
    let body = request.into_body().collect().await?.to_bytes();
    let Ok(message) = serde_json::from_slice::<Message>(&body) else {
        let mut refusal = Response::new(Full::default());
        *refusal.status_mut() = StatusCode::BAD_REQUEST;
        return Ok(refusal);
    };
    Ok(json(Bytes::from(serde_json::to_vec(&message)?)))
}

fn from_memory(kept: &Mutex<Bytes>, size: usize) -> Bytes {
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() != size {
        *kept = Bytes::from(vec![b'x'; size.min(FROM_MEMORY_MAX)]);
    }
    kept.clone()
}

fn json(body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    let value = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, value);
    response
}

/// A certificate for the loopback address from a CA made for this run.
pub(crate) fn tls(ca_file: &Path) -> anyhow::Result<ServerConfig> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate()?;
    let ca = params.self_signed(&ca_key)?;
    std::fs::write(ca_file, ca.pem())?;
    let mut leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()])?;
    // OpenSSL takes a leaf with its issuer's name for self-signed.
    leaf.distinguished_name
        .push(rcgen::DnType::CommonName, "echo floor");
    let key = KeyPair::generate()?;
    let leaf = leaf.signed_by(&key, &Issuer::new(params, ca_key))?;
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    Ok(ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key.into())?)
}

/// What the append floor reports.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Appended {
    /// Records synced while measuring.
    pub(crate) records: f64,
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
}

/// A record, and whom to tell that it is synced (with how many are so far).
type Record = (Vec<u8>, oneshot::Sender<u64>);

/// Writers in a closed loop before one thread that commits in groups, as the store does.
async fn append(
    file: &Path,
    writers: usize,
    warm_up: Duration,
    duration: Duration,
) -> anyhow::Result<Appended> {
    let (sender, receiver) = mpsc::unbounded_channel::<Record>();
    let mut file = File::create(file)?;
    let thread = std::thread::spawn(move || commit_in_groups(&mut file, receiver));
    for _ in 0..writers {
        let sender = sender.clone();
        tokio::spawn(async move {
            loop {
                let (done, synced) = oneshot::channel();
                let record = vec![b'x'; BODY_BYTES];
                if sender.send((record, done)).is_err() || synced.await.is_err() {
                    break;
                }
            }
        });
    }
    tokio::time::sleep(warm_up).await;
    let begin = Instant::now();
    let (before, first) = (server::usage("self")?, records(&sender).await?);
    tokio::time::sleep(duration).await;
    let (after, last) = (server::usage("self")?, records(&sender).await?);
    let seconds = begin.elapsed().as_secs_f64();
    anyhow::ensure!(!thread.is_finished(), "the writer thread has ended");
    Ok(Appended {
        records: f64::from(u32::try_from(last - first)?),
        seconds,
        cpu_seconds: after.cpu_seconds - before.cpu_seconds,
    })
}

/// How many records are synced, as of one of its own.
async fn records(sender: &mpsc::UnboundedSender<Record>) -> anyhow::Result<u64> {
    let (done, synced) = oneshot::channel();
    sender.send((Vec::new(), done))?;
    Ok(synced.await?)
}

/// Takes whatever waits, writes it at one go, syncs, and tells everybody.
fn commit_in_groups(
    file: &mut File,
    mut receiver: mpsc::UnboundedReceiver<Record>,
) -> std::io::Result<()> {
    let mut records = 0;
    let mut buffer = Vec::new();
    let mut waiting = Vec::new();
    while let Some((record, done)) = receiver.blocking_recv() {
        buffer.clear();
        buffer.extend_from_slice(&record);
        waiting.push(done);
        while let Ok((record, done)) = receiver.try_recv() {
            buffer.extend_from_slice(&record);
            waiting.push(done);
        }
        file.write_all(&buffer)?;
        file.sync_data()?;
        records += waiting.len() as u64;
        for done in waiting.drain(..) {
            // A writer that is gone needs no answer.
            let _ = done.send(records);
        }
    }
    Ok(())
}
