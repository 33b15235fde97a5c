//! Read receipts.

use serde_json::json;

use crate::harness::{Dialect, TestServer};

#[tokio::test]
async fn each_participant_has_one_receipt_the_latest() {
    let server = TestServer::start().await;
    let (a, b) = (server.user().await, server.user().await);
    for dialect in Dialect::ALL {
        let (chat, other) = (server.chat(dialect, &a), server.chat(dialect, &b));
        let thread = chat.thread_with(&[&b]).await;
        let (first, second) = (chat.say(&thread, "1").await, chat.say(&thread, "2").await);
        let receipts = format!("{thread}/readReceipts");
        let lower = format!("{thread}/readreceipts");
        for (by, path, id) in [
            (&other, &receipts, &first),
            (&chat, &lower, &first),
            (&chat, &receipts, &second),
            // One that is older than what is recorded changes nothing.
            (&chat, &receipts, &first),
        ] {
            let answer = by.post(path, &json!({ "chatMessageId": id })).await;
            let answer = answer.expect(dialect.receipt_sent());
            assert_eq!(
                (answer.text.as_str(), answer.header("content-length")),
                ("", Some("0"))
            );
        }
        let list = chat.all(&receipts).await;
        assert_eq!(list, other.all(&lower).await);
        let read_on = server.clock_text(0);
        let expected = [(&a, &second), (&b, &first)].map(|(user, message)| {
            if dialect.has_identifiers() {
                let reader = json!({ "rawId": user.id, "communicationUser": { "id": user.id } });
                json!({ "senderCommunicationIdentifier": reader, "chatMessageId": message,
                    "readOn": read_on })
            } else {
                json!({ "senderId": user.id, "chatMessageId": message, "readOn": read_on })
            }
        });
        assert_eq!(list, expected);
        assert_eq!(
            chat.all(&format!("{receipts}?maxPageSize=1")).await,
            expected
        );
        // Who left takes their receipt along.
        chat.remove(&thread, &b).await.expect(204);
        assert_eq!(chat.all(&receipts).await, expected[..1]);
    }
}

#[tokio::test]
async fn a_receipt_for_what_one_cannot_see_is_not_found() {
    let server = TestServer::start().await;
    let (a, b) = (server.user().await, server.user().await);
    for dialect in Dialect::ALL {
        let chat = server.chat(dialect, &a);
        let thread = chat.thread("t", &[]).await;
        let hidden = chat.say(&thread, "hidden").await;
        server.clock.advance_ms(1000);
        chat.add(
            &thread,
            &b,
            &json!({ "shareHistoryTime": server.clock_text(0) }),
        )
        .await;
        let receipts = format!("{thread}/readReceipts");
        for id in [hidden.as_str(), "1", "abc", ""] {
            let body = json!({ "chatMessageId": id });
            server
                .chat(dialect, &b)
                .post(&receipts, &body)
                .await
                .expect(404);
        }
        assert!(chat.all(&receipts).await.is_empty());
    }
}

#[tokio::test]
async fn receipts_and_typing_end_above_20_people_in_azure_and_not_in_open() {
    for (server, status) in [
        (TestServer::start().await, 200),
        (TestServer::azure().await, 403),
    ] {
        let a = server.user().await;
        let chat = server.chat(Dialect::Ga2025, &a);
        let thread = chat.thread("t", &[]).await;
        for _ in 0..19 {
            chat.add(&thread, &server.user().await, &json!(null)).await;
        }
        let id = chat.say(&thread, "x").await;
        let answers = async || {
            [
                chat.post(
                    &format!("{thread}/readReceipts"),
                    &json!({ "chatMessageId": id }),
                )
                .await,
                chat.get(&format!("{thread}/readReceipts")).await,
                chat.post(&format!("{thread}/typing"), &json!({})).await,
            ]
        };
        for answer in answers().await {
            answer.expect(200);
        }
        chat.add(&thread, &server.user().await, &json!(null)).await;
        for answer in answers().await {
            answer.expect(status);
        }
    }
}
