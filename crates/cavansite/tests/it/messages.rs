//! Messages: send, list, get, edit, delete, and who sees which.

use axum::http::Method;
use serde_json::{Value, json};

use crate::harness::{Dialect, HOST, START_MS, TestServer};

#[tokio::test]
async fn a_sent_message_reads_back_as_it_was_sent() {
    let server = TestServer::start().await;
    let a = server.user().await;
    for dialect in Dialect::ALL {
        let server = TestServer::start().await;
        let a = server.user().await;
        let chat = server.chat(dialect, &a);
        let thread = chat.thread("t", &[]).await;
        let body = json!({ "content": "hé\u{202e}llo 😀", "senderDisplayName": "sender name",
            "priority": "High", "type": "text", "metadata": { "k": "v", "gone": "" } });
        let answer = chat
            .post(&format!("{thread}/messages"), &body)
            .await
            .expect(201);
        let id = answer.json["id"].as_str().unwrap();
        assert_eq!(answer.json, json!({ "id": id }));
        assert_eq!(id, (START_MS + 2).to_string());
        let location = format!("https://{HOST}{}/messages/{id}", thread.replace(':', "%3A"));
        assert_eq!(answer.header("location"), Some(location.as_str()));
        let got = chat
            .get(&format!("{thread}/messages/{id}"))
            .await
            .expect(200)
            .json;
        let identifier = json!({ "rawId": a.id, "communicationUser": { "id": a.id } });
        let mut expected = match dialect {
            Dialect::Preview2 => json!({
                "id": id, "type": "Text", "priority": "High", "version": id,
                "content": "hé\u{202e}llo 😀", "senderDisplayName": "sender name",
                "createdOn": "2020-11-11T00:38:38Z", "senderId": a.id,
            }),
            Dialect::Preview3 => json!({
                "id": id, "type": "text", "sequenceId": "3", "version": id,
                "content": { "message": "hé\u{202e}llo 😀" }, "senderDisplayName": "sender name",
                "createdOn": "2020-11-11T00:38:38Z", "senderId": a.id,
            }),
            Dialect::Preview4 | Dialect::Ga2021 | Dialect::Ga2024 | Dialect::Ga2025 => json!({
                "id": id, "type": "text", "sequenceId": "3", "version": id,
                "content": { "message": "hé\u{202e}llo 😀" }, "senderDisplayName": "sender name",
                "createdOn": "2020-11-11T00:38:38Z", "senderCommunicationIdentifier": identifier,
            }),
        };
        if dialect.is_since_2021_09() {
            expected["metadata"] = json!({ "k": "v" });
        }
        assert_eq!(got, expected);
        assert_eq!(chat.all(&format!("{thread}/messages")).await[0], expected);
    }
    let chat = server.chat(Dialect::Preview2, &a);
    let thread = chat.thread("t", &[]).await;
    let id = chat.say(&thread, "bare").await;
    let got = chat
        .get(&format!("{thread}/messages/{id}"))
        .await
        .expect(200)
        .json;
    assert_eq!(
        (&got["priority"], &got["senderDisplayName"]),
        (&json!("Normal"), &json!(""))
    );
}

#[tokio::test]
async fn html_and_text_are_told_apart() {
    let server = TestServer::start().await;
    let a = server.user().await;
    let chat = server.chat(Dialect::Ga2025, &a);
    let thread = chat.thread("t", &[]).await;
    let messages = format!("{thread}/messages");
    for (body, status) in [
        (json!({ "content": "<b>x</b>", "type": "html" }), 201),
        (json!({ "content": "x", "type": "text" }), 201),
        (json!({ "content": "x", "type": null }), 201),
        (json!({ "content": "x", "type": "topicUpdated" }), 400),
        (json!({ "content": "x", "type": "HTML" }), 400),
        (json!({ "content": "x", "type": 1 }), 400),
    ] {
        chat.post(&messages, &body).await.expect(status);
    }
    let types: Vec<_> = chat
        .all(&messages)
        .await
        .iter()
        .map(|m| m["type"].clone())
        .collect();
    assert_eq!(
        types,
        ["text", "text", "html", "topicUpdated", "participantAdded"]
    );
}

