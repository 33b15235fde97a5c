//! `cavansite quickstart`: what it tells, and what it leaves.

use std::fs;
use std::process::Command;
use std::time::Instant;

use crate::harness::{Home, PATIENCE, assert_refusal, exchange, run, stdout};

/// The steps, in the order of the page.
const STEPS: [&str; 13] = [
    "1. Create users and tokens",
    "2. Create a chat client",
    "3. Create a second user",
    "4. Start a chat thread",
    "5. Get a client of the thread",
    "6. List threads",
    "7. Send messages",
    "8. Receive messages",
    "9. Edit a message",
    "10. Typing notifications and read receipts",
    "11. Add a user to the thread",
    "12. Remove a user from the thread",
    "13. Clean up",
];

/// What a run told.
fn told(home: &Home, arguments: &[&str]) -> String {
    let output = home.run(arguments);
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    stdout(&output)
}

/// The words that begin so, each once.
fn words<'a>(told: &'a str, begin: &str) -> Vec<&'a str> {
    let mut found: Vec<&str> = Vec::new();
    for word in told.split_whitespace() {
        if word.starts_with(begin) && !found.contains(&word) {
            found.push(word);
        }
    }
    found
}

#[test]
fn the_quickstart_tells_each_step_with_its_call_and_what_came_back() {
    let home = Home::new();
    let server = home.start(&["dev"]);
    let told = told(&home, &["quickstart"]);
    let mut rest = told.as_str();
    for (step, calls) in STEPS.into_iter().zip([
        &["identity_client.create_user_and_token(&scopes, None)"][..],
        &["ChatClient::new(endpoint, credential, options)"],
        &[
            "identity_client.create_user(None)",
            "identity_client.get_token(&ben, &scopes, None)",
        ],
        &["chat_client.create_thread(\"test topic\", Some(options))"],
        &["chat_client.thread_client(id)", "→ topic \"test topic\""],
        &["ben_client.list_threads(None)", "→ \"test topic\", 19:"],
        &["thread.send_message(\"hello world\", Some(options))"],
        &[
            "thread.list_messages(None)",
            "→ text \"hello Ada\"",
            "→ text \"hello world\"",
            "→ topicUpdated \"test topic\"",
            "→ participantAdded",
            "thread.list_messages(Some(options))?.into_pages()",
            "→ a page of 3",
            "→ a page of 1",
            "→ no further page",
        ],
        &[
            "thread.update_message(hello, Some(options))",
            "→ text \"hello, world\", edited on 2",
        ],
        &[
            "ben_thread.send_read_receipt(hello, None)",
            "ben_thread.send_typing_notification(None)",
            "thread.list_read_receipts(None)",
            "→ 8:acs:",
        ],
        &[
            "thread.add_participants(&participants, None)",
            "→ 3 participants",
            "→ Cleo sees ",
        ],
        &[
            "thread.remove_participant(cleo, None)",
            "cleo_thread.send_message(\"still here?\", None)",
            "→ 403 Forbidden",
        ],
        &[
            "chat_client.delete_thread(&id, None)",
            "identity_client.delete_user(&user, None)",
        ],
    ]) {
        for words in [&format!("\n{step}\n").as_str()].into_iter().chain(calls) {
            let at = rest.find(*words);
            let at = at.unwrap_or_else(|| panic!("no {words:?} at its place in {told}"));
            rest = &rest[at + words.len() - 1..];
        }
    }
    assert!(!told.contains('\x1b'), "colour without a terminal: {told}");
    let key = server.text("connectionString").split("accesskey=").nth(1);
    assert!(!told.contains(key.unwrap()), "{told}");
    // All JSON web tokens begin so.
    assert!(!told.contains("eyJ"), "{told}");
}

#[test]
fn the_quickstart_takes_away_what_it_made() {
    let home = Home::new();
    let server = home.start(&["dev"]);
    let told = told(&home, &["quickstart"]);
    let users = words(&told, "8:acs:");
    assert_eq!(users.len(), 3, "{users:?}");
    for user in users {
        let issued = home.run(&["token", "issue", "--user", user]);
        assert_refusal(&issued, 1, "401");
    }
    let log = server.log();
    let mut deletions = log.lines().filter(|line| line.contains("DELETE"));
    let deleted = deletions.any(|line| line.contains("/chat/threads/19") && line.contains("204"));
    assert!(deleted, "{log}");
}

