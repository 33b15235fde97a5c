//! Prints what happens in a user's threads as lines of JSON, in the order of the stream, until
//! standard input ends. Other programs can read that; the conformance suite `order` compares it
//! with what the JavaScript SDK hears.
//!
//! ```sh
//! eval "$(cavansite env)"
//! ACCESS_TOKEN=eyJ… cargo run -p cavansite-client --example listen
//! ```

use std::error::Error;
use std::io::{Read as _, Write as _};
use std::sync::Arc;

use cavansite_client::realtime::ChatEvent;
use cavansite_client::{ChatClient, StaticTokenCredential};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let endpoint = std::env::var("COMMUNICATION_SERVICES_ENDPOINT")?;
    let credential = StaticTokenCredential::new(std::env::var("ACCESS_TOKEN")?)?;
    let client = ChatClient::new(&endpoint, Arc::new(credential), None)?;
    let (connection, mut events) = client.connect_realtime(None).await?;
    let mut input = tokio::task::spawn_blocking(|| {
        let mut rest = Vec::new();
        std::io::stdin().read_to_end(&mut rest)
    });
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            _ = &mut input => break,
        };
        let Some(event) = event else { break };
        writeln!(std::io::stdout(), "{}", line(&event?))?;
    }
    connection.close().await;
    Ok(())
}

/// The event's name, as the JavaScript SDK has it, with what tells it from others.
fn line(event: &ChatEvent) -> Value {
    let (name, id, version) = match event {
        ChatEvent::MessageReceived(e) => ("chatMessageReceived", Some(&e.id), Some(&e.version)),
        ChatEvent::MessageEdited(e) => ("chatMessageEdited", Some(&e.id), Some(&e.version)),
        ChatEvent::MessageDeleted(e) => ("chatMessageDeleted", Some(&e.id), Some(&e.version)),
        ChatEvent::TypingIndicatorReceived(e) => {
            ("typingIndicatorReceived", None, Some(&e.version))
        }
        ChatEvent::ReadReceiptReceived(e) => {
            ("readReceiptReceived", Some(&e.chat_message_id), None)
        }
        ChatEvent::ThreadCreated(e) => ("chatThreadCreated", None, Some(&e.version)),
        ChatEvent::ThreadPropertiesUpdated(e) => {
            ("chatThreadPropertiesUpdated", None, Some(&e.version))
        }
        ChatEvent::ThreadDeleted(e) => ("chatThreadDeleted", None, Some(&e.version)),
        ChatEvent::ParticipantsAdded(e) => ("participantsAdded", None, Some(&e.version)),
        ChatEvent::ParticipantsRemoved(e) => ("participantsRemoved", None, Some(&e.version)),
        ChatEvent::Connected => ("connected", None, None),
        other => return json!({ "event": format!("{other:?}") }),
    };
    json!({ "event": name, "threadId": event.thread_id(), "id": id, "version": version })
}
