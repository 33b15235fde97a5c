//! What is said in the thread: messages, receipts, typing.

use cavansite_client::models::ChatMessage;
use cavansite_client::{
    ChatClient, ChatThreadClient, ListByTimeOptions, SendChatMessageOptions,
    UpdateChatMessageOptions,
};
use futures_util::TryStreamExt as _;

use super::check;
use super::narrator::{Narrator, tell};
use crate::cli::Failure;

/// Ben finds the thread in his list.
pub(super) async fn list_threads(
    n: &mut Narrator,
    ben_client: &ChatClient,
    id: &str,
) -> Result<(), Failure> {
    n.step(
        "List threads",
        "Ben, with a chat client of his own, finds the thread among his. Lists are streams, which\n\
         ask for the next page when it is needed.",
    );
    tell!(n, let threads = ben_client.list_threads(None)?.try_collect::<Vec<_>>().await?);
    for thread in &threads {
        n.answer(format!("{:?}, {}", thread.topic, thread.id));
    }
    let found = threads.iter().any(|thread| thread.id == id);
    check(found, "Ben's list of threads does not have the thread")
}

/// Both say something. Gives the id of Ada's message.
pub(super) async fn send_messages(
    n: &mut Narrator,
    thread: &ChatThreadClient,
    ben_thread: &ChatThreadClient,
) -> Result<String, Failure> {
    n.step(
        "Send messages",
        "Ada's answer comes back once the message is stored.",
    );
    tell!(n, let options = SendChatMessageOptions::default().with_sender_display_name("Ada"));
    tell!(n, let sent = thread.send_message("hello world", Some(options)).await?.into_model());
    n.answer(format!("message {}", sent.id));
    tell!(n, let answer = ben_thread.send_message("hello Ada", None).await?.into_model());
    n.answer(format!("message {}", answer.id));
    Ok(sent.id)
}

/// Ada reads them, all at once and in pages.
pub(super) async fn list_messages(
    n: &mut Narrator,
    thread: &ChatThreadClient,
    hello: &str,
) -> Result<(), Failure> {
    n.step(
        "Receive messages",
        "The list holds what users wrote and what the service says of topic and participants, the\n\
         last changed first.",
    );
    tell!(n, let messages = thread.list_messages(None)?.try_collect::<Vec<_>>().await?);
    for message in &messages {
        n.answer(line(message));
    }
    let found = messages.iter().any(|message| {
        message.id == hello && message.content.message.as_deref() == Some("hello world")
    });
    check(found, "the list does not have the message that was sent")?;

    tell!(n, let options = ListByTimeOptions::default().with_max_page_size(3u32));
    tell!(n, let mut pages = thread.list_messages(Some(options))?.into_pages());
    let mut in_pages = 0;
    loop {
        tell!(n, let page = pages.try_next().await?);
        let Some(page) = page else { break };
        in_pages += page.items.len();
        n.answer(format!("a page of {}", page.items.len()));
    }
    n.answer("no further page");
    let same = in_pages == messages.len();
    check(same, "the pages do not have as many messages as the list")
}

/// Ada corrects herself.
pub(super) async fn update_message(
    n: &mut Narrator,
    thread: &ChatThreadClient,
    hello: &str,
) -> Result<(), Failure> {
    n.step(
        "Edit a message",
        "An edited message says when that was, a deleted one too.",
    );
    tell!(n, let options = UpdateChatMessageOptions::default().with_content("hello, world"));
    tell!(n, thread.update_message(hello, Some(options)).await?);
    tell!(n, let message = thread.get_message(hello, None).await?.into_model());
    n.answer(line(&message));
    let edited = message.edited_on.is_some();
    check(edited, "the message does not say that it was edited")
}

/// Ben is typing, and has read what Ada wrote.
pub(super) async fn send_receipts(
    n: &mut Narrator,
    thread: &ChatThreadClient,
    ben_thread: &ChatThreadClient,
    hello: &str,
) -> Result<(), Failure> {
    n.step(
        "Typing notifications and read receipts",
        "Ben has read Ada's message and types. Who is connected is told of both; receipts are\n\
         kept.",
    );
    tell!(n, ben_thread.send_read_receipt(hello, None).await?);
    tell!(n, ben_thread.send_typing_notification(None).await?);
    tell!(n, let receipts = thread.list_read_receipts(None)?.try_collect::<Vec<_>>().await?);
    for receipt in &receipts {
        let (reader, read_on) = (receipt.sender.raw_id(), receipt.read_on);
        n.answer(format!(
            "{reader} read {} on {read_on}",
            receipt.chat_message_id
        ));
    }
    let found = receipts
        .iter()
        .any(|receipt| receipt.chat_message_id == hello);
    check(found, "the list does not have the receipt that was sent")
}

/// A message as one line.
fn line(message: &ChatMessage) -> String {
    let content = &message.content;
    let said = content.message.as_ref().or(content.topic.as_ref());
    let what = said.map_or_else(String::new, |said| format!(" {said:?}"));
    let edited = match message.edited_on {
        Some(edited_on) => format!(", edited on {edited_on}"),
        None => String::new(),
    };
    format!("{}{what}{edited}", message.message_type)
}
