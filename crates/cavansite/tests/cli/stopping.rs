//! Signals, and what is left behind.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use base64::prelude::{BASE64_STANDARD, Engine};

use crate::harness::{Home, Server, read_all};

/// Sends a signed request for a new user without the last byte of its body, and returns when the
/// server waits for that.
fn send_half_a_request(server: &Server, stream: &mut (impl Read + Write)) {
    let key = server
        .text("connectionString")
        .split("accesskey=")
        .nth(1)
        .unwrap();
    let key = Key::new(HMAC_SHA256, &BASE64_STANDARD.decode(key).unwrap());
    let target = "/identities?api-version=2023-10-01";
    let hash = BASE64_STANDARD.encode(digest(&SHA256, b"{}"));
    let date = httpdate::fmt_http_date(now());
    let text = format!("POST\n{target}\n{date};localhost;{hash}");
    let signature = BASE64_STANDARD.encode(sign(&key, text.as_bytes()));
    let request = format!(
        "POST {target} HTTP/1.1\r\nHost: localhost\r\nx-ms-date: {date}\r\n\
         x-ms-content-sha256: {hash}\r\nAuthorization: HMAC-SHA256 \
         SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature={signature}\r\n\
         Content-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n{{"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let wanted = b"HTTP/1.1 100 Continue\r\n\r\n";
    let mut asked_for = vec![0; wanted.len()];
    stream.read_exact(&mut asked_for).unwrap();
    assert_eq!(
        String::from_utf8_lossy(&asked_for),
        String::from_utf8_lossy(wanted)
    );
}

#[expect(
    clippy::disallowed_methods,
    reason = "the server's clock is the system's"
)]
fn now() -> SystemTime {
    SystemTime::now()
}

#[test]
fn sigterm_answers_what_is_in_flight_and_exits_0() {
    for signal in ["TERM", "INT"] {
        let home = Home::new();
        let mut server = home.start(&["dev"]);
        let mut stream = server.tls();
        send_half_a_request(&server, &mut stream);
        server.signal(signal);
        server.wait_for("stopping", Server::log);
        stream.write_all(b"}").unwrap();
        let answer = read_all(stream);
        assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
        assert!(server.wait().success());
        assert!(server.log().contains("stopped"));
    }
}

#[test]
fn idle_connections_do_not_hold_up_the_stop() {
    let home = Home::new();
    let mut server = home.start(&["dev"]);
    let (silent, mut kept) = (server.tcp(), server.tls());
    kept.write_all(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    assert_ne!(kept.read(&mut [0; 1024]).unwrap(), 0);
    server.signal("TERM");
    assert!(server.wait().success());
    assert!(
        !server.log().contains("drain_timeout_ms"),
        "{}",
        server.log()
    );
    drop((silent, kept));
}

#[test]
fn a_request_that_never_ends_holds_up_the_stop_for_a_bound_alone() {
    let home = Home::new();
    let mut command = home.command(&["dev"]);
    command.env("CAVANSITE_HTTP_DRAIN_TIMEOUT_MS", "300");
    let mut server = home.start_command(command);
    let mut stream = server.tcp();
    send_half_a_request(&server, &mut stream);
    server.signal("TERM");
    assert!(server.wait().success());
    assert!(
        server.log().contains("drain_timeout_ms"),
        "{}",
        server.log()
    );
}

#[test]
fn a_second_signal_stops_at_once() {
    let home = Home::new();
    let mut server = home.start(&["dev"]);
    let mut stream = server.tcp();
    send_half_a_request(&server, &mut stream);
    server.signal("TERM");
    server.wait_for("stopping", Server::log);
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(1));
    assert!(server.log().contains("second signal"));
}

#[test]
fn a_body_that_stops_arriving_is_not_waited_for() {
    let home = Home::new();
    let mut command = home.command(&["dev"]);
    command.env("CAVANSITE_HTTP_BODY_TIMEOUT_MS", "200");
    let server = home.start_command(command);
    let mut stream = server.tcp();
    send_half_a_request(&server, &mut stream);
    let answer = read_all(stream);
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
}

#[test]
fn dev_without_data_leaves_nothing_and_clears_up_after_killed_ones() {
    let home = Home::new();
    let mut server = home.start(&["dev"]);
    let data = server.text("data").to_owned();
    let directory = Path::new(&data).parent().unwrap().to_owned();
    assert!(directory.exists());
    server.signal("TERM");
    assert!(server.wait().success());
    assert!(!directory.exists());

    let mut killed = home.start(&["dev"]);
    let left = Path::new(killed.text("data")).parent().unwrap().to_owned();
    killed.signal("KILL");
    killed.wait();
    let running = home.start(&["dev"]);
    running.wait_for("CommunicationUserCredential", Server::output);
    assert!(
        left.exists(),
        "younger than a minute, it might be about to be used"
    );
    drop(running);

    let hour_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let lock = File::options()
        .write(true)
        .open(left.join("in-use"))
        .unwrap();
    lock.set_modified(hour_ago).unwrap();
    drop(lock);
    let running = home.start(&["dev", "--log-filter", "debug"]);
    running.wait_for("removed what a killed server left", Server::log);
    assert!(!left.exists());
    assert!(fs::exists(running.text("data")).unwrap());
}