#[tokio::test]
async fn an_edit_moves_a_message_to_the_front_and_keeps_what_it_does_not_name() {
    let server = TestServer::start().await;
    let a = server.user().await;
    for dialect in Dialect::ALL {
        let chat = server.chat(dialect, &a);
        let thread = chat.thread("t", &[]).await;
        let body = json!({ "content": "first", "senderDisplayName": "n", "priority": "High",
            "metadata": { "a": "1", "b": "2" } });
        let sent = chat
            .post(&format!("{thread}/messages"), &body)
            .await
            .expect(201);
        let path = format!("{thread}/messages/{}", sent.json["id"].as_str().unwrap());
        chat.say(&thread, "second").await;
        let before = chat.get(&path).await.json;
        server.clock.advance_ms(61_000);
        let edit = json!({ "content": "edited", "metadata": { "a": "", "c": "3" } });
        let answer = chat.patch(&path, &edit).await.expect(dialect.changed());
        assert_eq!(answer.text, "");
        let list = chat.all(&format!("{thread}/messages")).await;
        assert_eq!(list.len(), 4, "one entry per message");
        let after = &list[0];
        assert_eq!(chat.get(&path).await.json, *after);
        assert_eq!(dialect.text_of(after), "edited");
        for kept in ["id", "createdOn", "senderDisplayName", "priority", "type"] {
            assert_eq!(after.get(kept), before.get(kept), "{kept}");
        }
        let moved = server.clock_text(0);
        assert_eq!(after["editedOn"], moved);
        assert!(number(&after["version"]) > number(&before["version"]));
        if dialect.has_participants() {
            assert_eq!(after["sequenceId"], "5");
        }
        let metadata = dialect
            .is_since_2021_09()
            .then(|| json!({ "b": "2", "c": "3" }));
        assert_eq!(after.get("metadata"), metadata.as_ref());
    }
}

#[tokio::test]
async fn priority_can_be_edited_in_the_version_that_has_it() {
    let server = TestServer::start().await;
    let a = server.user().await;
    let chat = server.chat(Dialect::Preview2, &a);
    let thread = chat.thread("t", &[]).await;
    let path = format!("{thread}/messages/{}", chat.say(&thread, "x").await);
    chat.patch(&path, &json!({ "priority": "High" }))
        .await
        .expect(200);
    let got = chat.get(&path).await.json;
    assert_eq!(
        (&got["priority"], &got["content"]),
        (&json!("High"), &json!("x"))
    );
    chat.patch(&path, &json!({ "priority": "Urgent" }))
        .await
        .expect(400);
}

#[tokio::test]
async fn a_deleted_message_stays_in_the_list_without_its_content() {
    let server = TestServer::start().await;
    let a = server.user().await;
    for dialect in Dialect::ALL {
        let chat = server.chat(dialect, &a);
        let thread = chat.thread("t", &[]).await;
        let body = json!({ "content": "secret", "senderDisplayName": "n", "priority": "High",
            "metadata": { "k": "secret" } });
        let sent = chat
            .post(&format!("{thread}/messages"), &body)
            .await
            .expect(201);
        let path = format!("{thread}/messages/{}", sent.json["id"].as_str().unwrap());
        chat.patch(&path, &json!({ "content": "secret too" }))
            .await
            .expect(dialect.changed());
        chat.say(&thread, "newer").await;
        server.clock.advance_ms(61_000);
        chat.delete(&path).await.expect(204);
        let list = chat.all(&format!("{thread}/messages")).await;
        let gone = &list[0];
        assert_eq!(chat.get(&path).await.expect(200).json, *gone);
        assert_eq!(gone["deletedOn"], server.clock_text(0));
        assert!(gone.get("editedOn").is_none() && gone.get("metadata").is_none());
        assert_eq!(gone["senderDisplayName"], "n");
        let empty = if dialect.has_participants() {
            json!({ "message": "" })
        } else {
            json!("")
        };
        assert_eq!(gone["content"], empty);
        assert!(!gone.to_string().contains("secret"));
        if dialect.has_participants() {
            assert_eq!(gone["sequenceId"], "6");
        } else {
            assert_eq!(gone["priority"], "High");
        }
        // Again is fine and changes nothing; an edit finds nothing.
        chat.delete(&path).await.expect(204);
        chat.patch(&path, &json!({ "content": "x" }))
            .await
            .expect(404);
        assert_eq!(chat.get(&path).await.json, *gone);
    }
}

