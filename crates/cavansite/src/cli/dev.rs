//! `cavansite dev`: the emulator.

use cavansite_core::caller::{Scope, Scopes};
use cavansite_core::model::KeySlot;

use super::start::{Mode, Running, start};
use super::{Failure, check_variables, say};
use crate::config::{ServerOptions, Settings};

/// Start the emulator: a server on this machine for development and tests
///
/// Its access key is known to everyone, and without --data it keeps nothing: it stays on loopback.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cavansite dev                               listen on https://127.0.0.1:10010
  cavansite dev --listen 127.0.0.1:0          take a free port
  cavansite dev --data ./data                 keep threads and users over restarts
  cavansite dev --ready-file ready.json       for scripts: written once the port answers")]
pub(super) struct Dev {
    #[command(flatten)]
    options: ServerOptions,
    /// Listen on an address that other machines can reach, for containers
    #[arg(long, env = "CAVANSITE_ALLOW_REMOTE", hide_env_values = true)]
    allow_remote: bool,
}

impl Dev {
    pub(super) fn run(self) -> Result<(), Failure> {
        check_variables()?;
        let settings = Settings::resolve(self.options, std::env::vars())?;
        if settings.listens_beyond_loopback() && !self.allow_remote {
            return Err(Failure::usage(format!(
                "dev listens on loopback alone, since everyone knows its access key: {} needs \
                 --allow-remote",
                settings.listen
            )));
        }
        start(Mode::Dev, settings)
    }
}

/// What a newcomer pastes next: endpoint, connection string, trust, a user and a token.
pub(super) async fn welcome(running: &Running) {
    let identity = &running.state.identity;
    let user = match identity.create_identity().await {
        Ok(user) => user,
        Err(error) => return tracing::error!(%error, "cannot make the first user"),
    };
    let scopes = Scopes::default().with(Scope::Chat);
    let key = identity.installation().key_generation(KeySlot::Primary);
    let token = identity.issue_token(&user, scopes, None, key);
    let token = match token.await {
        Ok(issued) => issued.token,
        Err(error) => return tracing::error!(%error, "cannot issue the first token"),
    };
    let ready = &running.ready;
    let (endpoint, connection_string) = (&ready.endpoint, &ready.connection_string);
    let version = env!("CARGO_PKG_VERSION");
    let kept = if running.is_temporary {
        "Everything is forgotten when it stops (--data DIR keeps it)."
    } else {
        "Its data is kept."
    };
    say(format!(
        r#"
Cavansite {version}, the emulator. {kept}

  endpoint           {endpoint}
  connection string  {connection_string}

In the shell of your application, so that the SDKs trust its certificate:

  eval "$(cavansite env)"

A user to begin with, and its access token for chat:

  user   {user}
  token  {token}

More of them: cavansite user create --token

A conversation on this server, told step by step: cavansite quickstart

The quickstart in Python (its packages: azure-communication-chat==1.0.0b3 and
azure-communication-administration==1.0.0b3) begins like this:

  from azure.communication.chat import ChatClient, CommunicationUser, CommunicationUserCredential

  endpoint = "{endpoint}"
  user = CommunicationUser("{user}")
  token = "{token}"
  chat_client = ChatClient(endpoint, CommunicationUserCredential(token))
"#
    ));
}
