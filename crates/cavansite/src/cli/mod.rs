//! The command line: one file per command.

mod client;
mod dev;
mod env;
mod health;
mod key;
mod quickstart;
mod serve;
mod start;
mod token;
mod transport;
mod trust;
mod user;

use std::fmt::{self, Display};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser, Subcommand};

use crate::config::{self, SettingError};
use crate::ready::{self, FindError, Ready};

/// Exit code for settings and arguments that are wrong, and for a choice that is left open.
const EXIT_USAGE: u8 = 2;

/// The command line of `cavansite`.
#[derive(Debug, Parser)]
#[command(name = "cavansite", version, about, disable_help_subcommand = true)]
#[command(after_help = "\
Examples:
  cavansite dev                       start the emulator
  cavansite quickstart                a conversation on it, told step by step
  eval \"$(cavansite env)\"             point the SDKs in this shell at it
  cavansite user create --token       one more user, and an access token for chat
  cavansite serve --data ./data       start a server that keeps its data")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Dev(dev::Dev),
    Serve(serve::Serve),
    Env(env::Env),
    Trust(trust::Trust),
    Health(health::Health),
    Quickstart(quickstart::Quickstart),
    /// The server's access keys
    #[command(subcommand)]
    Key(key::Key),
    /// The users of the running server
    #[command(subcommand)]
    User(user::User),
    /// Access tokens of users
    #[command(subcommand)]
    Token(token::Token),
}

/// How a command finds the running server.
#[derive(Debug, clap::Args)]
struct RunningServer {
    /// The ready file of the server, when it is not the only one that runs
    #[arg(
        long,
        value_name = "PATH",
        env = "CAVANSITE_READY_FILE",
        hide_env_values = true
    )]
    ready_file: Option<PathBuf>,
}

impl RunningServer {
    fn find(&self) -> Result<Ready, FindError> {
        ready::find(self.ready_file.as_deref())
    }
}

/// Why a command failed: one line for standard error, and the exit code.
#[derive(Debug)]
struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    fn new(message: impl Display) -> Self {
        Self {
            message: message.to_string(),
            code: 1,
        }
    }

    fn usage(message: impl Display) -> Self {
        Self {
            message: message.to_string(),
            code: EXIT_USAGE,
        }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<SettingError> for Failure {
    fn from(error: SettingError) -> Self {
        Self::usage(error)
    }
}

impl From<FindError> for Failure {
    fn from(error: FindError) -> Self {
        match error {
            FindError::Several(_) => Self::usage(error),
            _ => Self::new(error),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new(error)
    }
}

/// Runs the program.
pub fn main() -> ExitCode {
    // Named here once: with two libraries in one program rustls would not know which to take.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match run() {
        Ok(code) => code,
        Err(failure) => {
            let _ = writeln!(io::stderr(), "cavansite: {failure}");
            ExitCode::from(failure.code)
        }
    }
}

fn run() -> Result<ExitCode, Failure> {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return explain(&error),
    };
    let done = |()| ExitCode::SUCCESS;
    match cli.command {
        Command::Dev(command) => command.run().map(done),
        Command::Serve(command) => command.run().map(done),
        Command::Env(command) => command.run().map(done),
        Command::Trust(command) => command.run().map(done),
        Command::Health(command) => command.run().map(done),
        Command::Quickstart(command) => command.run().map(done),
        Command::Key(command) => command.run().map(done),
        Command::User(command) => command.run().map(done),
        Command::Token(command) => command.run().map(done),
    }
}

/// Help as clap shows it; everything else in one line, with the variable that a bad value is from.
fn explain(error: &clap::Error) -> Result<ExitCode, Failure> {
    let shows_help = [
        ErrorKind::DisplayHelp,
        ErrorKind::DisplayVersion,
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
    ];
    if shows_help.contains(&error.kind()) {
        let _ = error.print();
        return Ok(ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1)));
    }
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let lines = text.lines().map(str::trim);
    let lines =
        lines.take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    let mut message = lines
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    if let Some(variable) = variable_of(error) {
        message = format!("{variable}: {message}");
    }
    Err(Failure::usage(message))
}

/// The environment variable whose value clap refused, if it came from one.
fn variable_of(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let flag = argument.split_whitespace().next()?.trim_start_matches('-');
    let typed = |arg: String| arg.trim_start_matches('-').split('=').next() == Some(flag);
    if std::env::args().skip(1).any(typed) {
        return None;
    }
    let variable = format!("CAVANSITE_{}", flag.replace('-', "_").to_ascii_uppercase());
    std::env::var_os(&variable).map(|_| variable)
}

/// Refuses `CAVANSITE_*` variables that nothing reads.
fn check_variables() -> Result<(), SettingError> {
    let command = Cli::command();
    let options = command
        .get_subcommands()
        .flat_map(clap::Command::get_arguments);
    let known: Vec<String> = options
        .filter_map(|option| option.get_env()?.to_str().map(str::to_owned))
        .collect();
    let names: Vec<String> = std::env::vars_os()
        .filter_map(|(name, _)| name.into_string().ok())
        .collect();
    config::check_variables(names.iter().map(String::as_str), &known)
}

/// Writes to standard output; that nobody reads it is no failure.
fn say(text: impl Display) {
    let _ = writeln!(io::stdout(), "{text}");
}
