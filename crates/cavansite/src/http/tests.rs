//! Clients that ask and do not read, against a listener in the same process.

use std::net::SocketAddr;

use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::*;

/// More than the buffers of two sockets take.
const ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// Generous: machines that run tests are busy.
const PATIENCE: Duration = Duration::from_secs(20);

/// The body of an answer, which tells when the server lets go of it.
struct Held(Vec<u8>, mpsc::UnboundedSender<()>);

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.1.send(());
    }
}

/// A listener with a large answer at `/`; what this returns hears of each that is gone from memory.
async fn listen(limits: HttpLimits) -> (SocketAddr, mpsc::UnboundedReceiver<()>) {
    let (dropped, gone) = mpsc::unbounded_channel();
    let large = move || {
        let held = Held(vec![b'x'; ANSWER_BYTES], dropped.clone());
        async move { axum::body::Body::from(bytes::Bytes::from_owner(held)) }
    };
    let router = Router::new().route("/", get(large));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let settings = HttpSettings {
        limits,
        ..HttpSettings::default()
    };
    tokio::spawn(serve(
        listener,
        Workers::here(),
        router,
        None,
        settings,
        std::future::pending(),
    ));
    (address, gone)
}

async fn ask(address: SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

async fn assert_lives(address: SocketAddr) {
    let mut answer = String::new();
    let mut stream = ask(address, "/health/live").await;
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_cut_and_others_are_served() {
    let limits = HttpLimits {
        write_stall_ms: 300,
        ..HttpLimits::default()
    };
    let (address, mut gone) = listen(limits).await;
    let silent = [ask(address, "/").await, ask(address, "/").await];
    assert_lives(address).await;
    for _ in &silent {
        let dropped = timeout(PATIENCE, gone.recv()).await;
        assert_eq!(dropped, Ok(Some(())), "the answer stays in memory");
    }
    assert_lives(address).await;
    for mut stream in silent {
        let mut answer = Vec::new();
        // A reset is an error, and an end as well.
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answer))
            .await
            .unwrap();
        assert!(answer.len() < ANSWER_BYTES);
    }
}

#[tokio::test]
async fn a_client_that_reads_slowly_gets_its_whole_answer() {
    let limits = HttpLimits {
        write_stall_ms: 2_000,
        head_timeout_ms: 100,
        ..HttpLimits::default()
    };
    let (address, _gone) = listen(limits).await;
    let mut stream = ask(address, "/").await;
    let started = std::time::Instant::now();
    let mut buffer = vec![0; 1024 * 1024];
    let mut bytes = 0;
    loop {
        let read = stream.read(&mut buffer).await.unwrap();
        if read == 0 {
            break;
        }
        bytes += read;
        sleep(Duration::from_millis(50) * u32::try_from(read).unwrap() / (1 << 20)).await;
    }
    assert!(bytes > ANSWER_BYTES, "cut after {bytes} bytes");
    assert!(started.elapsed() > Duration::from_millis(2_500), "not slow");
}

#[tokio::test]
async fn an_http_2_client_that_gives_its_stream_no_window_is_cut() {
    let limits = HttpLimits {
        write_stall_ms: 300,
        head_timeout_ms: 200,
        ..HttpLimits::default()
    };
    let (address, mut gone) = listen(limits).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The preface, empty SETTINGS, and HEADERS of `GET http://localhost/` that end stream 1.
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let headers = b"\0\0\x0e\x01\x05\0\0\0\x01\x82\x86\x84\x41\x09localhost";
    stream.write_all(preface).await.unwrap();
    stream.write_all(headers).await.unwrap();
    let mut answer = Vec::new();
    // It reads all that comes, so that no write ever waits.
    let ended = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "still open after {} bytes", answer.len());
    assert!(answer.len() > 60_000, "{} bytes", answer.len());
    assert_eq!(timeout(PATIENCE, gone.recv()).await, Ok(Some(())));
    assert_lives(address).await;
}
