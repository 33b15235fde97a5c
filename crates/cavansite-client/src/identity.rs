//! The client of identities: users and their tokens.

use std::sync::Arc;
use std::time::Duration;

use http::Method;

use crate::credential::{AccessKeyCredential, AccessToken, ConnectionString, TokenCredential};
use crate::models::{
    CommunicationUserIdentifier, CreateIdentityRequest, CreatedIdentity, CreatedIdentityAndToken,
    IssueTokenRequest, IssuedToken, TokenScope, UserAndToken,
};
use crate::pipeline::{Authorization, Call, Pipeline};
use crate::setters::setters;
use crate::{ClientOptions, Error, IdentityApiVersion, MethodOptions, Response, Result};

/// The options of a [`CommunicationIdentityClient`].
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct CommunicationIdentityClientOptions {
    /// How it talks.
    pub client: ClientOptions,
    /// The api-version that it speaks.
    pub api_version: IdentityApiVersion,
}

/// The options of methods that issue a token.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct IssueTokenOptions {
    /// How long the token lives: 60 to 1440 minutes, 1440 by default (since 2022-10-01).
    pub expires_in_minutes: Option<u32>,
    /// How long the call may take, repetitions included.
    pub timeout: Option<Duration>,
}

setters!(IssueTokenOptions {
    with_expires_in_minutes(expires_in_minutes: u32),
    with_timeout(timeout: Duration),
});

/// Creates users, issues and revokes their tokens. It acts for the resource, so it belongs on a
/// server of yours, never in what users run.
///
/// It is a cheap handle: clones share connections and credential, and can be used from many tasks
/// at once. Futures of its methods may be dropped at any time; the request may then have been done
/// or not, as with one that timed out.
///
/// ```no_run
/// use cavansite_client::CommunicationIdentityClient;
/// use cavansite_client::models::TokenScope;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let connection_string = std::env::var("COMMUNICATION_SERVICES_CONNECTION_STRING")?;
/// let identity_client =
///     CommunicationIdentityClient::from_connection_string(&connection_string, None)?;
/// let scopes = [TokenScope::Chat];
/// let ada = identity_client.create_user_and_token(&scopes, None).await?.into_model();
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct CommunicationIdentityClient {
    pipeline: Arc<Pipeline>,
    version: IdentityApiVersion,
}

