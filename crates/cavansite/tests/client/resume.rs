//! Each message once: through servers that are killed, and through a queue that overflows.

use std::collections::BTreeMap;

use cavansite_client::realtime::{ChatEvent, RealtimeEvents};
use cavansite_client::{ChatThreadClient, ListByTimeOptions, Timestamp};
use futures_util::TryStreamExt as _;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::harness::PATIENCE;
use crate::proxy::Kept;
use crate::realtime::{next, soon};

const MESSAGES: usize = 1000;
const KILLS: usize = 10;

/// Sends a message once: when it is not known whether it arrived, the list says.
pub(crate) async fn send_once(thread: &ChatThreadClient, text: &str) {
    while let Err(error) = thread.send_message(text, None).await {
        assert_eq!(error.status(), None, "{error}");
        let newest = ListByTimeOptions::default().with_max_page_size(10u32);
        let mut pages = thread.list_messages(Some(newest)).unwrap().into_pages();
        let page = pages.try_next().await.unwrap().unwrap();
        let mut texts = page.items.iter().map(|message| &message.content.message);
        if texts.any(|message| message.as_deref() == Some(text)) {
            return;
        }
    }
}

/// What a program does about a gap, as the documentation says.
async fn missed(
    thread: &ChatThreadClient,
    since: Option<Timestamp>,
    events: &mut RealtimeEvents,
) -> cavansite_client::Result<Vec<ChatEvent>> {
    let mut options = ListByTimeOptions::default();
    options.start_time = since;
    let messages: Vec<_> = thread.list_messages(Some(options))?.try_collect().await?;
    let oldest_first = messages.iter().rev();
    let missed = oldest_first.filter_map(|message| events.missed(thread.thread_id(), message));
    Ok(missed.collect())
}

/// How often each message came, and how many gaps there were, once all came that were sent.
async fn follow(
    thread: ChatThreadClient,
    mut events: RealtimeEvents,
    count: usize,
) -> (BTreeMap<String, u32>, usize) {
    let (mut came, mut gaps) = (BTreeMap::<String, u32>::new(), 0);
    let mut note = |event: &ChatEvent| {
        if let ChatEvent::MessageReceived(event) = event {
            *came.entry(event.message.clone()).or_default() += 1;
        }
        came.len()
    };
    loop {
        let known = match next(&mut events).await {
            ChatEvent::Reconnected { since } | ChatEvent::Lagged { since, .. } => {
                gaps += 1;
                // The server may be gone again: then there is another marker to come.
                let missed = missed(&thread, since, &mut events).await.unwrap();
                missed.iter().map(&mut note).max().unwrap_or_default()
            }
            event => note(&event),
        };
        if known == count {
            break;
        }
    }
    // Whatever is still to come would be too much.
    while let Ok(Some(event)) = timeout(std::time::Duration::from_secs(2), events.next()).await {
        note(&event.unwrap());
    }
    (came, gaps)
}

#[tokio::test]
async fn each_of_a_thousand_messages_comes_once_though_the_server_is_killed_ten_times() {
    let mut kept = Kept::start().await;
    let (thread, ben) = kept.thread().await;
    let (_connection, events) = ben.connect_realtime(Some(soon())).await.unwrap();
    let reading = follow(ben.thread_client(thread.thread_id()), events, MESSAGES);
    let reading = tokio::spawn(reading);
    let (sent, mut told) = watch::channel(0);
    let talking = tokio::spawn(async move {
        for number in 1..=MESSAGES {
            send_once(&thread, &number.to_string()).await;
            sent.send_replace(number);
        }
    });
    for kill in 1..=KILLS {
        // In the middle of what is being sent, and never at the same place.
        let at = kill * MESSAGES / (KILLS + 1) + kill;
        told.wait_for(|number| *number >= at).await.unwrap();
        kept.end("KILL").await;
        kept.start_again().await;
    }
    talking.await.unwrap();
    let (came, gaps) = reading.await.unwrap();
    assert!((1..=KILLS).contains(&gaps), "{gaps} gaps");
    let expected: BTreeMap<_, _> = (1..=MESSAGES)
        .map(|number| (number.to_string(), 1))
        .collect();
    assert_eq!(came, expected);
}

#[tokio::test]
async fn each_message_comes_once_though_the_queue_overflows() {
    let kept = Kept::start().await;
    let (thread, ben) = kept.thread().await;
    let mut options = soon();
    options.queue_events = 5;
    let (_connection, events) = ben.connect_realtime(Some(options)).await.unwrap();
    // Nobody reads meanwhile.
    for number in 1..=50 {
        thread
            .send_message(&number.to_string(), None)
            .await
            .unwrap();
    }
    let thread = ben.thread_client(thread.thread_id());
    let reading = timeout(PATIENCE, follow(thread, events, 50));
    let (came, gaps) = reading.await.unwrap();
    // Another one where he reads while the last of them come.
    assert!(gaps >= 1, "nothing overflowed");
    let expected: BTreeMap<_, _> = (1..=50).map(|number| (number.to_string(), 1)).collect();
    assert_eq!(came, expected);
}
