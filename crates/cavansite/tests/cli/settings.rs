//! Where settings come from, which are refused, and the example file.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use cavansite::cli::Cli;
use cavansite::config::ServerOptions;
use cavansite::http::HttpLimits;
use cavansite::realtime::RealtimeLimits;
use cavansite_core::limits::Limits;
use clap::CommandFactory;

use crate::harness::{Home, assert_refusal, run};

#[test]
fn a_wrong_setting_is_one_line_and_exit_code_2() {
    let home = Home::new();
    fs::write(home.path("unknown.toml"), "\nlisen = \"127.0.0.1:0\"\n").unwrap();
    fs::write(home.path("value.toml"), "profile = \"blue\"\n").unwrap();
    fs::write(home.path("section.toml"), "[limits]\npage_items_max = 0\n").unwrap();
    fs::write(
        home.path("repeats.toml"),
        "[limits]\nsend_repeats_per_thread_max = 0\n",
    )
    .unwrap();
    for (arguments, words) in [
        (&["dev", "--lisen", "127.0.0.1:0"][..], "--lisen"),
        (&["dev", "--listen", "nowhere"], "--listen"),
        (
            &["dev", "--config", "unknown.toml"],
            "line 2: unknown field `lisen`",
        ),
        (
            &["dev", "--config", "value.toml"],
            "line 1: unknown variant `blue`",
        ),
        (
            &["dev", "--config", "section.toml"],
            "limits.page_items_max",
        ),
        (
            &["dev", "--config", "repeats.toml"],
            "limits.send_repeats_per_thread_max",
        ),
        (&["dev", "--config", "missing.toml"], "missing.toml"),
        (&["dev", "--host", "a b"], "--host"),
        (&["dev", "--public-url", "https://a/b"], "--public-url"),
        (&["dev", "--tls-cert", "a.pem"], "tls-key"),
        (&["dev", "--log-filter", "a=b=c"], "log-filter"),
        (&["serve"], "--data"),
    ] {
        assert_refusal(&home.run(arguments), 2, words);
    }
}

#[test]
fn a_wrong_variable_is_one_line_and_exit_code_2() {
    let home = Home::new();
    for (name, value, words) in [
        (
            "CAVANSITE_LISEN",
            "127.0.0.1:0",
            "unknown variable CAVANSITE_LISEN",
        ),
        ("CAVANSITE_LISTEN", "nowhere", "CAVANSITE_LISTEN: "),
        (
            "CAVANSITE_LIMITS_PAGE_ITEM_MAX",
            "1",
            "CAVANSITE_LIMITS_PAGE_ITEM_MAX",
        ),
        (
            "CAVANSITE_LIMITS_PAGE_ITEMS_MAX",
            "many",
            "not a whole number",
        ),
        (
            "CAVANSITE_HTTP_STREAMS_MAX",
            "-1",
            "CAVANSITE_HTTP_STREAMS_MAX",
        ),
    ] {
        let mut command = home.command(&["dev"]);
        command.env(name, value);
        assert_refusal(&run(command), 2, words);
    }
}

#[test]
fn flags_win_over_variables_and_those_over_the_file() {
    let home = Home::new();
    let data = |name: &str| home.path(name).to_str().unwrap().to_owned();
    let file = format!("data = \"{}\"\nlog = \"json\"\n", data("of-file"));
    fs::write(home.path("settings.toml"), file).unwrap();
    let start = |flags: &[&str], variable: Option<&str>| {
        let arguments = [&["serve", "--config", "settings.toml"], flags].concat();
        let mut command = home.command(&arguments);
        if let Some(variable) = variable {
            command.env("CAVANSITE_DATA", variable);
        }
        // Kubernetes sets these beside a service of that name; they are no settings.
        command.env("CAVANSITE_SERVICE_HOST", "10.0.0.1");
        command.env("CAVANSITE_PORT", "tcp://10.0.0.1:443");
        let server = home.start_command(command);
        server.text("data").to_owned()
    };
    assert_eq!(start(&[], None), data("of-file"));
    assert_eq!(start(&[], Some("of-variable")), data("of-variable"));
    let flag = data("of-flag");
    assert_eq!(start(&["--data", &flag], Some("of-variable")), flag);
}

#[test]
fn dev_stays_on_loopback_and_serve_wants_a_public_url_beyond_it() {
    let home = Home::new();
    let everywhere = ["--listen", "0.0.0.0:0"];
    let dev = [&["dev"], &everywhere[..]].concat();
    assert_refusal(&home.run(&dev), 2, "--allow-remote");
    let serve = [&["serve", "--data", "data"], &everywhere[..]].concat();
    assert_refusal(&home.run(&serve), 2, "--public-url");
}

#[test]
fn serve_refuses_a_directory_with_the_well_known_key() {
    let home = Home::new();
    drop(home.start(&["dev", "--data", "data"]));
    let refused = home.run(&["serve", "--data", "data", "--listen", "127.0.0.1:0"]);
    let log = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{log}");
    assert!(log.contains("whose access key everyone knows"), "{log}");
}

