//! `cavansite token`: access tokens.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::json;

use super::{Failure, RunningServer, operator, say};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Token {
    Issue(Issue),
}

/// Issue an access token for a user and print it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  cavansite token issue --user 8:acs:… --scope chat")]
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

/// A token, as the identity API hands it out.
#[derive(Deserialize)]
pub(super) struct AccessToken {
    pub(super) token: String,
}

impl Token {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Issue(issue) => issue.run(),
        }
    }
}

impl Issue {
    fn run(self) -> Result<(), Failure> {
        let user = utf8_percent_encode(&self.user, NON_ALPHANUMERIC);
        let path = format!("/identities/{user}/:issueAccessToken");
        let body = json!({ "scopes": self.scope });
        let ready = self.server.find()?;
        let issued: AccessToken = operator::post_identity(&ready, &path, &body)?.json()?;
        say(issued.token);
        Ok(())
    }
}
