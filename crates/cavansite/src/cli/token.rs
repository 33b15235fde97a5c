//! `cavansite token`: access tokens.

use cavansite_client::models::CommunicationUserIdentifier;

use super::client::talk;
use super::{Failure, RunningServer, say, user};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Token {
    Issue(Issue),
    Revoke(Revoke),
}

/// Issue an access token for a user and print it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cavansite token issue --user 8:acs:…
  cavansite token issue --user 8:acs:… --scope chat --scope voip")]
pub(super) struct Issue {
    /// The user's id, as `user create` printed it
    #[arg(long, value_name = "ID")]
    user: String,
    /// What the token allows: chat, voip, chat.join, chat.join.limited, voip.join
    #[arg(long, value_name = "SCOPE", default_value = "chat")]
    scope: Vec<String>,
    #[command(flatten)]
    server: RunningServer,
}

/// End all access tokens that a user has, with the connections that were opened with them
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  cavansite token revoke --user 8:acs:…")]
pub(super) struct Revoke {
    /// The user's id, as `user create` printed it
    #[arg(long, value_name = "ID")]
    user: String,
    #[command(flatten)]
    server: RunningServer,
}

impl Token {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Issue(issue) => issue.run(),
            Self::Revoke(revoke) => revoke.run(),
        }
    }
}

impl Issue {
    fn run(self) -> Result<(), Failure> {
        talk(&self.server.find()?, async |connection| {
            let identity_client = connection.identity_client()?;
            let user = CommunicationUserIdentifier::new(self.user);
            let scopes = user::scopes(&self.scope);
            let issued = identity_client.get_token(&user, &scopes, None).await?;
            say(issued.into_model().token.expose());
            Ok(())
        })
    }
}

impl Revoke {
    fn run(self) -> Result<(), Failure> {
        talk(&self.server.find()?, async |connection| {
            let identity_client = connection.identity_client()?;
            let user = CommunicationUserIdentifier::new(self.user);
            identity_client.revoke_tokens(&user, None).await?;
            Ok(())
        })
    }
}
