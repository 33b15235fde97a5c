//! The transport that the crate brings, against a server that speaks badly on a real socket.

use std::sync::Arc;
use std::time::Duration;

use cavansite_client::{
    ChatClient, ChatClientOptions, ClientOptions, ErrorKind, HttpTransport, Request,
    StaticTokenCredential, Transport,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::mock::token;

/// A server that does that with each connection, after it has read a request.
async fn server<F, R>(then: F) -> String
where
    F: Fn(TcpStream) -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = vec![0; 8_192];
            if stream.read(&mut head).await.is_ok_and(|bytes| bytes > 0) {
                tokio::spawn(then(stream));
            }
        }
    });
    endpoint
}

/// A server that writes that and then keeps the connection, or closes it.
async fn says(text: &'static [u8], and_closes: bool) -> String {
    server(move |mut stream| async move {
        let _ = stream.write_all(text).await;
        if !and_closes {
            tokio::time::sleep(Duration::from_mins(1)).await;
        }
    })
    .await
}

fn client(endpoint: &str) -> ChatClient {
    let mut options = ChatClientOptions::default();
    options.client.allow_plain_http_to_loopback = true;
    options.client.retry.max_retries = 1;
    options.client.attempt_timeout = Duration::from_millis(500);
    let credential = StaticTokenCredential::new(token("ada")).unwrap();
    ChatClient::new(endpoint, Arc::new(credential), Some(options)).unwrap()
}

/// What kind of error reading a message from there gives.
async fn kind(endpoint: &str) -> ErrorKind {
    let thread = client(endpoint).thread_client("t");
    thread
        .get_message("1", None)
        .await
        .unwrap_err()
        .kind()
        .clone()
}

#[tokio::test]
async fn answers_that_stall_break_off_or_are_none_end_in_time() {
    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    const STALLS: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"id\":";
    let endpoint = says(b"", false).await;
    assert_eq!(kind(&endpoint).await, ErrorKind::Timeout, "silence");
    assert_eq!(
        kind(&says(HEAD, false).await).await,
        ErrorKind::Timeout,
        "half a head"
    );
    assert_eq!(
        kind(&says(STALLS, false).await).await,
        ErrorKind::Timeout,
        "a stalled body"
    );
    assert_eq!(
        kind(&says(STALLS, true).await).await,
        ErrorKind::Io,
        "half a body"
    );
    assert_eq!(
        kind(&says(b"", true).await).await,
        ErrorKind::Io,
        "a closed connection"
    );
    assert_eq!(
        kind(&says(b"SSH-2.0-x\r\n", true).await).await,
        ErrorKind::Io,
        "no HTTP"
    );
    let chunk = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n";
    assert_eq!(
        kind(&says(chunk, true).await).await,
        ErrorKind::Io,
        "a chunk of no size"
    );
}

#[tokio::test]
async fn a_post_without_a_body_says_so_and_the_host_is_the_endpoints() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let read = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_buf(&mut head).await.unwrap();
        }
        let _ = stream
            .write_all(b"HTTP/1.1 204 N\r\nConnection: close\r\n\r\n")
            .await;
        String::from_utf8(head).unwrap().to_ascii_lowercase()
    });
    let mut options = ClientOptions::default();
    options.allow_plain_http_to_loopback = true;
    let transport = HttpTransport::new(&options).unwrap();
    let url = format!("http://{address}/x").parse().unwrap();
    let request = Request::new(http::Method::POST, url);
    transport.send(request).await.unwrap();
    let head = read.await.unwrap();
    // Without a length, some servers answer 411.
    assert!(head.contains("\r\ncontent-length: 0\r\n"), "{head}");
    assert!(head.contains(&format!("\r\nhost: {address}\r\n")), "{head}");
}

