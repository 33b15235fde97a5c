//! What each command prints, and how it finds the server.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::harness::{Home, Server, assert_refusal, stdout};

#[test]
fn without_a_server_commands_say_so_and_exit_1() {
    let home = Home::new();
    for command in [
        &["health"][..],
        &["env"],
        &["user", "create"],
        &["key", "show"],
    ] {
        assert_refusal(&home.run(command), 1, "no server of yours is running");
    }
}

#[test]
fn the_ready_file_is_private_and_says_how_to_reach_the_server() {
    let home = Home::new();
    let mut server = home.start(&["dev"]);
    let mode = fs::metadata(&server.ready_file)
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let endpoint = format!("https://{}", server.address());
    assert_eq!(server.text("endpoint"), endpoint);
    let begins = format!("endpoint={endpoint}/;accesskey=");
    assert!(server.text("connectionString").starts_with(&begins));
    assert!(fs::metadata(server.text("caBundle")).unwrap().len() > 0);
    assert!(server.ready["pid"].is_u64());

    server.signal("TERM");
    assert!(server.wait().success());
    assert!(!server.ready_file.exists());
}

#[test]
fn health_is_0_while_the_server_answers() {
    let home = Home::new();
    let mut server = home.start(&["dev"]);
    let health = home.run(&["health"]);
    assert!(health.status.success(), "{health:?}");
    server.signal("TERM");
    assert!(server.wait().success());
    assert_eq!(home.run(&["health"]).status.code(), Some(1));
}

#[test]
fn with_several_servers_commands_list_them_and_exit_2() {
    let home = Home::new();
    let (first, second) = (home.start(&["dev"]), home.start(&["dev"]));
    let health = home.run(&["health"]);
    assert_eq!(health.status.code(), Some(2));
    let error = String::from_utf8(health.stderr).unwrap();
    assert!(error.contains(first.text("endpoint")) && error.contains(second.text("endpoint")));

    let chosen = second.ready_file.to_str().unwrap();
    let env = home.run(&["env", "--ready-file", chosen]);
    assert!(stdout(&env).contains(second.text("endpoint")));
}

#[test]
fn what_a_killed_server_left_is_ignored_and_removed() {
    let home = Home::new();
    let mut server = home.start(&["dev"]);
    server.signal("KILL");
    server.wait();
    let servers = home.path(".local/state/cavansite/servers");
    assert_eq!(fs::read_dir(&servers).unwrap().count(), 2);
    assert_refusal(&home.run(&["health"]), 1, "no server of yours is running");
    assert_eq!(fs::read_dir(&servers).unwrap().count(), 0);
}

#[test]
fn the_exports_evaluate_in_a_shell() {
    let home = Home::new();
    let server = home.start(&["dev"]);
    let script = format!(
        "eval \"$({} env)\"; echo \"$COMMUNICATION_SERVICES_ENDPOINT|\
         $COMMUNICATION_SERVICES_CONNECTION_STRING|$REQUESTS_CA_BUNDLE|$SSL_CERT_FILE|\
         $NODE_EXTRA_CA_CERTS\"",
        env!("CARGO_BIN_EXE_cavansite")
    );
    let output = Command::new("sh")
        .args(["-c", &script])
        .env_clear()
        .env("HOME", home.path(""))
        .output()
        .unwrap();
    let bundle = server.text("caBundle");
    let expected = [
        server.text("endpoint"),
        server.text("connectionString"),
        bundle,
        bundle,
        server.text("caFile"),
    ];
    assert_eq!(stdout(&output).trim_end(), expected.join("|"));
}

#[test]
fn dev_prints_what_a_newcomer_pastes_next() {
    let home = Home::new();
    let server = home.start(&["dev"]);
    server.wait_for("CommunicationUserCredential(token)", Server::output);
    let output = server.output();
    for words in [
        server.text("endpoint"),
        server.text("connectionString"),
        "eval \"$(cavansite env)\"",
        "8:acs:",
    ] {
        assert!(output.contains(words), "no {words:?} in {output}");
    }
}

