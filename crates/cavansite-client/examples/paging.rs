//! Lists: item by item, page by page, and on from where an earlier run stopped.
//!
//! With an emulator on this machine: `eval "$(cavansite env)"`, then
//! `cargo run -p cavansite-client --example paging`.

use std::sync::Arc;

use cavansite_client::models::TokenScope;
use cavansite_client::{
    ChatClient, CommunicationIdentityClient, ListByTimeOptions, StaticTokenCredential,
};
use futures_util::TryStreamExt as _;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let connection_string = std::env::var("COMMUNICATION_SERVICES_CONNECTION_STRING")?;
    let identity_client =
        CommunicationIdentityClient::from_connection_string(&connection_string, None)?;
    let created = identity_client.create_user_and_token(&[TokenScope::Chat], None);
    let credential = StaticTokenCredential::from(created.await?.into_model().access_token);
    let endpoint = std::env::var("COMMUNICATION_SERVICES_ENDPOINT")?;
    let chat_client = ChatClient::new(&endpoint, Arc::new(credential), None)?;
    let created = chat_client
        .create_thread("numbers", None)
        .await?
        .into_model();
    let thread = chat_client.thread_client(created.chat_thread.id);
    for number in 1..=25 {
        thread.send_message(&number.to_string(), None).await?;
    }

    // Item by item: the pages behind do not show.
    let mut texts = Vec::new();
    let mut messages = thread.list_messages(None)?;
    while let Some(message) = messages.try_next().await? {
        texts.extend(message.content.message);
    }
    say(&format!(
        "{} texts, the newest is {}",
        texts.len(),
        texts[0]
    ));

    // Page by page.
    let ten = ListByTimeOptions::default().with_max_page_size(10u32);
    let mut pages = thread.list_messages(Some(ten.clone()))?.into_pages();
    while let Some(page) = pages.try_next().await? {
        let more = page.continuation.is_some();
        say(&format!("a page of {}, more: {more}", page.items.len()));
    }

    // Some now, the rest later: the place is text that can be stored.
    let mut pages = thread.list_messages(Some(ten))?.into_pages();
    pages.try_next().await?;
    let place = pages.continuation().ok_or("there is more than a page")?;
    let rest = ListByTimeOptions::default().with_continuation(place);
    let rest: Vec<_> = thread.list_messages(Some(rest))?.try_collect().await?;
    say(&format!("{} after the first page", rest.len()));
    Ok(())
}

#[expect(clippy::print_stdout, reason = "an example tells what it does")]
fn say(text: &str) {
    println!("{text}");
}
