//! The quickstart page, step by step: two users, a thread, messages, a third who comes and goes.
//!
//! With an emulator on this machine: `eval "$(cavansite env)"`, then
//! `cargo run -p cavansite-client --example quickstart`.

use std::sync::Arc;

use cavansite_client::models::{ChatParticipant, TokenScope};
use cavansite_client::{
    AccessToken, ChatClient, CommunicationIdentityClient, CreateChatThreadOptions, Result,
    SendChatMessageOptions, StaticTokenCredential, Timestamp, UpdateChatMessageOptions,
};
use futures_util::TryStreamExt as _;

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    // Create users and tokens.
    let connection_string = std::env::var("COMMUNICATION_SERVICES_CONNECTION_STRING")?;
    let identity_client =
        CommunicationIdentityClient::from_connection_string(&connection_string, None)?;
    let scopes = [TokenScope::Chat];
    let created = identity_client.create_user_and_token(&scopes, None);
    let ada = created.await?.into_model();
    let created = identity_client.create_user_and_token(&scopes, None);
    let ben = created.await?.into_model();

    // Create a chat client.
    let endpoint = std::env::var("COMMUNICATION_SERVICES_ENDPOINT")?;
    let chat_client = client(&endpoint, ada.access_token)?;

    // Start a chat thread. Ben sees what is said from now on.
    let ben = ChatParticipant::new(ben.user)
        .with_display_name("Ben")
        .with_share_history_time(Timestamp::now());
    let options = CreateChatThreadOptions::default().with_participant(ben);
    let result = chat_client.create_thread("test topic", Some(options));
    let result = result.await?.into_model();
    assert!(result.invalid_participants.is_empty());
    let thread_id = result.chat_thread.id;
    say(&format!("created {thread_id}"));

    // Get a client of the thread.
    let thread = chat_client.thread_client(&*thread_id);
    let properties = thread.get_properties(None).await?.into_model();
    assert_eq!(properties.topic, "test topic");

    // Send a message.
    let options = SendChatMessageOptions::default().with_sender_display_name("Ada");
    let sent = thread.send_message("hello world", Some(options)).await?;
    let sent = sent.into_model();
    say(&format!("sent {}", sent.id));

    // Receive messages: the newest state of each, the last changed first.
    let messages: Vec<_> = thread.list_messages(None)?.try_collect().await?;
    for message in &messages {
        let text = message.content.message.as_deref().unwrap_or_default();
        say(&format!("{} {}: {text}", message.id, message.message_type));
    }
    assert_eq!(messages[0].id, sent.id);
    let edit = UpdateChatMessageOptions::default().with_content("hello, world");
    thread.update_message(&sent.id, Some(edit)).await?;
    let edited = thread.get_message(&sent.id, None).await?.into_model();
    assert!(edited.edited_on.is_some());

    // Add a user to the thread.
    let created = identity_client.create_user_and_token(&scopes, None);
    let cleo = created.await?.into_model();
    let participant = ChatParticipant::new(&cleo.user).with_display_name("Cleo");
    let added = thread.add_participants(&[participant], None).await?;
    assert!(added.into_model().invalid_participants.is_empty());
    let seen_by_cleo = client(&endpoint, cleo.access_token)?.thread_client(&*thread_id);
    let messages: Vec<_> = seen_by_cleo.list_messages(None)?.try_collect().await?;
    say(&format!("Cleo sees {} messages", messages.len()));

    // Remove a user from the thread.
    thread.remove_participant(&cleo.user, None).await?;
    let refused = seen_by_cleo.send_message("still here?", None).await;
    let error = refused.err().ok_or("who was removed cannot send")?;
    assert_eq!(error.status(), Some(403));
    say(&format!("Cleo may not send any more: {error}"));
    Ok(())
}

/// A chat client for the bearer of that token.
fn client(endpoint: &str, token: AccessToken) -> Result<ChatClient> {
    let credential = Arc::new(StaticTokenCredential::from(token));
    ChatClient::new(endpoint, credential, None)
}

#[expect(clippy::print_stdout, reason = "an example tells what it does")]
fn say(text: &str) {
    println!("{text}");
}
