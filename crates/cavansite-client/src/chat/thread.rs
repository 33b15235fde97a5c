//! The client of one thread.

use std::sync::Arc;

use cavansite_protocol::chat::since::Feature;
use http::Method;
use serde::Serialize;

use crate::models::{
    AddChatParticipantsRequest, AddChatParticipantsResult, ChatMessage, ChatMessageReadReceipt,
    ChatParticipant, ChatThreadProperties, CommunicationIdentifier, SendChatMessageRequest,
    SendChatMessageResult, SendReadReceiptRequest, SendTypingNotificationRequest,
    UpdateChatMessageRequest, UpdateChatThreadRequest,
};
use crate::pipeline::Call;
use crate::{
    ChatClient, ListBySkipOptions, ListByTimeOptions, MethodOptions, Pager, Response, Result,
    SendChatMessageOptions, SendTypingNotificationOptions, UpdateChatMessageOptions,
    UpdateChatThreadOptions,
};

/// Acts for a user in one thread: messages, people, receipts, typing.
///
/// It is a cheap handle, as [`ChatClient`] is, from which it comes: see
/// [`ChatClient::thread_client`].
#[derive(Debug, Clone)]
pub struct ChatThreadClient {
    client: ChatClient,
    thread_id: Arc<str>,
}

impl ChatThreadClient {
    pub(crate) fn new(client: ChatClient, thread_id: String) -> Self {
        Self {
            client,
            thread_id: thread_id.into(),
        }
    }

    /// The id of the thread.
    ///
    /// ```no_run
    /// # fn example(thread: cavansite_client::ChatThreadClient) {
    /// println!("{}", thread.thread_id());
    /// # }
    /// ```
    pub fn thread_id(&self) -> &str {
        &self.thread_id
    }

