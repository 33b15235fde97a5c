//! Follows a thread in real time, through losses of the connection: each message once.
//!
//! Wants the variables that `cavansite dev` (or `cavansite env`) exports: the connection string,
//! and `SSL_CERT_FILE` for the emulator's certificate authority. It creates two users; one talks,
//! the other listens.
//!
//! ```sh
//! eval "$(cavansite env)"
//! cargo run -p cavansite-client --example realtime
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::sync::Arc;

use cavansite_client::models::{ChatParticipant, TokenScope};
use cavansite_client::realtime::{ChatEvent, RealtimeEvents};
use cavansite_client::{
    ChatClient, ChatThreadClient, CommunicationIdentityClient, CreateChatThreadOptions,
    ListByTimeOptions, StaticTokenCredential, Timestamp,
};
use futures_util::TryStreamExt as _;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let connection_string = std::env::var("COMMUNICATION_SERVICES_CONNECTION_STRING")?;
    let endpoint = std::env::var("COMMUNICATION_SERVICES_ENDPOINT")?;
    let identity = CommunicationIdentityClient::from_connection_string(&connection_string, None)?;

    // In an application the tokens come from your server; see the example `token_refresh`.
    let mut people = Vec::new();
    for _ in 0..2 {
        let created = identity.create_user_and_token(&[TokenScope::Chat], None);
        let created = created.await?.into_model();
        let credential = Arc::new(StaticTokenCredential::from(created.access_token));
        people.push((created.user, ChatClient::new(&endpoint, credential, None)?));
    }
    let [(_, ada), (ben_id, ben)] = &people[..] else {
        return Err("there are two".into());
    };

    // Connected before anything happens, so that nothing is missed.
    let (connection, events) = ben.connect_realtime(None).await?;
    let listening = tokio::spawn(listen(ben.clone(), events));

    let ben_takes_part = ChatParticipant::new(ben_id).with_display_name("Ben");
    let options = CreateChatThreadOptions::default().with_participant(ben_takes_part);
    let created = ada.create_thread("lunch", Some(options)).await?;
    let thread = ada.thread_client(created.into_model().chat_thread.id);
    thread.send_typing_notification(None).await?;
    for text in ["Hello Ben!", "Lunch?", "At noon"] {
        thread.send_message(text, None).await?;
    }
    thread.update_topic("lunch at noon", None).await?;
    thread.remove_participant(ben_id, None).await?;

    listening.await??;
    // The server is told that this client will not come back.
    connection.close().await;
    Ok(())
}

/// Prints what happens until the user is out of the thread.
async fn listen(
    chat_client: ChatClient,
    mut events: RealtimeEvents,
) -> cavansite_client::Result<()> {
    let mut thread = None;
    while let Some(event) = events.next().await {
        let event = event?;
        if let ChatEvent::ThreadCreated(created) = &event {
            thread = Some(chat_client.thread_client(&*created.thread_id));
        }
        let missed_since = match &event {
            ChatEvent::Reconnected { since } | ChatEvent::Lagged { since, .. } => Some(*since),
            _ => None,
        };
        show(&event);
        if let (Some(since), Some(thread)) = (missed_since, &thread) {
            catch_up(thread, since, &mut events).await?;
        }
        if matches!(event, ChatEvent::ParticipantsRemoved(_)) {
            break;
        }
    }
    Ok(())
}

/// Shows what the stream may have missed since then.
async fn catch_up(
    thread: &ChatThreadClient,
    since: Option<Timestamp>,
    events: &mut RealtimeEvents,
) -> cavansite_client::Result<()> {
    let mut options = ListByTimeOptions::default();
    options.start_time = since;
    let messages: Vec<_> = thread.list_messages(Some(options))?.try_collect().await?;
    // Lists begin with the newest.
    for message in messages.iter().rev() {
        if let Some(event) = events.missed(thread.thread_id(), message) {
            show(&event);
        }
    }
    Ok(())
}

fn show(event: &ChatEvent) {
    match event {
        ChatEvent::MessageReceived(event) => println!("message: {}", event.message),
        ChatEvent::TypingIndicatorReceived(_) => println!("somebody is typing"),
        ChatEvent::ThreadCreated(event) => println!("thread: {}", event.properties.topic),
        ChatEvent::ThreadPropertiesUpdated(event) => println!("topic: {}", event.properties.topic),
        ChatEvent::ParticipantsRemoved(_) => println!("somebody was removed"),
        ChatEvent::Disconnected { reason } => println!("disconnected: {reason}"),
        other => println!("{other:?}"),
    }
}
