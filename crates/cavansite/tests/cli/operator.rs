//! Operators' tasks on the running server: users, tokens and access keys.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use tokio::net::TcpSocket;

use crate::harness::{Home, Server, assert_refusal, exchange, run, stdout};

/// The status of a list of threads that is asked for with this token.
fn status(server: &Server, token: &str) -> String {
    let header = format!("Authorization: Bearer {token}\r\n");
    let path = "/chat/threads?api-version=2025-03-15";
    let answer = exchange(server.tls(), path, &header);
    answer.split(' ').nth(1).unwrap().to_owned()
}

/// A new user and a token, as `user create --token` prints them.
fn create(home: &Home) -> (String, String) {
    let created = home.run(&["user", "create", "--token"]);
    assert!(created.status.success(), "{created:?}");
    let lines = stdout(&created);
    let (user, token) = lines.trim_end().split_once('\n').unwrap();
    (user.to_owned(), token.to_owned())
}

/// Runs a command that has nothing to say but that it is done.
fn done(home: &Home, arguments: &[&str]) {
    let output = home.run(arguments);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(stdout(&output), "");
}

fn connection_string(ready_file: &Path) -> String {
    let ready: Value = serde_json::from_slice(&fs::read(ready_file).unwrap()).unwrap();
    ready["connectionString"].as_str().unwrap().to_owned()
}

/// Both keys, as `key show` prints them.
fn keys(home: &Home) -> [String; 2] {
    let shown = stdout(&home.run(&["key", "show"]));
    let key = |slot| {
        let mut lines = shown.lines();
        let line = lines.find_map(|line: &str| line.strip_prefix(slot));
        line.unwrap().trim().to_owned()
    };
    [key("primary"), key("secondary")]
}

