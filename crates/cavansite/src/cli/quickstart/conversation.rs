//! What Ada, Ben and Cleo say to each other.

use std::sync::Arc;

use cavansite_client::models::{ChatParticipant, CommunicationUserIdentifier, TokenScope};
use cavansite_client::{
    ChatClient, ChatClientOptions, ChatThreadClient, CommunicationIdentityClient,
    CreateChatThreadOptions, Secret, StaticTokenCredential,
};
use futures_util::TryStreamExt as _;

use super::check;
use super::messages::{list_messages, list_threads, send_messages, send_receipts, update_message};
use super::narrator::{Narrator, tell};
use crate::cli::client::Connection;
use crate::cli::{Failure, say};

/// The conversation, and what has been made for it so far.
pub(super) struct Conversation {
    endpoint: String,
    options: ChatClientOptions,
    identity_client: CommunicationIdentityClient,
    users: Vec<CommunicationUserIdentifier>,
    thread: Option<(ChatClient, String)>,
}

impl Conversation {
    pub(super) fn new(connection: &Connection) -> Result<Self, Failure> {
        let mut options = ChatClientOptions::default();
        options.client = connection.options.clone();
        Ok(Self {
            endpoint: connection.endpoint.clone(),
            options,
            identity_client: connection.identity_client()?,
            users: Vec::new(),
            thread: None,
        })
    }

    /// All of it, in the order of the page.
    pub(super) async fn hold(&mut self, n: &mut Narrator) -> Result<(), Failure> {
        let ada = self.create_ada(n).await?;
        let (ben, ben_client) = self.create_ben(n).await?;
        let thread = self.create_thread(n, &ada, ben).await?;
        let ben_thread = ben_client.thread_client(thread.thread_id());
        list_threads(n, &ben_client, thread.thread_id()).await?;
        let hello = send_messages(n, &thread, &ben_thread).await?;
        list_messages(n, &thread, &hello).await?;
        update_message(n, &thread, &hello).await?;
        send_receipts(n, &thread, &ben_thread, &hello).await?;
        self.add_and_remove(n, &thread).await
    }

    async fn create_ada(&mut self, n: &mut Narrator) -> Result<ChatClient, Failure> {
        n.step(
            "Create users and tokens",
            "A user is an identity; a token with the scope chat lets its bearer chat as that\n\
             user. Both come from the identity client, which signs with the server's access key.",
        );
        let identity_client = &self.identity_client;
        tell!(n, let scopes = [TokenScope::Chat]);
        tell!(n, let ada = identity_client.create_user_and_token(&scopes, None)
            .await?.into_model());
        self.users.push(ada.user.clone());
        n.answer(format!(
            "{} is Ada, with a token until {}",
            ada.user.id, ada.access_token.expires_on
        ));

        n.step(
            "Create a chat client",
            "It acts for one user, the one of its token. Nothing is sent yet.",
        );
        let (endpoint, options) = (&self.endpoint, Some(self.options.clone()));
        let ada_token = ada.access_token.token;
        tell!(n, let credential = Arc::new(StaticTokenCredential::new(ada_token)?));
        tell!(n, let chat_client = ChatClient::new(endpoint, credential, options)?);
        n.answer("a client for Ada");
        Ok(chat_client)
    }

    async fn create_ben(
        &mut self,
        n: &mut Narrator,
    ) -> Result<(CommunicationUserIdentifier, ChatClient), Failure> {
        n.step(
            "Create a second user",
            "The user and the token in two requests, as the page of 2020 has it.",
        );
        let identity_client = &self.identity_client;
        tell!(n, let ben = identity_client.create_user(None).await?.into_model());
        self.users.push(ben.clone());
        n.answer(format!("{} is Ben", ben.id));
        let scopes = [TokenScope::Chat];
        tell!(n, let issued = identity_client.get_token(&ben, &scopes, None).await?.into_model());
        n.answer(format!("a token until {}", issued.expires_on));
        let client = self.client_of(issued.token)?;
        Ok((ben, client))
    }

    fn client_of(&self, token: Secret) -> Result<ChatClient, Failure> {
        let credential = Arc::new(StaticTokenCredential::new(token)?);
        let options = Some(self.options.clone());
        Ok(ChatClient::new(&self.endpoint, credential, options)?)
    }