#[test]
fn a_data_directory_has_one_server() {
    let home = Home::new();
    let _server = home.start(&["serve", "--data", "data"]);
    let second = home.run(&["serve", "--data", "data", "--listen", "127.0.0.1:0"]);
    assert_eq!(second.status.code(), Some(1));
    let log = String::from_utf8(second.stderr).unwrap();
    let last = log.lines().last().unwrap();
    assert!(
        last.starts_with("cavansite: ") && last.contains("data"),
        "{log}"
    );
}

#[test]
fn a_port_in_use_is_named() {
    let home = Home::new();
    let server = home.start(&["dev"]);
    let address = server.address().to_string();
    let second = home.run(&["dev", "--listen", &address]);
    assert_eq!(second.status.code(), Some(1));
    let log = String::from_utf8(second.stderr).unwrap();
    assert!(
        log.contains(&format!("cannot listen on {address}")),
        "{log}"
    );
    assert!(log.contains("port 0 takes a free one"), "{log}");
}

/// The example file is made from the options' own texts. `UPDATE_EXPECTED=1` writes it anew.
#[test]
fn the_example_file_is_as_generated() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = root.join("cavansite.example.toml");
    let generated = example(&root);
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        fs::write(&path, &generated).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "cavansite.example.toml is out of date: UPDATE_EXPECTED=1 cargo test -p cavansite example"
    );
}

#[test]
fn every_setting_of_the_example_file_is_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let set = |line: &str| {
        line.split_once(" = ")
            .is_some_and(|(key, _)| !key.contains(' '))
    };
    let uncommented: String = example(&root)
        .lines()
        .map(|line| {
            line.strip_prefix("# ")
                .filter(|rest| set(rest))
                .unwrap_or(line)
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    let options: ServerOptions = toml::from_str(&uncommented).unwrap();
    assert_eq!(options.http, HttpLimits::default());
    assert_eq!(options.limits, Limits::default());
    assert!(options.listen.is_some() && options.log_filter.is_some());
}

/// Settings that have a value when nobody sets one, or whose example shows more than a word could.
const VALUES: [(&str, &str); 13] = [
    ("listen", "\"127.0.0.1:10010\""),
    ("data", "\"/var/lib/cavansite\""),
    ("profile", "\"open\""),
    ("error_shape", "\"published\""),
    ("host", "[\"chat.test\", \"10.0.0.7\"]"),
    ("public_url", "\"https://chat.example.com\""),
    ("tls_cert", "\"/etc/cavansite/chain.pem\""),
    ("tls_key", "\"/etc/cavansite/key.pem\""),
    ("trusted_proxy", "[\"10.0.0.0/8\"]"),
    ("ready_file", "\"/run/cavansite/ready.json\""),
    ("log", "\"json\""),
    ("log_filter", "\"info\""),
    ("config", ""),
];

fn example(root: &Path) -> String {
    let mut text = String::from(
        "# Settings of Cavansite, for `--config FILE`. Generated: see CONTRIBUTING.md.\n\
         #\n\
         # Flags win over CAVANSITE_* variables, and those over this file. A setting that is not\n\
         # here has its default. Relative paths are relative to the working directory.\n",
    );
    let command = Cli::command();
    let serve = command.find_subcommand("serve").unwrap();
    for argument in serve.get_arguments() {
        let key = argument.get_id().as_str();
        let Some((_, value)) = VALUES.iter().find(|(name, _)| *name == key) else {
            assert_eq!(key, "help", "give {key} a value in VALUES");
            continue;
        };
        if value.is_empty() {
            continue;
        }
        let help = argument.get_help().unwrap().to_string();
        let variable = argument.get_env().unwrap().to_str().unwrap();
        let _ = write!(
            text,
            "\n# {help}.\n# Variable: {variable}.\n# {key} = {value}\n"
        );
    }
    let http = toml::to_string(&HttpLimits::default()).unwrap();
    let source = root.join("crates/cavansite/src/http/limits.rs");
    text.push_str(&section(
        "http",
        "Bounds of connections and requests",
        &http,
        &source,
    ));
    let limits = toml::to_string(&Limits::default()).unwrap();
    let source = root.join("crates/cavansite-core/src/limits.rs");
    text.push_str(&section(
        "limits",
        "Bounds of the service",
        &limits,
        &source,
    ));
    let realtime = toml::to_string(&RealtimeLimits::default()).unwrap();
    let source = root.join("crates/cavansite/src/realtime/limits.rs");
    text.push_str(&section(
        "realtime",
        "Bounds of real-time notifications",
        &realtime,
        &source,
    ));
    text
}

/// A section with its defaults, each under the doc comment of its field.
fn section(name: &str, title: &str, defaults: &str, source: &Path) -> String {
    let source = fs::read_to_string(source).unwrap();
    let variables = name.to_uppercase();
    let mut text = format!("\n# {title}. Variables: CAVANSITE_{variables}_<KEY>.\n[{name}]\n");
    for line in defaults.lines() {
        let key = line.split(" =").next().unwrap();
        let field = format!("    pub {key}:");
        let before = &source[..source.find(&field).unwrap()];
        let docs: Vec<&str> = before
            .lines()
            .rev()
            .map_while(|line| line.trim().strip_prefix("/// "))
            .collect();
        text.push('\n');
        for doc in docs.iter().rev() {
            let _ = writeln!(text, "# {doc}");
        }
        let _ = writeln!(text, "# {line}");
    }
    text
}