/// The ready file of a server with some fields changed, under another name.
fn changed(home: &Home, server: &Server, changes: &Value) -> String {
    let mut ready = server.ready.clone();
    for (field, value) in changes.as_object().unwrap() {
        ready[field] = value.clone();
    }
    let file = home.path("changed.json");
    fs::write(&file, ready.to_string()).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn the_tokens_of_a_deleted_user_end_and_it_cannot_be_deleted_twice() {
    let home = Home::new();
    let server = home.start(&["dev"]);
    let (user, token) = create(&home);
    assert_eq!(status(&server, &token), "200");
    done(&home, &["user", "delete", &user]);
    assert_eq!(status(&server, &token), "401");
    assert_refusal(&home.run(&["user", "delete", &user]), 1, "401");
    let issue = home.run(&["token", "issue", "--user", &user]);
    assert_refusal(&issue, 1, "401");
}

#[test]
fn revoked_tokens_end_and_later_ones_do_not() {
    let home = Home::new();
    let server = home.start(&["dev"]);
    let (user, token) = create(&home);
    done(&home, &["token", "revoke", "--user", &user]);
    assert_eq!(status(&server, &token), "401");
    let issued = home.run(&["token", "issue", "--user", &user]);
    let issued = stdout(&issued);
    assert_eq!(issued.lines().count(), 1, "{issued}");
    assert_eq!(status(&server, issued.trim_end()), "200");
}

#[test]
fn an_unknown_user_an_unknown_scope_and_an_unknown_key_are_refused_in_one_line() {
    let home = Home::new();
    let _server = home.start(&["dev"]);
    let (user, _) = create(&home);
    for (arguments, code, words) in [
        (&["user", "delete", "8:acs:not_ours"][..], 1, "401"),
        (&["token", "issue", "--user", "8:acs:not_ours"], 1, "401"),
        (&["token", "revoke", "--user", "8:acs:not_ours"], 1, "401"),
        (&["user", "delete", ""], 1, "an id is empty"),
        (
            &["token", "issue", "--user", &user, "--scope", "all"],
            1,
            "400",
        ),
        (&["user", "create", "--scope", "chat"], 2, "--token"),
        (&["user", "delete"], 2, "<ID>"),
        (&["key", "rotate"], 2, "<KEY>"),
        (&["key", "rotate", "tertiary"], 2, "tertiary"),
    ] {
        assert_refusal(&home.run(arguments), code, words);
    }
}

#[test]
fn after_a_rotation_of_the_primary_key_everything_finds_the_new_one() {
    let home = Home::new();
    let server = home.start(&["serve", "--data", "data"]);
    let (user, token) = create(&home);
    let [old, secondary] = keys(&home);
    let rotated = home.run(&["key", "rotate", "primary"]);
    assert!(rotated.status.success(), "{rotated:?}");
    let rotated = stdout(&rotated);
    // At once: the command waits for the ready files, that in the state directory and the other.
    let connection_string = connection_string(&server.ready_file);
    let env = stdout(&home.run(&["env"]));
    let [new, kept] = keys(&home);
    assert_ne!(new, old);
    assert_eq!(kept, secondary);
    assert!(connection_string.ends_with(&format!(";accesskey={new}")));
    assert!(env.contains(&connection_string), "{env}");
    let expected = format!("primary    {new}\n\nconnection string: {connection_string}\n");
    assert_eq!(rotated, expected);

    assert_eq!(status(&server, &token), "401");
    let issued = home.run(&["token", "issue", "--user", &user]);
    assert_eq!(status(&server, stdout(&issued).trim_end()), "200");
    done(&home, &["user", "delete", &user]);
}

#[test]
fn after_a_rotation_of_the_secondary_key_the_primary_one_and_its_tokens_go_on() {
    let home = Home::new();
    let server = home.start(&["serve", "--data", "data"]);
    let (user, token) = create(&home);
    let [primary, old] = keys(&home);
    let before = connection_string(&server.ready_file);
    let rotated = stdout(&home.run(&["key", "rotate", "secondary"]));
    let [kept, new] = keys(&home);
    assert_eq!(kept, primary);
    assert_ne!(new, old);
    assert_eq!(connection_string(&server.ready_file), before);
    assert!(
        rotated.starts_with(&format!("secondary  {new}\n")),
        "{rotated}"
    );
    assert!(!rotated.contains(&primary), "{rotated}");
    assert_eq!(status(&server, &token), "200");
    done(&home, &["user", "delete", &user]);
}

#[test]
fn a_rotated_key_is_found_after_a_restart() {
    let home = Home::new();
    let mut server = home.start(&["serve", "--data", "data"]);
    let (user, _) = create(&home);
    for slot in ["primary", "secondary", "primary"] {
        let rotated = home.run(&["key", "rotate", slot]);
        assert!(rotated.status.success(), "{rotated:?}");
    }
    let rotated = keys(&home);
    server.signal("TERM");
    assert!(server.wait().success());
    let shown = stdout(&home.run(&["key", "show", "--data", "data"]));
    assert!(
        shown.contains(&rotated[0]) && shown.contains(&rotated[1]),
        "{shown}"
    );
    let server = home.start(&["serve", "--data", "data"]);
    assert!(server.text("connectionString").ends_with(&rotated[0]));
    done(&home, &["user", "delete", &user]);
}

#[test]
fn a_start_tells_when_no_data_was_there() {
    let home = Home::new();
    let mut server = home.start(&["serve", "--data", "data"]);
    assert!(server.log().contains("no data was there"));
    server.signal("TERM");
    assert!(server.wait().success());
    let server = home.start(&["serve", "--data", "data"]);
    assert!(!server.log().contains("no data was there"));
}

#[test]
fn a_ready_file_that_cannot_be_written_anew_is_told_and_holds_no_other_back() {
    let home = Home::new();
    let server = home.start(&["dev"]);
    // Nothing can be put in the place of a directory.
    fs::remove_file(&server.ready_file).unwrap();
    fs::create_dir(&server.ready_file).unwrap();
    let rotated = home.run(&["key", "rotate", "primary"]);
    assert!(rotated.status.success(), "{rotated:?}");
    server.wait_for("a ready file still says the old access key", Server::log);
    assert!(home.run(&["user", "create"]).status.success());

    // A file that the server does not know stays as it is.
    let key = format!(";accesskey={}", keys(&home)[0]);
    let connection_string = format!("endpoint={}/{key}", server.text("endpoint"));
    let changes = json!({ "connectionString": connection_string });
    let copy = changed(&home, &server, &changes);
    let rotated = home.run(&["key", "rotate", "primary", "--ready-file", &copy]);
    assert_refusal(&rotated, 1, "the ready file still says the old one");
    assert!(stdout(&rotated).contains(&keys(&home)[0]), "{rotated:?}");
}

#[test]
fn a_key_that_is_no_longer_valid_is_refused_and_not_printed() {
    let home = Home::new();
    let server = home.start(&["dev"]);
    let key = BASE64_STANDARD.encode([7; 64]);
    let connection_string = format!("endpoint={}/;accesskey={key}", server.text("endpoint"));
    let other = changed(
        &home,
        &server,
        &json!({ "connectionString": connection_string }),
    );
    for command in [
        &["user", "create"][..],
        &["key", "rotate", "primary"],
        &["quickstart"],
    ] {
        let refused = home.run(&[command, &["--ready-file", &other]].concat());
        assert_refusal(&refused, 1, "401");
        assert!(!format!("{refused:?}").contains(&key), "{refused:?}");
    }
    let none = changed(
        &home,
        &server,
        &json!({ "connectionString": "endpoint=https://a/" }),
    );
    let refused = home.run(&["user", "create", "--ready-file", &none]);
    assert_refusal(&refused, 1, "the ready file holds no access key");
}

#[test]
fn a_server_that_is_gone_is_a_refusal_at_once() {
    let home = Home::new();
    let mut server = home.start(&["dev"]);
    // The place of the dead, bound so that nobody else listens there.
    let deaf = TcpSocket::new_v4().unwrap();
    deaf.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = deaf.local_addr().unwrap().to_string();
    let copy = changed(&home, &server, &json!({ "address": address }));
    server.signal("KILL");
    server.wait();
    for command in [
        &["health"][..],
        &["user", "create"],
        &["token", "issue", "--user", "8:acs:a_b"],
        &["key", "rotate", "primary"],
        &["quickstart"],
    ] {
        let refused = home.run(&[command, &["--ready-file", &copy]].concat());
        assert_refusal(&refused, 1, "Connection refused");
        assert_refusal(&refused, 1, server.text("endpoint"));
    }
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let home = Home::new();
    let server = home.start(&["dev"]);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let other = changed(&home, &server, &json!({ "address": address }));
    let endpoint = server.text("endpoint");
    for command in ["health", "quickstart"] {
        let refused = home.run(&[command, "--ready-file", &other]);
        assert_refusal(&refused, 1, endpoint);
    }
}

#[test]
fn a_server_with_another_ca_is_refused() {
    let home = Home::new();
    let server = home.start(&["dev"]);
    let stranger = Home::new();
    let other = stranger.start(&["dev"]);
    let other = changed(&home, &server, &json!({ "caFile": other.text("caFile") }));
    for command in [
        &["health"][..],
        &["user", "create"],
        &["key", "rotate", "primary"],
    ] {
        let refused = home.run(&[command, &["--ready-file", &other]].concat());
        assert_refusal(&refused, 1, "invalid peer certificate");
    }
    let none = changed(&home, &server, &json!({ "caFile": "nowhere.pem" }));
    let refused = home.run(&["health", "--ready-file", &none]);
    assert_refusal(&refused, 1, "nowhere.pem");
}

/// A home with a certificate for an address of another machine and a name that no DNS knows.
fn with_own_certificate() -> Home {
    let home = Home::new();
    let key = KeyPair::generate().unwrap();
    let names = vec!["192.0.2.1".to_owned(), "chat.cavansite.invalid".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().self_signed(&key);
    fs::write(home.path("key.pem"), key.serialize_pem()).unwrap();
    fs::write(home.path("chain.pem"), certificate.unwrap().pem()).unwrap();
    home
}

#[test]
fn with_the_operators_certificate_the_systems_cas_decide() {
    let home = with_own_certificate();
    let server = home.start(&[
        "serve",
        "--data",
        "data",
        "--tls-cert",
        "chain.pem",
        "--tls-key",
        "key.pem",
        "--public-url",
        "https://chat.cavansite.invalid",
    ]);
    assert_eq!(server.text("endpoint"), "https://chat.cavansite.invalid");
    let with = |arguments: &[&str], cas: &str| -> Command {
        let mut command = home.command(arguments);
        command.env("SSL_CERT_FILE", home.path(cas));
        command
    };
    for command in [&["health"][..], &["user", "create"], &["quickstart"]] {
        let output = run(with(command, "chain.pem"));
        assert!(output.status.success(), "{output:?}");
    }
    let rotated = run(with(&["key", "rotate", "primary"], "chain.pem"));
    let expected = "connection string: endpoint=https://chat.cavansite.invalid/;accesskey=";
    assert!(stdout(&rotated).contains(expected), "{rotated:?}");

    let stranger = with_own_certificate();
    fs::copy(stranger.path("chain.pem"), home.path("other.pem")).unwrap();
    for command in [&["health"][..], &["user", "create"]] {
        let refused = run(with(command, "other.pem"));
        assert_refusal(&refused, 1, "invalid peer certificate");
    }
}

#[test]
fn no_proxy_is_asked_on_the_way_to_the_server_on_this_machine() {
    let home = Home::new();
    let _server = home.start(&["dev"]);
    for command in [&["health"][..], &["user", "create"], &["quickstart"]] {
        let mut command = home.command(command);
        // Nobody listens there.
        command.env("HTTPS_PROXY", "http://127.0.0.1:9");
        let output = run(command);
        assert!(output.status.success(), "{output:?}");
    }
}

#[test]
fn with_several_servers_each_task_asks_which_one() {
    let home = Home::new();
    let (_first, second) = (home.start(&["dev"]), home.start(&["dev"]));
    let chosen = second.ready_file.to_str().unwrap();
    for command in [
        &["user", "create"][..],
        &["user", "delete", "8:acs:a_b"],
        &["token", "issue", "--user", "8:acs:a_b"],
        &["token", "revoke", "--user", "8:acs:a_b"],
        &["key", "rotate", "primary"],
        &["quickstart"],
    ] {
        let refused = home.run(command);
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        let error = String::from_utf8(refused.stderr).unwrap();
        assert!(error.contains(second.text("endpoint")), "{error}");
    }
    let created = home.run(&["user", "create", "--ready-file", chosen]);
    assert!(created.status.success(), "{created:?}");
}