impl CommunicationIdentityClient {
    /// A client that signs its requests with an access key of the resource.
    ///
    /// ```
    /// use cavansite_client::{AccessKeyCredential, CommunicationIdentityClient};
    ///
    /// # fn main() -> cavansite_client::Result<()> {
    /// # let key = "aHVudGVyMg==";
    /// let credential = AccessKeyCredential::new(key)?;
    /// let identity_client =
    ///     CommunicationIdentityClient::new("https://chat.example.com", credential, None)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(
        endpoint: &str,
        credential: AccessKeyCredential,
        options: Option<CommunicationIdentityClientOptions>,
    ) -> Result<Self> {
        Self::build(endpoint, Authorization::Key(credential), options)
    }

    /// A client that signs its requests with the access key of a connection string:
    /// `endpoint=https://…/;accesskey=…`, its parts in any order.
    ///
    /// ```
    /// use cavansite_client::CommunicationIdentityClient;
    ///
    /// # fn main() -> cavansite_client::Result<()> {
    /// # let connection_string = "endpoint=https://chat.example.com/;accesskey=aHVudGVyMg==";
    /// let identity_client =
    ///     CommunicationIdentityClient::from_connection_string(connection_string, None)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_connection_string(
        connection_string: &str,
        options: Option<CommunicationIdentityClientOptions>,
    ) -> Result<Self> {
        let ConnectionString { endpoint, key } = ConnectionString::parse(connection_string)?;
        Self::new(&endpoint, key, options)
    }

    /// A client with tokens of Microsoft Entra, of the scope
    /// `https://communication.azure.com//.default`. The hosted service takes them, Cavansite has no
    /// such directory.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use cavansite_client::{CommunicationIdentityClient, StaticTokenCredential};
    ///
    /// # fn main() -> cavansite_client::Result<()> {
    /// # let token = "e30.eyJleHAiOjE3OTU2NTEyMDB9.c2lnbmF0dXJl";
    /// let credential = Arc::new(StaticTokenCredential::new(token)?);
    /// let identity_client = CommunicationIdentityClient::with_token_credential(
    ///     "https://contoso.communication.azure.com",
    ///     credential,
    ///     None,
    /// )?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_token_credential(
        endpoint: &str,
        credential: Arc<dyn TokenCredential>,
        options: Option<CommunicationIdentityClientOptions>,
    ) -> Result<Self> {
        Self::build(endpoint, Authorization::Bearer(credential), options)
    }

    fn build(
        endpoint: &str,
        authorization: Authorization,
        options: Option<CommunicationIdentityClientOptions>,
    ) -> Result<Self> {
        let options = options.unwrap_or_default();
        let version = options.api_version;
        let pipeline = Pipeline::new(endpoint, version.as_str(), authorization, &options.client)?;
        Ok(Self {
            pipeline: Arc::new(pipeline),
            version,
        })
    }

    /// Creates a user.
    ///
    /// It is repeated only where the service cannot have done it: an error of kind
    /// [`Io`](crate::ErrorKind::Io) or [`Timeout`](crate::ErrorKind::Timeout) may leave a user of
    /// whom nobody knows the id.
    ///
    /// ```no_run
    /// # async fn example(
    /// #     identity_client: cavansite_client::CommunicationIdentityClient,
    /// # ) -> cavansite_client::Result<()> {
    /// let user = identity_client.create_user(None).await?.into_model();
    /// println!("{}", user.id);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn create_user(
        &self,
        options: Option<MethodOptions>,
    ) -> Result<Response<CommunicationUserIdentifier>> {
        let url = self.pipeline.url(["identities"])?;
        let call = Call::new("create_user", Method::POST, url)
            .timeout(options.unwrap_or_default().timeout);
        let created: Response<CreatedIdentity> = self.pipeline.model(call).await?;
        Ok(created.map(|created| created.identity))
    }

    /// Creates a user and issues a token with these scopes in one step. For its repetition, see
    /// [`Self::create_user`].
    ///
    /// ```no_run
    /// use cavansite_client::models::TokenScope;
    ///
    /// # async fn example(
    /// #     identity_client: cavansite_client::CommunicationIdentityClient,
    /// # ) -> cavansite_client::Result<()> {
    /// let scopes = [TokenScope::Chat];
    /// let ada = identity_client.create_user_and_token(&scopes, None).await?.into_model();
    /// println!("{} until {}", ada.user.id, ada.access_token.expires_on);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn create_user_and_token(
        &self,
        scopes: &[TokenScope],
        options: Option<IssueTokenOptions>,
    ) -> Result<Response<UserAndToken>> {
        let options = options.unwrap_or_default();
        self.check(scopes, &options)?;
        let url = self.pipeline.url(["identities"])?;
        let call = Call::new("create_user_and_token", Method::POST, url)
            .json(&CreateIdentityRequest {
                create_token_with_scopes: scopes,
                expires_in_minutes: options.expires_in_minutes,
            })?
            .timeout(options.timeout);
        let created: Response<CreatedIdentityAndToken> = self.pipeline.model(call).await?;
        Ok(created.map(|created| UserAndToken {
            user: created.identity,
            access_token: created.access_token.into(),
        }))
    }

    /// Issues a token with these scopes for a user.
    ///
    /// ```no_run
    /// use cavansite_client::IssueTokenOptions;
    /// use cavansite_client::models::{CommunicationUserIdentifier, TokenScope};
    ///
    /// # async fn example(
    /// #     identity_client: cavansite_client::CommunicationIdentityClient,
    /// #     user: CommunicationUserIdentifier,
    /// # ) -> cavansite_client::Result<()> {
    /// let an_hour = IssueTokenOptions::default().with_expires_in_minutes(60u32);
    /// let token = identity_client.get_token(&user, &[TokenScope::Chat], Some(an_hour)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn get_token(
        &self,
        user: &CommunicationUserIdentifier,
        scopes: &[TokenScope],
        options: Option<IssueTokenOptions>,
    ) -> Result<Response<AccessToken>> {
        let options = options.unwrap_or_default();
        self.check(scopes, &options)?;
        let path = ["identities", &user.id, ":issueAccessToken"];
        let call = Call::new("get_token", Method::POST, self.pipeline.url(path)?)
            .harmless()
            .json(&IssueTokenRequest {
                scopes,
                expires_in_minutes: options.expires_in_minutes,
            })?
            .timeout(options.timeout);
        let issued: Response<IssuedToken> = self.pipeline.model(call).await?;
        Ok(issued.map(AccessToken::from))
    }

    /// Ends all tokens that a user has.
    ///
    /// ```no_run
    /// # async fn example(
    /// #     identity_client: cavansite_client::CommunicationIdentityClient,
    /// #     user: cavansite_client::models::CommunicationUserIdentifier,
    /// # ) -> cavansite_client::Result<()> {
    /// identity_client.revoke_tokens(&user, None).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn revoke_tokens(
        &self,
        user: &CommunicationUserIdentifier,
        options: Option<MethodOptions>,
    ) -> Result<Response<()>> {
        let path = ["identities", &user.id, ":revokeAccessTokens"];
        let call = Call::new("revoke_tokens", Method::POST, self.pipeline.url(path)?)
            .harmless()
            .timeout(options.unwrap_or_default().timeout);
        self.pipeline.done(call).await
    }

    /// Deletes a user, whose tokens end with it.
    ///
    /// Where the answer to it was lost, its repetition may be answered 401
    /// [`IdentityNotOwned`](crate::ErrorCode::IdentityNotOwned), as for any user that is not there.
    ///
    /// ```no_run
    /// # async fn example(
    /// #     identity_client: cavansite_client::CommunicationIdentityClient,
    /// #     user: cavansite_client::models::CommunicationUserIdentifier,
    /// # ) -> cavansite_client::Result<()> {
    /// identity_client.delete_user(&user, None).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn delete_user(
        &self,
        user: &CommunicationUserIdentifier,
        options: Option<MethodOptions>,
    ) -> Result<Response<()>> {
        let url = self.pipeline.url(["identities", &user.id])?;
        let call = Call::new("delete_user", Method::DELETE, url)
            .timeout(options.unwrap_or_default().timeout);
        self.pipeline.done(call).await
    }

    /// Refuses what this version does not have of tokens.
    fn check(&self, scopes: &[TokenScope], options: &IssueTokenOptions) -> Result<()> {
        if scopes.is_empty() {
            return Err(Error::input("a token needs a scope"));
        }
        let life = options.expires_in_minutes.is_some();
        let since = IdentityApiVersion::V2022_10_01;
        self.version.check(since, "life of tokens", life)?;
        let since = IdentityApiVersion::V2023_10_01;
        let later = [
            TokenScope::ChatJoin,
            TokenScope::ChatJoinLimited,
            TokenScope::VoIPJoin,
        ];
        scopes.iter().try_for_each(|scope| {
            let what = format!("scope {scope}");
            self.version.check(since, &what, later.contains(scope))
        })
    }
}
