//! A credential that gets new tokens from a callback: here straight from the identity client; in an
//! app, from a server of yours that knows who asks.
//!
//! With an emulator on this machine: `eval "$(cavansite env)"`, then
//! `cargo run -p cavansite-client --example token_refresh`.

use std::sync::Arc;

use cavansite_client::models::TokenScope;
use cavansite_client::{
    ChatClient, CommunicationIdentityClient, RefreshingTokenCredential,
    RefreshingTokenCredentialOptions,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let connection_string = std::env::var("COMMUNICATION_SERVICES_CONNECTION_STRING")?;
    let identity_client =
        CommunicationIdentityClient::from_connection_string(&connection_string, None)?;
    let user = identity_client.create_user(None).await?.into_model();

    let shared = (identity_client.clone(), user.clone());
    let callback = move || {
        let (identity_client, user) = shared.clone();
        async move {
            say("a token is asked for");
            let issued = identity_client.get_token(&user, &[TokenScope::Chat], None);
            Ok(issued.await?.into_model())
        }
    };
    let mut options = RefreshingTokenCredentialOptions::default();
    options.refresh_proactively = true;
    let credential = RefreshingTokenCredential::new(callback, Some(options))?;

    let endpoint = std::env::var("COMMUNICATION_SERVICES_ENDPOINT")?;
    let chat_client = ChatClient::new(&endpoint, Arc::new(credential), None)?;
    let created = chat_client
        .create_thread("tokens", None)
        .await?
        .into_model();
    say(&format!("created {}", created.chat_thread.id));

    // Its token ends, the server says 401, and the next one is asked for by itself.
    identity_client.revoke_tokens(&user, None).await?;
    let thread = chat_client.thread_client(created.chat_thread.id);
    thread.send_message("with a new token", None).await?;
    say("sent with another token");
    Ok(())
}

#[expect(clippy::print_stdout, reason = "an example tells what it does")]
fn say(text: &str) {
    println!("{text}");
}