#[test]
fn the_quickstart_leaves_what_it_made_where_that_is_asked_for() {
    let home = Home::new();
    let server = home.start(&["dev"]);
    let told = told(&home, &["quickstart", "--keep"]);
    assert!(!told.contains("Clean up"), "{told}");
    let left = &told[told.find("What stays:").unwrap()..];
    let (users, threads) = (words(left, "8:acs:"), words(left, "19:"));
    assert_eq!((users.len(), threads.len()), (3, 1), "{left}");
    let token = stdout(&home.run(&["token", "issue", "--user", users[0]]));
    let path = format!("/chat/threads/{}?api-version=2025-03-15", threads[0]);
    let header = format!("Authorization: Bearer {}\r\n", token.trim_end());
    let answer = exchange(server.tls(), &path, &header);
    assert!(answer.contains("test topic"), "{answer}");
}

#[test]
fn without_a_server_the_quickstart_says_what_to_type() {
    let home = Home::new();
    assert_refusal(
        &home.run(&["quickstart"]),
        1,
        "type `cavansite dev` in another terminal",
    );
}

#[test]
fn a_step_that_fails_ends_the_quickstart_with_its_name_and_nothing_is_left() {
    let home = Home::new();
    let mut command = home.command(&["dev"]);
    command.env("CAVANSITE_LIMITS_PARTICIPANTS_PER_THREAD_MAX", "2");
    let _server = home.start_command(command);
    let output = home.run(&["quickstart"]);
    assert_refusal(&output, 1, "stopped at step 11 (Add a user to the thread)");
    let told = stdout(&output);
    assert!(told.contains("\n12. Clean up\n"), "{told}");
    let users = words(&told, "8:acs:");
    assert_eq!(users.len(), 3, "{told}");
    for user in users {
        let issued = home.run(&["token", "issue", "--user", user]);
        assert_refusal(&issued, 1, "401");
    }
}

#[test]
fn an_interrupt_ends_the_quickstart_in_one_line() {
    let home = Home::new();
    let server = home.start(&["dev"]);
    // It accepts, and answers nothing.
    server.signal("STOP");
    let (out, err) = (home.path("told.out"), home.path("told.err"));
    let mut command = home.command(&["quickstart"]);
    command.stdout(fs::File::create(&out).unwrap());
    command.stderr(fs::File::create(&err).unwrap());
    let mut child = command.spawn().unwrap();
    let started = Instant::now();
    while !fs::read_to_string(&out)
        .unwrap()
        .contains("create_user_and_token")
    {
        assert!(
            started.elapsed() < PATIENCE,
            "{}",
            fs::read_to_string(&out).unwrap()
        );
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let interrupt = ["-s", "INT", &child.id().to_string()];
    assert!(
        Command::new("kill")
            .args(interrupt)
            .status()
            .unwrap()
            .success()
    );
    let status = child.wait().unwrap();
    server.signal("CONT");
    let error = fs::read_to_string(&err).unwrap();
    assert_eq!(status.code(), Some(1), "{error}");
    assert!(
        error.contains("stopped at step 1") && error.contains("interrupted"),
        "{error}"
    );
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn the_quickstart_is_in_colour_on_a_terminal_unless_that_is_not_wanted() {
    if Command::new("script").arg("--version").output().is_err() {
        eprintln!("skipped: there is no script");
        return;
    }
    let home = Home::new();
    let _server = home.start(&["dev"]);
    let on_a_terminal = |wants_none: Option<&str>| {
        let mut command = Command::new("script");
        let program = format!("{} quickstart", env!("CARGO_BIN_EXE_cavansite"));
        command.args(["-qec", &program, "/dev/null"]);
        command
            .env_clear()
            .env("HOME", home.path(""))
            .env("PATH", std::env::var("PATH").unwrap());
        if let Some(value) = wants_none {
            command.env("NO_COLOR", value);
        }
        let output = run(command);
        assert!(output.status.success(), "{output:?}");
        stdout(&output)
    };
    let told = on_a_terminal(None);
    assert!(
        told.contains("\x1b[1m1. Create users and tokens\x1b[0m"),
        "{told}"
    );
    assert!(!on_a_terminal(Some("1")).contains('\x1b'));
}