    async fn create_thread(
        &mut self,
        n: &mut Narrator,
        chat_client: &ChatClient,
        ben: CommunicationUserIdentifier,
    ) -> Result<ChatThreadClient, Failure> {
        n.step(
            "Start a chat thread",
            "Whoever creates a thread takes part in it; others are named.",
        );
        tell!(n, let ben = ChatParticipant::new(ben).with_display_name("Ben"));
        tell!(n, let options = CreateChatThreadOptions::default().with_participant(ben));
        tell!(n, let created = chat_client.create_thread("test topic", Some(options))
            .await?.into_model());
        let id = created.chat_thread.id;
        self.thread = Some((chat_client.clone(), id.clone()));
        n.answer(format!("thread {id}"));
        check(
            created.invalid_participants.is_empty(),
            "Ben could not be added to the thread",
        )?;

        n.step(
            "Get a client of the thread",
            "It does what goes on in one thread. It is made from the id alone.",
        );
        tell!(n, let thread = chat_client.thread_client(id));
        tell!(n, let properties = thread.get_properties(None).await?.into_model());
        n.answer(format!(
            "topic {:?}, created on {}",
            properties.topic, properties.created_on
        ));
        Ok(thread)
    }

    async fn add_and_remove(
        &mut self,
        n: &mut Narrator,
        thread: &ChatThreadClient,
    ) -> Result<(), Failure> {
        n.step(
            "Add a user to the thread",
            "Without a share_history_time Cleo sees all that was said before.",
        );
        let (identity_client, scopes) = (&self.identity_client, [TokenScope::Chat]);
        tell!(n, let cleo = identity_client.create_user_and_token(&scopes, None)
            .await?.into_model());
        let (cleo, token) = (cleo.user, cleo.access_token.token);
        self.users.push(cleo.clone());
        n.answer(format!("{} is Cleo", cleo.id));
        tell!(n, let participants = [ChatParticipant::new(cleo.clone()).with_display_name("Cleo")]);
        tell!(n, let added = thread.add_participants(&participants, None).await?.into_model());
        let refused = added.invalid_participants.len();
        n.answer(format!("{refused} of them refused"));
        check(refused == 0, "Cleo could not be added to the thread")?;
        tell!(n, let people = thread.list_participants(None)?.try_collect::<Vec<_>>().await?);
        n.answer(format!("{} participants", people.len()));
        let cleo_thread = self.client_of(token)?.thread_client(thread.thread_id());
        tell!(n, let messages = cleo_thread.list_messages(None)?.try_collect::<Vec<_>>().await?);
        n.answer(format!("Cleo sees {} messages", messages.len()));

        n.step(
            "Remove a user from the thread",
            "Who was removed can still read what was said until then, and writes no more.",
        );
        tell!(n, thread.remove_participant(cleo, None).await?);
        n.answer("done");
        tell!(n, let refused = cleo_thread.send_message("still here?", None).await);
        match refused {
            Err(error) if error.status() == Some(403) => n.answer(error),
            Err(error) => return Err(error.into()),
            Ok(_) => check(false, "the server took a message of who was removed")?,
        }
        Ok(())
    }

    /// Deletes what was made, each thing whether or not the others could be.
    pub(super) async fn clean_up(&mut self, n: &mut Narrator) -> Result<(), Failure> {
        let (thread, users) = (self.thread.take(), std::mem::take(&mut self.users));
        if users.is_empty() {
            return Ok(());
        }
        n.step("Clean up", "With --keep, thread and users would stay.");
        let mut outcome = Ok(());
        if let Some((chat_client, id)) = thread {
            let deleted = async {
                tell!(n, chat_client.delete_thread(&id, None).await?);
                Ok::<_, Failure>(())
            };
            outcome = outcome.and(deleted.await);
        }
        let identity_client = &self.identity_client;
        for user in users {
            let deleted = async {
                tell!(n, identity_client.delete_user(&user, None).await?);
                Ok::<_, Failure>(())
            };
            outcome = outcome.and(deleted.await);
        }
        if outcome.is_ok() {
            n.answer("nothing of it is left");
        }
        outcome
    }

    /// Says what stays, and how to go on with it.
    pub(super) fn leave(&self) {
        say("\nWhat stays:");
        if let Some((_, id)) = &self.thread {
            say(format!("   thread {id}"));
        }
        for user in &self.users {
            say(format!("   user {}", user.id));
        }
        say("A token for one of them: cavansite token issue --user ID");
    }
}
