//! The client of a user's threads.

use std::collections::BTreeMap;
use std::sync::Arc;

use cavansite_protocol::chat::since::Feature;
use http::{HeaderName, Method};
use url::Url;

use crate::credential::TokenCredential;
use crate::models::{
    ChatParticipant, ChatRetentionPolicy, ChatThreadItem, CommunicationIdentifier,
    CreateChatThreadRequest, CreateChatThreadResult,
};
use crate::pipeline::{Authorization, Call, Pipeline, new_id};
use crate::{
    ChatApiVersion, ChatClientOptions, ChatThreadClient, CreateChatThreadOptions, Error,
    ListByTimeOptions, MethodOptions, Pager, Response, Result,
};

const REPEATABILITY_REQUEST_ID: HeaderName = HeaderName::from_static("repeatability-request-id");

/// Acts for one user of the chat: creates, lists and deletes threads, and gives a
/// [`ChatThreadClient`] for each.
///
/// It is a cheap handle: clones share connections and credential, and can be used from many tasks
/// at once. Futures of its methods may be dropped at any time; the request may then have been done
/// or not, as with one that timed out.
#[derive(Debug, Clone)]
pub struct ChatClient {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) version: ChatApiVersion,
}

impl ChatClient {
    /// A client for the user whose tokens that credential gives, at an endpoint such as
    /// `https://chat.example.com`. Nothing is sent.
    ///
    /// Refuses endpoints that are not `https://`, but for this machine where [that is
    /// allowed](crate::ClientOptions::allow_plain_http_to_loopback). The client is used within a
    /// tokio runtime.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use cavansite_client::{ChatClient, StaticTokenCredential};
    ///
    /// # fn main() -> cavansite_client::Result<()> {
    /// # let token = "e30.eyJleHAiOjE3OTU2NTEyMDB9.c2lnbmF0dXJl";
    /// let credential = StaticTokenCredential::new(token)?;
    /// let chat_client = ChatClient::new("https://chat.example.com", Arc::new(credential), None)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(
        endpoint: &str,
        credential: Arc<dyn TokenCredential>,
        options: Option<ChatClientOptions>,
    ) -> Result<Self> {
        let options = options.unwrap_or_default();
        let version = options.api_version;
        let authorization = Authorization::Bearer(credential);
        let pipeline = Pipeline::new(endpoint, version.as_str(), authorization, &options.client)?;
        Ok(Self {
            pipeline: Arc::new(pipeline),
            version,
        })
    }

    /// The client of a thread. Nothing is sent; a thread that is not there shows with the first
    /// method.
    ///
    /// ```no_run
    /// # fn example(chat_client: cavansite_client::ChatClient) {
    /// let thread = chat_client.thread_client("19:0123456789abcdef@thread.v2");
    /// # }
    /// ```
    pub fn thread_client(&self, thread_id: impl Into<String>) -> ChatThreadClient {
        ChatThreadClient::new(self.clone(), thread_id.into())
    }

    /// Creates a thread, in which this user takes part.
    ///
    /// Look at [`invalid_participants`](CreateChatThreadResult::invalid_participants): people who
    /// could not be added do not make it fail. It is repeated until its answer comes, and yet
    /// creates one thread, since the service knows the repetition by its
    /// `repeatability-request-id`.
    ///
    /// ```no_run
    /// use cavansite_client::CreateChatThreadOptions;
    /// use cavansite_client::models::{ChatParticipant, CommunicationUserIdentifier};
    ///
    /// # async fn example(
    /// #     chat_client: cavansite_client::ChatClient,
    /// #     ben: CommunicationUserIdentifier,
    /// # ) -> cavansite_client::Result<()> {
    /// let options = CreateChatThreadOptions::default()
    ///     .with_participant(ChatParticipant::new(ben).with_display_name("Ben"));
    /// let created = chat_client.create_thread("lunch", Some(options)).await?.into_model();
    /// assert!(created.invalid_participants.is_empty());
    /// let thread = chat_client.thread_client(created.chat_thread.id);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn create_thread(
        &self,
        topic: &str,
        options: Option<CreateChatThreadOptions>,
    ) -> Result<Response<CreateChatThreadResult>> {
        let options = options.unwrap_or_default();
        self.check_participants(&options.participants)?;
        let retention_policy = options.retention_policy.as_ref();
        self.check_thread(options.metadata.as_ref(), retention_policy)?;
        let id = match options.repeatability_request_id {
            Some(id) => id,
            None => new_id()?,
        };
        let url = self.pipeline.url(["chat", "threads"])?;
        let call = Call::new("create_thread", Method::POST, url)
            .harmless()
            .header(REPEATABILITY_REQUEST_ID, &id)?
            .json(&CreateChatThreadRequest {
                topic,
                participants: &options.participants,
                metadata: options.metadata.as_ref(),
                retention_policy,
            })?
            .timeout(options.timeout);
        self.pipeline.model(call).await
    }

    /// Lists the threads of this user, the one with the newest message first.
    ///
    /// ```no_run
    /// use futures_util::TryStreamExt as _;
    ///
    /// # use cavansite_client::{ChatClient, Result};
    /// # async fn example(chat_client: ChatClient) -> Result<()> {
    /// let mut threads = chat_client.list_threads(None)?;
    /// while let Some(thread) = threads.try_next().await? {
    ///     println!("{}: {}", thread.id, thread.topic);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn list_threads(
        &self,
        options: Option<ListByTimeOptions>,
    ) -> Result<Pager<ChatThreadItem>> {
        self.list_by_time("list_threads", &["chat", "threads"], options)
    }

    /// Deletes a thread for all who take part. One that is deleted already is no error.
    ///
    /// ```no_run
    /// # use cavansite_client::{ChatClient, Result};
    /// # async fn example(chat_client: ChatClient) -> Result<()> {
    /// chat_client.delete_thread("19:0123456789abcdef@thread.v2", None).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn delete_thread(
        &self,
        thread_id: &str,
        options: Option<MethodOptions>,
    ) -> Result<Response<()>> {
        let url = self.pipeline.url(["chat", "threads", thread_id])?;
        let call = Call::new("delete_thread", Method::DELETE, url)
            .timeout(options.unwrap_or_default().timeout);
        self.pipeline.done(call).await
    }

    /// A list of threads or messages.
    pub(crate) fn list_by_time<T>(
        &self,
        operation: &'static str,
        path: &[&str],
        options: Option<ListByTimeOptions>,
    ) -> Result<Pager<T>> {
        let options = options.unwrap_or_default();
        let start_time = options.start_time.map(|time| time.to_string());
        let parameters = [("startTime", start_time)];
        let (size, place) = (options.max_page_size, options.continuation);
        let first = self.first_page(path, size, parameters, place)?;
        let pipeline = self.pipeline.clone();
        Ok(Pager::new(pipeline, operation, first, options.timeout))
    }

    /// The address of the page where a list begins.
    pub(crate) fn first_page(
        &self,
        path: &[&str],
        max_page_size: Option<u32>,
        [(name, value)]: [(&str, Option<String>); 1],
        continuation: Option<String>,
    ) -> Result<Url> {
        let mut url = self.pipeline.url(path.iter().copied())?;
        if let Some(continuation) = continuation {
            return self
                .pipeline
                .link(&url, &continuation)
                .map_err(|_| Error::input("the continuation is none of this endpoint"));
        }
        let size = max_page_size.map(|size| size.to_string());
        for (name, value) in [("maxPageSize", size), (name, value)] {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(name, &value);
            }
        }
        Ok(url)
    }

    /// Refuses what this version does not have of a thread.
    pub(crate) fn check_thread(
        &self,
        metadata: Option<&BTreeMap<String, String>>,
        retention_policy: Option<&ChatRetentionPolicy>,
    ) -> Result<()> {
        let (metadata, retention) = (metadata.is_some(), retention_policy.is_some());
        let version = self.version;
        version.check(Feature::ThreadMetadata, "metadata of threads", metadata)?;
        version.check(Feature::RetentionPolicy, "retention policy", retention)?;
        if retention_policy == Some(&ChatRetentionPolicy::UnknownValue) {
            return Err(Error::input("the retention policy is none"));
        }
        Ok(())
    }

    /// Refuses what this version does not have of people.
    pub(crate) fn check_participants(&self, participants: &[ChatParticipant]) -> Result<()> {
        let metadata = participants.iter().any(|one| one.metadata.is_some());
        let feature = Feature::ParticipantMetadata;
        self.version
            .check(feature, "metadata of participants", metadata)?;
        participants
            .iter()
            .try_for_each(|one| self.check_identifier(&one.identifier))
    }

    /// Refuses nobody, and apps where the version does not know them.
    pub(crate) fn check_identifier(&self, somebody: &CommunicationIdentifier) -> Result<()> {
        if somebody.raw_id().is_empty() {
            return Err(Error::input("the id of a participant is empty"));
        }
        if matches!(somebody, CommunicationIdentifier::MicrosoftTeamsApp(_))
            && self.version < ChatApiVersion::V2024_03_07
        {
            return Err(Error::input(format!(
                "api-version {} has no apps as participants, which came with 2024-03-07",
                self.version.as_str()
            )));
        }
        Ok(())
    }
}
