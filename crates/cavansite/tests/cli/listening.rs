//! The port: TLS and plain HTTP, both versions of HTTP, ids, bounds, and what the log tells.

use std::io::{Read, Write};
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Home, Server, exchange, read_all, stdout, tcp};

#[test]
fn tls_and_plain_http_answer_on_one_port() {
    let home = Home::new();
    let server = home.start(&["dev"]);
    for answer in [
        server.get("/health/live"),
        exchange(server.tcp(), "/health/live", ""),
    ] {
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("{\"status\":\"live\"}"), "{answer}");
    }
    let ready = exchange(server.tcp(), "/health/ready", "");
    // Pages of other origins may wait for it.
    assert!(
        ready.contains("\r\naccess-control-allow-origin: *\r\n"),
        "{ready}"
    );
    assert!(ready.ends_with("{\"status\":\"ready\"}"), "{ready}");
}

#[test]
fn http_2_is_spoken_in_the_clear_by_prior_knowledge() {
    let home = Home::new();
    let server = home.start(&["dev"]);
    let mut stream = server.tcp();
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .unwrap();
    let mut head = [0; 9];
    stream.read_exact(&mut head).unwrap();
    // The fourth byte is the frame's type, 4: SETTINGS.
    assert_eq!(head[3], 4);
}

#[test]
fn every_answer_carries_the_clients_id_and_one_of_the_servers() {
    let home = Home::new();
    let server = home.start(&["dev"]);
    let id = "x-ms-client-request-id: 5e1ec7ed-0000\r\n";
    for path in [
        "/health/live",
        "/nowhere",
        "/chat/threads?api-version=2021-03-07",
    ] {
        let answer = exchange(server.tls(), path, id);
        assert!(answer.contains(id), "{answer}");
        assert!(answer.contains("\r\nms-cv: "), "{answer}");
    }
    let long = format!("x-ms-client-request-id: {}\r\n", "x".repeat(300));
    assert!(!exchange(server.tls(), "/health/live", &long).contains("xxx"));
}

#[test]
fn a_head_that_is_too_large_or_too_slow_ends_the_connection() {
    let home = Home::new();
    let mut command = home.command(&["dev"]);
    command.env("CAVANSITE_HTTP_HEAD_TIMEOUT_MS", "200");
    command.env("CAVANSITE_HTTP_HANDSHAKE_TIMEOUT_MS", "200");
    let server = home.start_command(command);
    let large = format!("x-large: {}\r\n", "x".repeat(64 * 1024));
    let answer = exchange(server.tcp(), "/health/live", &large);
    assert!(
        answer.starts_with("HTTP/1.1 431 ") || answer.is_empty(),
        "{answer}"
    );

    let mut slow = server.tcp();
    slow.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    assert!(!read_all(slow).contains("200 OK"));
    let mut handshake = server.tcp();
    handshake.write_all(&[0x16, 0x03, 0x01]).unwrap();
    read_all(handshake);
    read_all(server.tcp());
    // Neither does a client stay that speaks HTTP/2 and asks nothing, or does not say what it
    // speaks.
    for beginning in [
        "PRI",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
    ] {
        let mut silent = server.tcp();
        silent.write_all(beginning.as_bytes()).unwrap();
        let mut answer = Vec::new();
        silent.read_to_end(&mut answer).unwrap();
    }
}

#[test]
fn a_body_that_is_too_large_or_too_slow_is_refused() {
    let home = Home::new();
    let mut command = home.command(&["dev"]);
    command.env("CAVANSITE_HTTP_BODY_TIMEOUT_MS", "200");
    command.env("CAVANSITE_HTTP_BODY_BYTES_MAX", "3000");
    let server = home.start_command(command);
    let created = home.run(&["user", "create", "--token"]);
    let created = stdout(&created);
    let token = created.split_whitespace().last().unwrap();
    for (length, status) in [(3000, "408"), (3001, "413")] {
        let mut stream = server.tcp();
        let head = format!(
            "POST /chat/threads?api-version=2024-03-07 HTTP/1.1\r\nHost: localhost\r\n\
             Connection: close\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{{"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let answer = read_all(stream);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
        assert!(answer.contains("\"error\":{\"code\":\""), "{answer}");
    }
}

#[test]
fn connections_over_the_limit_are_closed_at_once() {
    let home = Home::new();
    let mut command = home.command(&["dev"]);
    command.env("CAVANSITE_HTTP_CONNECTIONS_MAX", "2");
    let server = home.start_command(command);
    let mut held = [server.tcp(), server.tcp()];
    for stream in &mut held {
        let request = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n";
        stream.write_all(request).unwrap();
        assert_ne!(stream.read(&mut [0; 1024]).unwrap(), 0);
    }
    assert_eq!(read_all(server.tcp()), "");
    drop(held);
    let mut tries = (0..200).map(|_| {
        std::thread::sleep(Duration::from_millis(20));
        let mut stream = tcp(server.address());
        let _ = stream.write_all(b"GET /health/live HTTP/1.0\r\n\r\n");
        read_all(stream)
    });
    assert!(
        tries.any(|answer| answer.contains("200 OK")),
        "places come free again"
    );
}

#[test]
fn a_trusted_proxy_names_the_client() {
    let home = Home::new();
    let server = home.start(&["serve", "--data", "data", "--trusted-proxy", "127.0.0.0/8"]);
    let said = "X-Forwarded-For: 203.0.113.5\r\nX-Forwarded-Proto: https\r\n";
    exchange(server.tcp(), "/nowhere?api-version=2021-03-07", said);
    server.wait_for("203.0.113.5", Server::log);
    let log = server.log();
    let line = log
        .lines()
        .find(|line| line.contains("203.0.113.5"))
        .unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["target"], "cavansite::access");
    assert_eq!(line["scheme"], "https");
    assert_eq!(line["path"], "/nowhere");
    assert_eq!(line["api_version"], "2021-03-07");
}

#[test]
fn secrets_and_queries_never_reach_the_log() {
    let home = Home::new();
    let server = home.start(&["dev", "--log-filter", "trace"]);
    let key = server
        .text("connectionString")
        .split("accesskey=")
        .nth(1)
        .unwrap()
        .to_owned();
    let created = home.run(&["user", "create", "--token"]);
    let token = String::from_utf8(created.stdout)
        .unwrap()
        .lines()
        .nth(1)
        .unwrap()
        .to_owned();
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let path = "/chat/threads?api-version=2021-03-07&startTime=hidden-value";
    exchange(server.tls(), path, &bearer);
    let token_header = format!("X-Skypetoken: {token}\r\n");
    let path = "/socket.io/1/?epid=hidden-value";
    let handshake = exchange(server.tls(), path, &token_header);
    assert!(handshake.contains(":180:180:websocket"), "{handshake}");
    exchange(server.tls(), "/cavansite/v1/admin/none", &bearer);
    home.run(&["key", "show"]);
    server.wait_for("path=\"/chat/threads\"", Server::log);
    let log = server.log();
    let secrets = [
        key.as_str(),
        &token,
        "hidden-value",
        "accesskey=",
        "PRIVATE KEY",
        "Bearer",
    ];
    for secret in secrets {
        assert!(!log.contains(secret), "{secret} in the log");
    }
}
