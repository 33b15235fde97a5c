//! The floors: what the parts of a send cost when nothing else is done.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Subcommand;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::TlsAcceptor;

use crate::load::BODY_BYTES;
use crate::server::{self, Ready};

/// A floor program.
#[derive(Debug, Subcommand)]
pub(crate) enum Floor {
    /// Answers JSON with the same JSON over TLS
    Echo {
        /// Written once the port answers
        #[arg(long)]
        ready_file: PathBuf,
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
pub(crate) async fn run(floor: Floor) -> anyhow::Result<()> {
    match floor {
        Floor::Echo { ready_file } => echo(&ready_file).await,
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
async fn echo(ready_file: &Path) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let ca_file = ready_file.with_file_name("ca.pem");
    let acceptor = TlsAcceptor::from(Arc::new(tls(&ca_file)?));
    let ready = Ready {
        endpoint: format!("https://{}", listener.local_addr()?),
        connection_string: String::new(),
        ca_file,
        pid: std::process::id(),
    };
    let unfinished = ready_file.with_extension("new");
    std::fs::write(&unfinished, serde_json::to_string(&ready)?)?;
    std::fs::rename(unfinished, ready_file)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            // A connection that ends in an error was broken by the client.
            let _ = serve(stream, &acceptor).await;
        });
    }
}

async fn serve(stream: TcpStream, acceptor: &TlsAcceptor) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let stream = acceptor.accept(stream).await?;
    let service = service_fn(answer);
    hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await?;
    Ok(())
}

async fn answer(request: Request<Incoming>) -> anyhow::Result<Response<Full<Bytes>>> {
    let body = request.into_body().collect().await?.to_bytes();
    let Ok(message) = serde_json::from_slice::<Message>(&body) else {
        let mut refusal = Response::new(Full::default());
        *refusal.status_mut() = StatusCode::BAD_REQUEST;
        return Ok(refusal);
    };
    let body = Full::new(Bytes::from(serde_json::to_vec(&message)?));
    Ok(Response::builder()
        .header(header::CONTENT_TYPE, "application/json")
        .body(body)?)
}

/// A certificate for the loopback address from a CA made for this run.
fn tls(ca_file: &Path) -> anyhow::Result<ServerConfig> {
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
    pub(crate) records: u64,
    /// Syncs while measuring.
    pub(crate) syncs: u64,
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
}

/// Totals of the writer thread.
#[derive(Debug, Default, Clone, Copy)]
struct Totals {
    records: u64,
    syncs: u64,
}

/// A record, and whom to tell that it is synced (with the totals so far).
type Record = (Vec<u8>, oneshot::Sender<Totals>);

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
    let (before, first) = (server::usage("self")?, totals(&sender).await?);
    tokio::time::sleep(duration).await;
    let (after, last) = (server::usage("self")?, totals(&sender).await?);
    let seconds = begin.elapsed().as_secs_f64();
    anyhow::ensure!(!thread.is_finished(), "the writer thread has ended");
    Ok(Appended {
        records: last.records - first.records,
        syncs: last.syncs - first.syncs,
        seconds,
        cpu_seconds: after.cpu_seconds - before.cpu_seconds,
    })
}

/// The totals as of a record of its own.
async fn totals(sender: &mpsc::UnboundedSender<Record>) -> anyhow::Result<Totals> {
    let (done, synced) = oneshot::channel();
    sender.send((Vec::new(), done))?;
    Ok(synced.await?)
}

/// Takes whatever waits, writes it at one go, syncs, and tells everybody.
fn commit_in_groups(
    file: &mut File,
    mut receiver: mpsc::UnboundedReceiver<Record>,
) -> std::io::Result<()> {
    let mut totals = Totals::default();
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
        totals.syncs += 1;
        totals.records += waiting.len() as u64;
        for done in waiting.drain(..) {
            // A writer that is gone needs no answer.
            let _ = done.send(totals);
        }
    }
    Ok(())
}