    /// Topic, creator and further properties of the thread.
    ///
    /// ```no_run
    /// # use cavansite_client::{ChatThreadClient, Result};
    /// # async fn example(thread: ChatThreadClient) -> Result<()> {
    /// let properties = thread.get_properties(None).await?.into_model();
    /// println!("{} since {}", properties.topic, properties.created_on);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn get_properties(
        &self,
        options: Option<MethodOptions>,
    ) -> Result<Response<ChatThreadProperties>> {
        let call = self.call("get_properties", Method::GET, &[])?;
        let call = call.timeout(options.unwrap_or_default().timeout);
        self.client.pipeline.model(call).await
    }

    /// Sets the topic of the thread, which all who take part are told.
    ///
    /// ```no_run
    /// # use cavansite_client::{ChatThreadClient, Result};
    /// # async fn example(thread: ChatThreadClient) -> Result<()> {
    /// thread.update_topic("dinner", None).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn update_topic(
        &self,
        topic: &str,
        options: Option<MethodOptions>,
    ) -> Result<Response<()>> {
        let options = UpdateChatThreadOptions {
            topic: Some(topic.to_owned()),
            timeout: options.unwrap_or_default().timeout,
            ..UpdateChatThreadOptions::default()
        };
        self.update_properties(Some(options)).await
    }

    /// Sets topic, metadata and retention of the thread; what is not named stays.
    ///
    /// ```no_run
    /// use std::collections::BTreeMap;
    /// use cavansite_client::UpdateChatThreadOptions;
    ///
    /// # use cavansite_client::{ChatThreadClient, Result};
    /// # async fn example(thread: ChatThreadClient) -> Result<()> {
    /// let metadata = BTreeMap::from([("ticket".to_owned(), "4711".to_owned())]);
    /// let options = UpdateChatThreadOptions::default().with_metadata(metadata);
    /// thread.update_properties(Some(options)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn update_properties(
        &self,
        options: Option<UpdateChatThreadOptions>,
    ) -> Result<Response<()>> {
        let options = options.unwrap_or_default();
        let (metadata, retention_policy) =
            (options.metadata.as_ref(), options.retention_policy.as_ref());
        self.client.check_thread(metadata, retention_policy)?;
        let body = UpdateChatThreadRequest {
            topic: options.topic.as_deref(),
            metadata,
            retention_policy,
        };
        let call = self.call("update_properties", Method::PATCH, &[])?;
        let call = call.json(&body)?.timeout(options.timeout);
        self.client.pipeline.done(call).await
    }

    /// Sends a message. Its id comes back.
    ///
    /// It is repeated only where the service cannot have taken it, so that it is not sent twice: an
    /// error of kind [`Io`](crate::ErrorKind::Io) or [`Timeout`](crate::ErrorKind::Timeout) leaves
    /// open whether it was.
    ///
    /// ```no_run
    /// use cavansite_client::SendChatMessageOptions;
    ///
    /// # use cavansite_client::{ChatThreadClient, Result};
    /// # async fn example(thread: ChatThreadClient) -> Result<()> {
    /// let options = SendChatMessageOptions::default().with_sender_display_name("Ada");
    /// let sent = thread.send_message("hello world", Some(options)).await?.into_model();
    /// println!("message {}", sent.id);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn send_message(
        &self,
        content: &str,
        options: Option<SendChatMessageOptions>,
    ) -> Result<Response<SendChatMessageResult>> {
        let options = options.unwrap_or_default();
        self.check_message_metadata(options.metadata.is_some())?;
        let body = SendChatMessageRequest {
            content,
            sender_display_name: options.sender_display_name.as_deref(),
            message_type: options.message_type.as_ref(),
            metadata: options.metadata.as_ref(),
        };
        let call = self.call("send_message", Method::POST, &["messages"])?;
        let call = call.json(&body)?.timeout(options.timeout);
        self.client.pipeline.model(call).await
    }

    /// A message in its latest state.
    ///
    /// ```no_run
    /// # use cavansite_client::{ChatThreadClient, Result};
    /// # async fn example(thread: ChatThreadClient) -> Result<()> {
    /// let message = thread.get_message("1605055118692", None).await?.into_model();
    /// println!("{:?}", message.content.message);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn get_message(
        &self,
        message_id: &str,
        options: Option<MethodOptions>,
    ) -> Result<Response<ChatMessage>> {
        let call = self.call("get_message", Method::GET, &["messages", message_id])?;
        let call = call.timeout(options.unwrap_or_default().timeout);
        self.client.pipeline.model(call).await
    }

    /// Lists the messages, each in its latest state, the last changed first; what the service says
    /// of topic and people is among them.
    ///
    /// ```no_run
    /// use futures_util::TryStreamExt as _;
    ///
    /// # use cavansite_client::{ChatThreadClient, Result};
    /// # async fn example(thread: ChatThreadClient) -> Result<()> {
    /// let mut messages = thread.list_messages(None)?;
    /// while let Some(message) = messages.try_next().await? {
    ///     println!("{}: {:?}", message.message_type, message.content.message);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn list_messages(&self, options: Option<ListByTimeOptions>) -> Result<Pager<ChatMessage>> {
        let path = ["chat", "threads", &self.thread_id, "messages"];
        self.client.list_by_time("list_messages", &path, options)
    }

    /// Edits a message of this user; what is not named stays.
    ///
    /// ```no_run
    /// use cavansite_client::UpdateChatMessageOptions;
    ///
    /// # use cavansite_client::{ChatThreadClient, Result};
    /// # async fn example(thread: ChatThreadClient) -> Result<()> {
    /// let options = UpdateChatMessageOptions::default().with_content("hello, world");
    /// thread.update_message("1605055118692", Some(options)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn update_message(
        &self,
        message_id: &str,
        options: Option<UpdateChatMessageOptions>,
    ) -> Result<Response<()>> {
        let options = options.unwrap_or_default();
        self.check_message_metadata(options.metadata.is_some())?;
        let body = UpdateChatMessageRequest {
            content: options.content.as_deref(),
            metadata: options.metadata.as_ref(),
        };
        let path = ["messages", message_id];
        let call = self.call("update_message", Method::PATCH, &path)?;
        let call = call.json(&body)?.timeout(options.timeout);
        self.client.pipeline.done(call).await
    }

    /// Deletes a message of this user. It stays in the list, without content and with
    /// [`deleted_on`](ChatMessage::deleted_on).
    ///
    /// ```no_run
    /// # use cavansite_client::{ChatThreadClient, Result};
    /// # async fn example(thread: ChatThreadClient) -> Result<()> {
    /// thread.delete_message("1605055118692", None).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn delete_message(
        &self,
        message_id: &str,
        options: Option<MethodOptions>,
    ) -> Result<Response<()>> {
        let path = ["messages", message_id];
        let call = self.call("delete_message", Method::DELETE, &path)?;
        let call = call.timeout(options.unwrap_or_default().timeout);
        self.client.pipeline.done(call).await
    }

    /// Lists who takes part.
    ///
    /// ```no_run
    /// use futures_util::TryStreamExt as _;
    ///
    /// # use cavansite_client::{ChatThreadClient, Result};
    /// # async fn example(thread: ChatThreadClient) -> Result<()> {
    /// let people: Vec<_> = thread.list_participants(None)?.try_collect().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn list_participants(
        &self,
        options: Option<ListBySkipOptions>,
    ) -> Result<Pager<ChatParticipant>> {
        self.list_by_skip("list_participants", "participants", options)
    }

    /// Adds people, 200 at most in a call. Who takes part already stays as they are.
    ///
    /// Look at [`invalid_participants`](AddChatParticipantsResult::invalid_participants): people
    /// who could not be added do not make it fail.
    ///
    /// ```no_run
    /// use cavansite_client::models::{ChatParticipant, CommunicationUserIdentifier};
    ///
    /// # async fn example(
    /// #     thread: cavansite_client::ChatThreadClient,
    /// #     cleo: CommunicationUserIdentifier,
    /// # ) -> cavansite_client::Result<()> {
    /// let cleo = ChatParticipant::new(cleo).with_display_name("Cleo");
    /// let added = thread.add_participants(&[cleo], None).await?.into_model();
    /// assert!(added.invalid_participants.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn add_participants(
        &self,
        participants: &[ChatParticipant],
        options: Option<MethodOptions>,
    ) -> Result<Response<AddChatParticipantsResult>> {
        self.client.check_participants(participants)?;
        let body = AddChatParticipantsRequest { participants };
        let call = self.post("add_participants", &["participants", ":add"], &body)?;
        let call = call.harmless().timeout(options.unwrap_or_default().timeout);
        self.client.pipeline.model(call).await
    }

    /// Removes somebody, who may be this user. Somebody who does not take part is no error.
    ///
    /// ```no_run
    /// # async fn example(
    /// #     thread: cavansite_client::ChatThreadClient,
    /// #     cleo: cavansite_client::models::CommunicationUserIdentifier,
    /// # ) -> cavansite_client::Result<()> {
    /// thread.remove_participant(&cleo, None).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn remove_participant(
        &self,
        participant: impl Into<CommunicationIdentifier>,
        options: Option<MethodOptions>,
    ) -> Result<Response<()>> {
        let participant = participant.into();
        self.client.check_identifier(&participant)?;
        let path = ["participants", ":remove"];
        let call = self.post("remove_participant", &path, &participant)?;
        let call = call.harmless().timeout(options.unwrap_or_default().timeout);
        self.client.pipeline.done(call).await
    }

    /// Says that this user has read up to and including a message.
    ///
    /// ```no_run
    /// # use cavansite_client::{ChatThreadClient, Result};
    /// # async fn example(thread: ChatThreadClient) -> Result<()> {
    /// thread.send_read_receipt("1605055118692", None).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn send_read_receipt(
        &self,
        message_id: &str,
        options: Option<MethodOptions>,
    ) -> Result<Response<()>> {
        let body = SendReadReceiptRequest {
            chat_message_id: message_id,
        };
        let call = self.post("send_read_receipt", &["readReceipts"], &body)?;
        let call = call.harmless().timeout(options.unwrap_or_default().timeout);
        self.client.pipeline.done(call).await
    }

    /// Lists who has read up to where, the latest for each.
    ///
    /// ```no_run
    /// use futures_util::TryStreamExt as _;
    ///
    /// # use cavansite_client::{ChatThreadClient, Result};
    /// # async fn example(thread: ChatThreadClient) -> Result<()> {
    /// let mut receipts = thread.list_read_receipts(None)?;
    /// while let Some(receipt) = receipts.try_next().await? {
    ///     println!("{} at {}", receipt.sender.raw_id(), receipt.read_on);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn list_read_receipts(
        &self,
        options: Option<ListBySkipOptions>,
    ) -> Result<Pager<ChatMessageReadReceipt>> {
        self.list_by_skip("list_read_receipts", "readReceipts", options)
    }

    /// Says that this user is typing. Nothing is stored, so it is not repeated when its answer is
    /// lost.
    ///
    /// ```no_run
    /// # use cavansite_client::{ChatThreadClient, Result};
    /// # async fn example(thread: ChatThreadClient) -> Result<()> {
    /// thread.send_typing_notification(None).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn send_typing_notification(
        &self,
        options: Option<SendTypingNotificationOptions>,
    ) -> Result<Response<()>> {
        let options = options.unwrap_or_default();
        let (version, name) = (self.client.version, options.sender_display_name.as_deref());
        let feature = Feature::TypingBody;
        version.check(feature, "name in typing notifications", name.is_some())?;
        let mut call = self.call("send_typing_notification", Method::POST, &["typing"])?;
        if version.has(feature) {
            call = call.json(&SendTypingNotificationRequest {
                sender_display_name: name,
            })?;
        }
        self.client
            .pipeline
            .done(call.timeout(options.timeout))
            .await
    }

    /// A request below this thread.
    fn call(&self, operation: &'static str, method: Method, below: &[&str]) -> Result<Call> {
        let path = ["chat", "threads", &self.thread_id];
        let url = self
            .client
            .pipeline
            .url(path.into_iter().chain(below.iter().copied()))?;
        Ok(Call::new(operation, method, url))
    }

    /// A POST below this thread with a body.
    fn post(&self, operation: &'static str, below: &[&str], body: &impl Serialize) -> Result<Call> {
        self.call(operation, Method::POST, below)?.json(body)
    }

    fn check_message_metadata(&self, given: bool) -> Result<()> {
        let feature = Feature::MessageMetadata;
        self.client
            .version
            .check(feature, "metadata of messages", given)
    }

    fn list_by_skip<T>(
        &self,
        operation: &'static str,
        what: &str,
        options: Option<ListBySkipOptions>,
    ) -> Result<Pager<T>> {
        let options = options.unwrap_or_default();
        let parameters = [("skip", options.skip.map(|skip| skip.to_string()))];
        let (size, place) = (options.max_page_size, options.continuation);
        let path = ["chat", "threads", &self.thread_id, what];
        let first = self.client.first_page(&path, size, parameters, place)?;
        let pipeline = self.client.pipeline.clone();
        Ok(Pager::new(pipeline, operation, first, options.timeout))
    }
}