#[tokio::test]
async fn only_the_sender_changes_a_message_and_nobody_a_system_message() {
    let server = TestServer::start().await;
    let (a, b) = (server.user().await, server.user().await);
    for dialect in Dialect::ALL {
        let (chat, other) = (server.chat(dialect, &a), server.chat(dialect, &b));
        let thread = chat.thread_with(&[&b]).await;
        let path = format!("{thread}/messages/{}", chat.say(&thread, "mine").await);
        for refused in [
            other.patch(&path, &json!({ "content": "x" })).await,
            other.delete(&path).await,
        ] {
            assert_eq!(refused.expect(403).code(), "Forbidden");
        }
        let system = chat.all(&format!("{thread}/messages")).await[1]["id"].clone();
        let system = format!("{thread}/messages/{}", system.as_str().unwrap());
        chat.patch(&system, &json!({ "content": "x" }))
            .await
            .expect(403);
        chat.delete(&system).await.expect(403);
        assert_eq!(chat.texts(&thread).await, ["mine"]);
    }
}

#[tokio::test]
async fn a_full_page_carries_a_link_and_a_short_one_none() {
    let server = TestServer::start().await;
    let a = server.user().await;
    for dialect in Dialect::ALL {
        let chat = server.chat(dialect, &a);
        let thread = chat.thread("t", &[]).await;
        for n in 0..4 {
            chat.say(&thread, &n.to_string()).await;
        }
        let whole = chat.all(&format!("{thread}/messages")).await;
        assert_eq!(whole.len(), 6);
        for size in 1..=7 {
            let target = format!("{thread}/messages?maxPageSize={size}");
            assert_eq!(chat.all(&target).await, whole, "pages of {size}");
            let first = chat.get(&target).await;
            assert_eq!(first.items().len(), size.min(6));
            assert_eq!(first.next().is_some(), size <= 6);
        }
    }
}

#[tokio::test]
async fn a_link_works_however_a_client_writes_it_again() {
    let server = TestServer::start().await;
    let a = server.user().await;
    let chat = server.chat(Dialect::Ga2025, &a);
    let thread = chat.thread("t", &[]).await;
    let target = format!("{thread}/messages?maxPageSize=1");
    let link = chat.get(&target).await.next().unwrap();
    let second = chat.get(&link).await.expect(200).json["value"].clone();
    for written in [
        link.replace(':', "%3A").replace('@', "%40"),
        link.replace("api-version=2025-03-15", "api-version=2024-03-07"),
        link.replace("/chat", "//chat"),
        link.replace("&api-version=2025-03-15", ""),
    ] {
        assert_eq!(
            chat.get(&written).await.expect(200).json["value"],
            second,
            "{written}"
        );
    }
}

#[tokio::test]
async fn start_time_leaves_out_what_did_not_change_since() {
    let server = TestServer::start().await;
    let a = server.user().await;
    for dialect in Dialect::ALL {
        let start_time = server.clock_text(1000);
        let chat = server.chat(dialect, &a);
        let thread = chat.thread("t", &[]).await;
        let old = chat.say(&thread, "old").await;
        chat.say(&thread, "older still").await;
        server.clock.advance_ms(3_600_000);
        chat.say(&thread, "new").await;
        let target = format!("{thread}/messages?startTime={start_time}");
        assert_eq!(chat.all(&target).await.len(), 1);
        let edit = json!({ "content": "edited" });
        chat.patch(&format!("{thread}/messages/{old}"), &edit)
            .await
            .expect(dialect.changed());
        let texts: Vec<_> = chat
            .all(&target)
            .await
            .iter()
            .map(|m| dialect.text_of(m).to_owned())
            .collect();
        assert_eq!(texts, ["edited", "new"]);
        // The bound holds on the following pages too.
        assert_eq!(chat.all(&format!("{target}&maxPageSize=1")).await.len(), 2);
    }
}

