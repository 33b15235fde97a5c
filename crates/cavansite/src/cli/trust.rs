//! `cavansite trust`: the local CA, where clients look for it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Failure, RunningServer, say};
use crate::directories;
use crate::platform;
use crate::ready::FindError;
use crate::tls::CA_FILE;

/// The name under which stores know the CA.
const ALIAS: &str = "cavansite";
/// Java takes no PKCS12 store without a password, and this one is everybody's.
const JAVA_PASSWORD: &str = "changeit";
/// Where Debian's and Alpine's `update-ca-certificates` looks for more CAs.
const SYSTEM_FILE: &str = "/usr/local/share/ca-certificates/cavansite.crt";

/// Put the local CA where a client looks for it
///
/// Where this may not, it prints the commands and exits 1. Without an option it tells what there
/// is. The CA can vouch for local names alone.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cavansite trust                             what clients there are, and what each needs
  cavansite trust --java trust.p12            a trust store for Java
  cavansite trust --nss ~/.pki/nssdb          Chromium on Linux
  sudo cavansite trust --system --ca ca.pem   every program that asks the system")]
pub(super) struct Trust {
    /// Put it into this Java trust store (PKCS12), which is made where there is none
    #[arg(long, value_name = "FILE", group = "place")]
    java: Option<PathBuf>,
    /// Put it into this NSS database, as Chromium and Firefox have one
    #[arg(long, value_name = "DIR", group = "place")]
    nss: Option<PathBuf>,
    /// Put it among the system's CAs
    #[arg(long, group = "place")]
    system: bool,
    /// The CA's file, instead of that of the running server
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    #[command(flatten)]
    server: RunningServer,
}

impl Trust {
    pub(super) fn run(self) -> Result<(), Failure> {
        let ca = self.ca_file()?;
        if let Some(store) = &self.java {
            trust_java(&ca, store)
        } else if let Some(database) = &self.nss {
            trust_nss(&ca, database)
        } else if self.system {
            trust_system(&ca)
        } else {
            explain(&ca);
            Ok(())
        }
    }

    /// The CA that is meant: the given file, the running server's, or the emulator's from before.
    fn ca_file(&self) -> Result<PathBuf, Failure> {
        if let Some(file) = &self.ca {
            return Ok(std::path::absolute(file)?);
        }
        match self.server.find() {
            Ok(ready) => ready.ca_file.ok_or_else(|| {
                Failure::new("the server's certificate is not from a local CA: nothing to trust")
            }),
            Err(FindError::None) => {
                let file = directories::user_data()?.join("tls").join(CA_FILE);
                file.exists()
                    .then_some(file)
                    .ok_or_else(|| FindError::None.into())
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn explain(ca: &Path) {
    say(format!(
        r#"The local CA is {ca}

  Python, Node, curl    eval "$(cavansite env)" in the shell that starts them
  Java                  cavansite trust --java trust.p12
  Chromium on Linux     cavansite trust --nss ~/.pki/nssdb
  Firefox               cavansite trust --nss PROFILE-DIRECTORY
  the whole system      cavansite trust --system"#,
        ca = ca.display()
    ));
}

fn trust_java(ca: &Path, store: &Path) -> Result<(), Failure> {
    let common: [OsString; 8] = [
        "-noprompt".into(),
        "-alias".into(),
        ALIAS.into(),
        "-keystore".into(),
        store.into(),
        "-storetype".into(),
        "PKCS12".into(),
        "-storepass".into(),
    ];
    let with = |first: &[OsString]| {
        let mut arguments = first.to_vec();
        arguments.extend(common.iter().cloned());
        arguments.push(JAVA_PASSWORD.into());
        arguments
    };
    if store.exists() {
        // An earlier CA has the same alias; that there is none is fine.
        let _ = Command::new("keytool")
            .args(with(&["-delete".into()]))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
    run(
        "keytool",
        &with(&["-importcert".into(), "-file".into(), ca.into()]),
    )?;
    let store = std::path::absolute(store)?;
    say(format!(
        "Start Java with:\n  -Djavax.net.ssl.trustStore={} \
         -Djavax.net.ssl.trustStorePassword={JAVA_PASSWORD}",
        store.display()
    ));
    Ok(())
}

fn trust_nss(ca: &Path, database: &Path) -> Result<(), Failure> {
    // certutil makes the database, but not its folder.
    platform::create_private_directory(database)?;
    let mut database_argument = OsString::from("sql:");
    database_argument.push(database);
    run(
        "certutil",
        &[
            "-A".into(),
            "-d".into(),
            database_argument,
            "-n".into(),
            ALIAS.into(),
            "-t".into(),
            "C,,".into(),
            "-i".into(),
            ca.into(),
        ],
    )
}

fn trust_system(ca: &Path) -> Result<(), Failure> {
    match fs::copy(ca, SYSTEM_FILE) {
        Ok(_) => run("update-ca-certificates", &[]),
        Err(error) => {
            say(format!(
                "Debian, Ubuntu, Alpine:\n  sudo cp {ca} {SYSTEM_FILE}\n  \
                 sudo update-ca-certificates\n\
                 Fedora, RHEL:\n  sudo trust anchor {ca}\n\
                 macOS:\n  sudo security add-trusted-cert -d -r trustRoot \
                 -k /Library/Keychains/System.keychain {ca}",
                ca = quoted(ca.as_os_str())
            ));
            Err(Failure::new(format!("{SYSTEM_FILE}: {error}")))
        }
    }
}

/// Runs a program; where it is not there or fails, prints the command for the user to run.
fn run(program: &str, arguments: &[OsString]) -> Result<(), Failure> {
    let problem = match Command::new(program).args(arguments).status() {
        Ok(status) if status.success() => return Ok(()),
        Ok(status) => format!("{program}: {status}"),
        Err(error) => format!("{program}: {error}"),
    };
    let arguments = arguments
        .iter()
        .map(|argument| format!(" {}", quoted(argument)));
    say(format!("{program}{}", arguments.collect::<String>()));
    Err(Failure::new(problem))
}

/// An argument as a POSIX shell takes it.
fn quoted(argument: &std::ffi::OsStr) -> String {
    let text = argument.to_string_lossy();
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"/._-:,=~".contains(&c);
    if !text.is_empty() && text.bytes().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