#[test]
fn users_and_tokens_come_from_the_running_server() {
    let home = Home::new();
    let _server = home.start(&["dev"]);
    let created = home.run(&["user", "create"]);
    let user = stdout(&created).trim_end().to_owned();
    assert!(user.starts_with("8:acs:"), "{created:?}");
    let issued = home.run(&["token", "issue", "--user", &user, "--scope", "chat"]);
    assert_eq!(
        stdout(&issued).trim_end().split('.').count(),
        3,
        "{issued:?}"
    );

    let both = stdout(&home.run(&["user", "create", "--token"]));
    let lines: Vec<&str> = both.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("8:acs:"), "{both}");
    assert_eq!(lines[1].split('.').count(), 3);

    let refused = home.run(&["token", "issue", "--user", "8:acs:not_ours"]);
    assert_refusal(&refused, 1, "401");
    let refused = home.run(&["user", "create", "--token", "--scope", "everything"]);
    assert_refusal(&refused, 1, "400");
}

#[test]
fn key_show_prints_both_keys_of_a_server_and_of_a_directory() {
    let home = Home::new();
    let mut server = home.start(&["serve", "--data", "data"]);
    let connection_string = server.text("connectionString").to_owned();
    let shown = stdout(&home.run(&["key", "show"]));
    assert!(shown.contains(&connection_string), "{shown}");
    let key = connection_string.split("accesskey=").nth(1).unwrap();
    let primary = shown.lines().next().unwrap();
    assert!(primary.starts_with("primary") && primary.ends_with(key));
    assert!(shown.lines().nth(1).unwrap().starts_with("secondary"));

    server.signal("TERM");
    assert!(server.wait().success());
    let kept = stdout(&home.run(&["key", "show", "--data", "data"]));
    assert!(
        shown.starts_with(&kept) && kept.lines().count() == 2,
        "{kept}"
    );
    assert_refusal(&home.run(&["key", "show", "--data", "."]), 1, "no keys");
}

#[test]
fn a_java_trust_store_takes_the_ca_twice() {
    if Command::new("keytool").arg("-help").output().is_err() {
        eprintln!("skipped: there is no keytool");
        return;
    }
    let home = Home::new();
    let _server = home.start(&["dev"]);
    for _ in 0..2 {
        let trusted = home.run(&["trust", "--java", "trust.p12"]);
        assert!(trusted.status.success(), "{trusted:?}");
        assert!(stdout(&trusted).contains("-Djavax.net.ssl.trustStore="));
    }
    assert!(home.path("trust.p12").exists());
}

#[test]
fn an_nss_database_is_made_where_there_is_none() {
    if Command::new("certutil").arg("-H").output().is_err() {
        eprintln!("skipped: there is no certutil");
        return;
    }
    let home = Home::new();
    let _server = home.start(&["dev"]);
    for _ in 0..2 {
        let trusted = home.run(&["trust", "--nss", ".pki/nssdb"]);
        assert!(trusted.status.success(), "{trusted:?}");
    }
    assert!(home.path(".pki/nssdb/cert9.db").exists());
}

#[test]
fn where_trust_may_not_it_prints_the_command() {
    let home = Home::new();
    let _server = home.start(&["dev"]);
    let mut command = home.command(&["trust", "--nss", "my db"]);
    let output = command.env("PATH", "/nonexistent").output().unwrap();
    assert_refusal(&output, 1, "certutil");
    let printed = stdout(&output);
    assert!(
        printed.starts_with("certutil -A -d 'sql:my db'"),
        "{printed}"
    );
}

#[test]
fn help_names_every_command_and_exits_0() {
    let home = Home::new();
    let help = home.run(&["--help"]);
    assert!(help.status.success());
    let help = stdout(&help);
    for command in [
        "dev", "serve", "env", "trust", "health", "key", "user", "token",
    ] {
        assert!(
            help.contains(&format!("\n  {command} ")),
            "no {command} in {help}"
        );
        assert!(home.run(&[command, "--help"]).status.success());
    }
}