#[tokio::test]
async fn a_refused_connection_is_told_from_one_that_broke() {
    // Bound, so that nobody else listens there.
    let deaf = TcpSocket::new_v4().unwrap();
    deaf.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let endpoint = format!("http://{}", deaf.local_addr().unwrap());
    assert_eq!(kind(&endpoint).await, ErrorKind::Connection);
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_the_token_stays() {
    let (told, mut hears) = tokio::sync::mpsc::channel(1);
    let elsewhere = server(move |_| {
        let told = told.clone();
        async move {
            let _ = told.send(()).await;
        }
    })
    .await;
    let text = format!("HTTP/1.1 307 T\r\nLocation: {elsewhere}/\r\nContent-Length: 0\r\n\r\n");
    let endpoint = says(Box::leak(text.into_bytes().into_boxed_slice()), true).await;
    let error = client(&endpoint)
        .thread_client("t")
        .get_message("1", None)
        .await
        .unwrap_err();
    assert_eq!(error.status(), Some(307));
    assert!(hears.try_recv().is_err(), "nobody asked elsewhere");
}

#[tokio::test]
async fn a_body_without_end_is_cut_off() {
    let endpoint = server(|mut stream| async move {
        let head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n";
        let _ = stream.write_all(head).await;
        let part = vec![b' '; 1 << 20];
        while stream.write_all(&part).await.is_ok() {}
    })
    .await;
    let mut options = ClientOptions::default();
    options.allow_plain_http_to_loopback = true;
    let transport = HttpTransport::new(&options).unwrap();
    let request = Request::new(http::Method::GET, endpoint.parse().unwrap());
    let error = transport.send(request).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::DataConversion, "{error:?}");
}

#[tokio::test]
async fn an_error_answer_without_end_keeps_its_status() {
    let endpoint = server(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").await;
        let part = vec![b' '; 1 << 16];
        while stream.write_all(&part).await.is_ok() {}
    })
    .await;
    let error = client(&endpoint)
        .thread_client("t")
        .get_message("1", None)
        .await
        .unwrap_err();
    assert_eq!(error.status(), Some(403), "{error:?}");
}

#[tokio::test]
async fn an_upgraded_connection_is_read_and_written_as_it_is() {
    let endpoint = server(|mut stream| async move {
        let head = b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: echo\r\nX-Who: me\r\n\r\n";
        let _ = stream.write_all(head).await;
        let (mut read, mut write) = stream.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
    })
    .await;
    let mut options = ClientOptions::default();
    options.allow_plain_http_to_loopback = true;
    let transport = HttpTransport::new(&options).unwrap();
    let mut request = Request::new(http::Method::GET, endpoint.parse().unwrap());
    for (name, value) in [("connection", "upgrade"), ("upgrade", "echo")] {
        request.headers.insert(name, value.parse().unwrap());
    }
    let mut upgraded = transport.upgrade(request).await.unwrap();
    assert_eq!(upgraded.headers()["x-who"], "me");
    upgraded.write_all(b"hello").await.unwrap();
    upgraded.flush().await.unwrap();
    let mut back = [0; 5];
    upgraded.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"hello");
    assert_eq!(format!("{upgraded:?}"), "Upgraded { .. }");
    upgraded.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_upgrade_that_is_answered_otherwise_is_an_error_with_its_status() {
    let endpoint = says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno", true).await;
    let mut options = ClientOptions::default();
    options.allow_plain_http_to_loopback = true;
    let transport = HttpTransport::new(&options).unwrap();
    let request = Request::new(http::Method::GET, endpoint.parse().unwrap());
    let error = transport.upgrade(request).await.unwrap_err();
    assert_eq!(error.status(), Some(200));
}

#[test]
fn a_certificate_authority_that_is_none_is_refused() {
    for pem in [
        "",
        "nothing",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        let mut options = ClientOptions::default();
        options.additional_root_certificates.push(pem.into());
        let error = HttpTransport::new(&options).unwrap_err();
        let is_told = matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Other);
        assert!(is_told, "{pem}: {error:?}");
    }
}
