//! The client of Cavansite's own routes for operators, which the hosted service has not.

use cavansite_protocol::admin;
use http::Method;

use crate::credential::{AccessKeyCredential, ConnectionString};
use crate::models::{AccessKeys, KeyType};
use crate::pipeline::{Authorization, Call, Pipeline};
use crate::{ClientOptions, IdentityApiVersion, MethodOptions, Response, Result};

/// Does an operator's tasks on a Cavansite server. Not a part of Azure Communication Services:
/// there, the management API of the resource does these.
///
/// ```no_run
/// use cavansite_client::CavansiteAdminClient;
/// use cavansite_client::models::KeyType;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let connection_string = std::env::var("COMMUNICATION_SERVICES_CONNECTION_STRING")?;
/// let admin_client = CavansiteAdminClient::from_connection_string(&connection_string, None)?;
/// let keys = admin_client.regenerate_key(KeyType::Secondary, None).await?.into_model();
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct CavansiteAdminClient {
    pipeline: Pipeline,
}

impl CavansiteAdminClient {
    /// A client that signs its requests with an access key of the server.
    ///
    /// ```
    /// use cavansite_client::{AccessKeyCredential, CavansiteAdminClient};
    ///
    /// # fn main() -> cavansite_client::Result<()> {
    /// # let key = "aHVudGVyMg==";
    /// let credential = AccessKeyCredential::new(key)?;
    /// let admin_client = CavansiteAdminClient::new("https://chat.example.com", credential, None)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(
        endpoint: &str,
        credential: AccessKeyCredential,
        options: Option<ClientOptions>,
    ) -> Result<Self> {
        // These routes have no versions, and pass over the parameter.
        let version = IdentityApiVersion::default().as_str();
        let authorization = Authorization::Key(credential);
        let options = options.unwrap_or_default();
        let pipeline = Pipeline::new(endpoint, version, authorization, &options)?;
        Ok(Self { pipeline })
    }

    /// A client that signs its requests with the access key of a connection string, which is read
    /// [as for identities](crate::CommunicationIdentityClient::from_connection_string).
    ///
    /// ```
    /// use cavansite_client::CavansiteAdminClient;
    ///
    /// # fn main() -> cavansite_client::Result<()> {
    /// # let connection_string = "endpoint=https://chat.example.com/;accesskey=aHVudGVyMg==";
    /// let admin_client = CavansiteAdminClient::from_connection_string(connection_string, None)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_connection_string(
        connection_string: &str,
        options: Option<ClientOptions>,
    ) -> Result<Self> {
        let ConnectionString { endpoint, key } = ConnectionString::parse(connection_string)?;
        Self::new(&endpoint, key, options)
    }

    /// Puts a new access key in the place of one, and gives both as they are now. From then on the
    /// old one signs nothing, and the tokens that were issued under it have ended.
    ///
    /// It is repeated only where the server cannot have done it. When its answer is lost, the other
    /// key still signs.
    ///
    /// ```no_run
    /// use cavansite_client::models::KeyType;
    ///
    /// # async fn example(
    /// #     admin_client: cavansite_client::CavansiteAdminClient,
    /// # ) -> cavansite_client::Result<()> {
    /// let keys = admin_client.regenerate_key(KeyType::Primary, None).await?.into_model();
    /// let connection_string = keys.primary_connection_string.expose();
    /// # Ok(())
    /// # }
    /// ```
    pub async fn regenerate_key(
        &self,
        key_type: KeyType,
        options: Option<MethodOptions>,
    ) -> Result<Response<AccessKeys>> {
        let path = ["cavansite", "v1", "admin", "regenerateKey"];
        let call = Call::new("regenerate_key", Method::POST, self.pipeline.url(path)?)
            .json(&admin::RegenerateKey { key_type })?
            .timeout(options.unwrap_or_default().timeout);
        let keys: Response<admin::AccessKeys> = self.pipeline.model(call).await?;
        Ok(keys.map(AccessKeys::from))
    }
}
