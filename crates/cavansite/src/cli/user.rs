//! `cavansite user`: users of the running server.

use cavansite_client::models::{CommunicationUserIdentifier, TokenScope};

use super::client::talk;
use super::{Failure, RunningServer, say};

#[derive(Debug, clap::Subcommand)]
pub(super) enum User {
    Create(Create),
    Delete(Delete),
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

/// Delete a user: its tokens end, and its connections with them
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  cavansite user delete 8:acs:…")]
pub(super) struct Delete {
    /// The user's id, as `user create` printed it
    #[arg(value_name = "ID")]
    user: String,
    #[command(flatten)]
    server: RunningServer,
}

impl User {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(),
            Self::Delete(delete) => delete.run(),
        }
    }
}

impl Create {
    fn run(self) -> Result<(), Failure> {
        talk(&self.server.find()?, async |connection| {
            let identity_client = connection.identity_client()?;
            if !self.token {
                let user = identity_client.create_user(None).await?.into_model();
                say(user.id);
                return Ok(());
            }
            let scopes = scopes(&self.scope);
            let created = identity_client.create_user_and_token(&scopes, None).await?;
            let created = created.into_model();
            say(created.user.id);
            say(created.access_token.token.expose());
            Ok(())
        })
    }
}

impl Delete {
    fn run(self) -> Result<(), Failure> {
        talk(&self.server.find()?, async |connection| {
            let identity_client = connection.identity_client()?;
            let user = CommunicationUserIdentifier::new(self.user);
            identity_client.delete_user(&user, None).await?;
            Ok(())
        })
    }
}

/// What a token is to allow. Which scopes there are is for the server to say.
pub(super) fn scopes(names: &[String]) -> Vec<TokenScope> {
    names
        .iter()
        .map(|name| TokenScope::from(name.as_str()))
        .collect()
}
