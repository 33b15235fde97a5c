//! `cavansite user`: users of the running server.

use serde::Deserialize;
use serde_json::json;

use super::{Failure, RunningServer, operator, say};

#[derive(Debug, clap::Subcommand)]
pub(super) enum User {
    Create(Create),
}

/// Make a user and print its id; with --token, an access token in the next line
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cavansite user create
  cavansite user create --token
  cavansite user create --token --scope chat --scope voip")]
pub(super) struct Create {
    /// Issue an access token too
    #[arg(long)]
    token: bool,
    /// What the token allows: chat, voip, chat.join, chat.join.limited, voip.join
    #[arg(long, value_name = "SCOPE", default_value = "chat", requires = "token")]
    scope: Vec<String>,
    #[command(flatten)]
    server: RunningServer,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    identity: Identity,
    access_token: Option<super::token::AccessToken>,
}

#[derive(Deserialize)]
struct Identity {
    id: String,
}

impl User {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(),
        }
    }
}

impl Create {
    fn run(self) -> Result<(), Failure> {
        let body = if self.token {
            json!({ "createTokenWithScopes": self.scope })
        } else {
            json!({})
        };
        let ready = self.server.find()?;
        let created: Created = operator::post_identity(&ready, "/identities", &body)?.json()?;
        say(created.identity.id);
        if let Some(access_token) = created.access_token {
            say(access_token.token);
        }
        Ok(())
    }
}