#[tokio::test]
async fn history_is_shared_from_the_time_given() {
    let server = TestServer::start().await;
    let (a, all, part, none) = (
        server.user().await,
        server.user().await,
        server.user().await,
        server.user().await,
    );
    for dialect in Dialect::ALL {
        let chat = server.chat(dialect, &a);
        let thread = chat.thread("t", &[]).await;
        let early = chat.say(&thread, "early").await;
        server.clock.advance_ms(60_000);
        let middle = server.clock_text(0);
        chat.say(&thread, "late").await;
        server.clock.advance_ms(60_000);
        let now = server.clock_text(0);
        chat.add(
            &thread,
            &all,
            &json!({ "shareHistoryTime": "1970-01-01T00:00:00Z" }),
        )
        .await;
        chat.add(&thread, &part, &json!({ "shareHistoryTime": middle }))
            .await;
        chat.add(&thread, &none, &json!({ "shareHistoryTime": now }))
            .await;
        chat.say(&thread, "after").await;
        for (user, texts) in [
            (&all, &["early", "late", "after"][..]),
            (&part, &["late", "after"]),
            (&none, &["after"]),
        ] {
            let chat = server.chat(dialect, user);
            assert_eq!(chat.texts(&thread).await, texts);
            let by_id = chat.get(&format!("{thread}/messages/{early}")).await;
            by_id.expect(if texts.len() == 3 { 200 } else { 404 });
        }
        // An edit of an old message does not show it to who may not see it.
        let path = format!("{thread}/messages/{early}");
        chat.patch(&path, &json!({ "content": "edited" }))
            .await
            .expect(dialect.changed());
        assert_eq!(server.chat(dialect, &none).texts(&thread).await, ["after"]);
        for user in [&all, &part, &none] {
            chat.remove(&thread, user).await.expect(204);
        }
    }
}

#[tokio::test]
async fn who_is_removed_keeps_what_was_said_until_then_and_sees_nothing_newer() {
    let server = TestServer::start().await;
    let (a, b) = (server.user().await, server.user().await);
    for dialect in Dialect::ALL {
        let server = TestServer::start().await;
        let (a, b) = (server.user().await, server.user().await);
        let (chat, removed) = (server.chat(dialect, &a), server.chat(dialect, &b));
        let thread = chat.thread_with(&[&b]).await;
        let kept = chat.say(&thread, "kept").await;
        let edited = chat.say(&thread, "to be edited").await;
        chat.remove(&thread, &b).await.expect(204);
        let after = chat.say(&thread, "after").await;
        let path = |id: &str| format!("{thread}/messages/{id}");
        let edit = json!({ "content": "edited" });
        chat.patch(&path(&edited), &edit)
            .await
            .expect(dialect.changed());
        chat.patch(&thread, &json!({ "topic": "new" }))
            .await
            .expect(dialect.changed());

        assert_eq!(removed.texts(&thread).await, ["kept"]);
        removed.get(&path(&kept)).await.expect(200);
        removed.get(&path(&edited)).await.expect(403);
        removed.get(&path(&after)).await.expect(403);
        let listed = removed.all("/chat/threads").await;
        assert_eq!(listed[0]["topic"], "topic", "as it was at the removal");

        // Back again, with the history that is then shared.
        chat.add(&thread, &b, &Value::Null).await;
        assert_eq!(removed.texts(&thread).await, ["kept", "after", "edited"]);
    }
    drop((a, b));
}

/// A request id as SDKs make them.
const ID: &str = "6bd3a6a4-6a2c-4b0e-8a4e-0a1b2c3d4e5f";

#[tokio::test]
async fn a_repeated_send_is_stored_once() {
    let server = TestServer::start().await;
    let (a, b) = (server.user().await, server.user().await);
    for dialect in Dialect::ALL {
        let thread = server.chat(dialect, &a).thread_with(&[&b]).await;
        let send = async |user, request_id: &'static str, content: &str| {
            let chat = server.chat(dialect, user);
            let body = json!({ "content": content }).to_string();
            let mut request = chat.request(Method::POST, &format!("{thread}/messages"), body);
            let header = request_id.parse().unwrap();
            request
                .headers_mut()
                .insert("x-ms-client-request-id", header);
            server.send(request).await.expect(201).json["id"].clone()
        };
        let first = send(&a, ID, "x").await;
        server.clock.advance_ms(119_000);
        assert_eq!(send(&a, ID, "x").await, first);
        for other in [send(&a, ID, "y").await, send(&b, ID, "x").await] {
            assert_ne!(other, first);
        }
        let unnamed = send(&a, "not-a-uuid", "z").await;
        assert_ne!(send(&a, "not-a-uuid", "z").await, unnamed);
        server.clock.advance_ms(2_000);
        assert_ne!(
            send(&a, ID, "x").await,
            first,
            "outside the window it is a new one"
        );
    }
}

