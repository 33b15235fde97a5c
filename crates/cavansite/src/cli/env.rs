//! `cavansite env`: what points SDKs at the running server.

use std::path::Path;

use super::{Failure, RunningServer, say};
use crate::ready::Ready;

/// Print variables that point the SDKs in a shell at the running server
///
/// Two of them name a bundle of the system's CAs and the server's, so that package managers go on
/// working in that shell.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  eval \"$(cavansite env)\"                       bash, zsh and other POSIX shells
  cavansite env --shell fish | source
  cavansite env --shell powershell | Out-String | Invoke-Expression
  cavansite env --shell dotenv > .env            for tools that read such files")]
pub(super) struct Env {
    /// Whose syntax to write
    #[arg(long, default_value = "bash")]
    shell: Shell,
    #[command(flatten)]
    server: RunningServer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Shell {
    #[value(alias = "zsh", alias = "sh")]
    Bash,
    Fish,
    Powershell,
    Dotenv,
}

impl Env {
    pub(super) fn run(self) -> Result<(), Failure> {
        let ready = self.server.find()?;
        for (name, value) in variables(&ready) {
            say(self.shell.assign(name, &value));
        }
        Ok(())
    }
}

/// The variables; those about CAs only where the local CA made the certificate.
fn variables(ready: &Ready) -> Vec<(&'static str, String)> {
    let mut variables = vec![
        ("COMMUNICATION_SERVICES_ENDPOINT", ready.endpoint.clone()),
        (
            "COMMUNICATION_SERVICES_CONNECTION_STRING",
            ready.connection_string.clone(),
        ),
    ];
    let text = |path: &Path| path.to_string_lossy().into_owned();
    if let Some(bundle) = &ready.ca_bundle {
        variables.push(("REQUESTS_CA_BUNDLE", text(bundle)));
        variables.push(("SSL_CERT_FILE", text(bundle)));
        // Where this one is set, curl does not look at the others.
        if std::env::var_os("CURL_CA_BUNDLE").is_some() {
            variables.push(("CURL_CA_BUNDLE", text(bundle)));
        }
    }
    if let Some(ca) = &ready.ca_file {
        variables.push(("NODE_EXTRA_CA_CERTS", text(ca)));
    }
    variables
}

impl Shell {
    /// One line that sets a variable, the value quoted so that nothing in it is expanded.
    fn assign(self, name: &str, value: &str) -> String {
        match self {
            Self::Bash => format!("export {name}='{}'", value.replace('\'', r"'\''")),
            Self::Fish => {
                let value = value.replace('\\', r"\\").replace('\'', r"\'");
                format!("set -gx {name} '{value}'")
            }
            Self::Powershell => format!("$env:{name} = '{}'", value.replace('\'', "''")),
            Self::Dotenv => {
                let value = value.replace('\\', r"\\").replace('"', "\\\"");
                format!("{name}=\"{}\"", value.replace('$', r"\$"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_for_each_shell() {
        let value = r#"a'b"c\d$e"#;
        let of = |shell: Shell| shell.assign("X", value);
        assert_eq!(of(Shell::Bash), r#"export X='a'\''b"c\d$e'"#);
        assert_eq!(of(Shell::Fish), r#"set -gx X 'a\'b"c\\d$e'"#);
        assert_eq!(of(Shell::Powershell), r#"$env:X = 'a''b"c\d$e'"#);
        assert_eq!(of(Shell::Dotenv), r#"X="a'b\"c\\d\$e""#);
    }
}