#[tokio::test]
async fn ids_rise_within_a_thread_and_creation_times_stay_with_the_clock() {
    let server = TestServer::start().await;
    let a = server.user().await;
    let chat = server.chat(Dialect::Ga2025, &a);
    let thread = chat.thread("t", &[]).await;
    let mut ids = Vec::new();
    for n in 0..20 {
        ids.push(number(&json!(chat.say(&thread, &n.to_string()).await)));
    }
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
    server.clock.advance_ms(-10_000);
    chat.say(&thread, "the clock stepped back").await;
    let list = chat.all(&format!("{thread}/messages")).await;
    assert!(
        list.iter()
            .all(|message| message["createdOn"] == "2020-11-11T00:38:38Z")
    );
    let sequence: Vec<_> = list
        .iter()
        .rev()
        .map(|m| number(&m["sequenceId"]))
        .collect();
    assert_eq!(sequence, (1..=23).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_message_id_that_is_none_is_not_found() {
    let server = TestServer::start().await;
    let a = server.user().await;
    for dialect in Dialect::ALL {
        let chat = server.chat(dialect, &a);
        let thread = chat.thread("t", &[]).await;
        for id in ["1", "0", "-1", "abc", "99999999999999999999", "%00", "%2F"] {
            let path = format!("{thread}/messages/{id}");
            assert_eq!(chat.get(&path).await.expect(404).code(), "NotFound", "{id}");
            chat.patch(&path, &json!({ "content": "x" }))
                .await
                .expect(404);
            chat.delete(&path).await.expect(404);
        }
    }
}

fn number(value: &Value) -> i64 {
    value.as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn html_is_sanitised_when_sent_and_when_edited() {
    let server = TestServer::start().await;
    let a = server.user().await;
    for dialect in [Dialect::Ga2024, Dialect::Ga2025] {
        let chat = server.chat(dialect, &a);
        let thread = chat.thread("t", &[]).await;
        let hostile = "<b>bold</b><script>alert(1)</script><img src=x onerror=alert(1)>";
        let clean = "<b>bold</b><img src=\"x\">";
        let send = async |kind: &str| {
            let body = json!({ "content": hostile, "type": kind });
            let sent = chat
                .post(&format!("{thread}/messages"), &body)
                .await
                .expect(201);
            format!("{thread}/messages/{}", sent.json["id"].as_str().unwrap())
        };
        let (html, text) = (send("html").await, send("text").await);
        let content = async |path: &str| chat.get(path).await.json["content"]["message"].clone();
        assert_eq!(content(&html).await, clean);
        assert_eq!(content(&text).await, hostile, "text is shown as text");
        for path in [&html, &text] {
            let edit = json!({ "content": format!("edited {hostile}") });
            chat.patch(path, &edit).await.expect(204);
        }
        assert_eq!(content(&html).await, format!("edited {clean}"));
        assert_eq!(content(&text).await, format!("edited {hostile}"));
    }
}

#[tokio::test]
async fn a_send_may_carry_the_header_of_repeated_creates() {
    let server = TestServer::start().await;
    let a = server.user().await;
    for dialect in Dialect::ALL {
        let chat = server.chat(dialect, &a);
        let thread = chat.thread("t", &[]).await;
        let send = async |id: &str| {
            let body = json!({ "content": "x" }).to_string();
            let mut request = chat.request(Method::POST, &format!("{thread}/messages"), body);
            request
                .headers_mut()
                .insert("repeatability-request-id", id.parse().unwrap());
            server.send(request).await.expect(201).json["id"].clone()
        };
        let first = send("any text").await;
        assert_eq!(send("any text").await, first);
        assert_ne!(send("other text").await, first);
    }
}

#[tokio::test]
async fn html_out_of_proportion_is_400() {
    let server = TestServer::start().await;
    let a = server.user().await;
    let chat = server.chat(Dialect::Ga2025, &a);
    let thread = chat.thread("t", &[]).await;
    let body = json!({ "content": "<b x><p>".repeat(1000), "type": "html" });
    chat.post(&format!("{thread}/messages"), &body)
        .await
        .expect(400);
}
