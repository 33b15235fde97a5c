//! Bodies and values that cannot be accepted: each gets the right status and the error shape of its
//! version, and changes nothing.

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::{Value, json};

use crate::harness::{Chat, Dialect, TestServer};

/// Every operation with a body, as its path below a thread and its method.
async fn body_operations(chat: &Chat<'_>) -> Vec<(Method, String)> {
    let thread = chat.thread("t", &[]).await;
    let message = chat.say(&thread, "kept").await;
    let people = if chat.dialect.has_participants() {
        "participants/:add"
    } else {
        "members"
    };
    vec![
        (Method::POST, "/chat/threads".to_owned()),
        (Method::PATCH, thread.clone()),
        (Method::POST, format!("{thread}/messages")),
        (Method::PATCH, format!("{thread}/messages/{message}")),
        (Method::POST, format!("{thread}/{people}")),
        (Method::POST, format!("{thread}/readReceipts")),
    ]
}

/// All that the caller can see, to be compared before and after.
async fn everything(chat: &Chat<'_>) -> Vec<Value> {
    let mut seen = chat.all("/chat/threads").await;
    for thread in seen.clone() {
        let path = format!("/chat/threads/{}", thread["id"].as_str().unwrap());
        seen.push(chat.get(&path).await.json);
        for list in ["messages", chat.dialect.people(), "readReceipts"] {
            seen.extend(chat.all(&format!("{path}/{list}")).await);
        }
    }
    seen
}

pub(crate) fn check_shape(dialect: Dialect, json: &Value, code: &str) {
    let error = if dialect.has_participants() {
        &json["error"]
    } else {
        json
    };
    assert_eq!(error["code"], code, "{json}");
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|message| !message.is_empty()),
        "{json}"
    );
}

#[tokio::test]
async fn bodies_that_are_not_the_json_of_the_operation_are_400_and_change_nothing() {
    let server = TestServer::start().await;
    let a = server.user().await;
    let nested = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let deep = [
        "topic",
        "content",
        "chatMessageId",
        "members",
        "participants",
    ]
    .map(|field| format!("\"{field}\":{nested}"))
    .join(",");
    let deep = format!("{{{deep}}}");
    for dialect in Dialect::ALL {
        let chat = server.chat(dialect, &a);
        let operations = body_operations(&chat).await;
        let before = everything(&chat).await;
        for (method, path) in &operations {
            for body in [
                "{",
                "[1,2",
                "null",
                "\"text\"",
                "7",
                r#"{"content":"x","content":"y","topic":"x","topic":"y","chatMessageId":"1","chatMessageId":"2","members":[],"members":[],"participants":[],"participants":[]}"#,
                r#"{"content":"\ud800","topic":"\ud800","chatMessageId":"\ud800"}"#,
                r#"{"content":7,"topic":7,"chatMessageId":7,"members":7,"participants":7}"#,
                r#"{"topic":{},"members":[{}],"participants":[{}],"content":{},"chatMessageId":[]}"#,
                "{\"content\":\"\u{1}\",\"topic\":\"\n\"}",
                deep.as_str(),
            ] {
                let request = chat.request(method.clone(), path, body.to_owned());
                let answer = server.send(request).await;
                assert_eq!(
                    answer.status, 400,
                    "{dialect:?} {method} {path} {body}: {}",
                    answer.text
                );
                check_shape(dialect, &answer.json, "BadRequest");
            }
            let not_utf8 = Request::from_parts(
                chat.request(method.clone(), path, String::new())
                    .into_parts()
                    .0,
                Body::from(b"{\"content\":\"\xff\",\"topic\":\"\xff\"}".to_vec()),
            );
            server.send(not_utf8).await.expect(400);
        }
        assert_eq!(everything(&chat).await, before);
    }
}

#[tokio::test]
async fn required_fields_that_are_missing_are_400() {
    let server = TestServer::start().await;
    let a = server.user().await;
    for dialect in Dialect::ALL {
        let chat = server.chat(dialect, &a);
        for (method, path) in body_operations(&chat).await {
            // Every part of a change is optional; nothing else works without a body.
            if method == Method::PATCH {
                continue;
            }
            for body in ["", "{}"] {
                let request = chat.request(method.clone(), &path, body.to_owned());
                let answer = server.send(request).await;
                assert_eq!(
                    answer.status, 400,
                    "{dialect:?} {path} {body:?}: {}",
                    answer.text
                );
            }
        }
    }
    let chat = server.chat(Dialect::Preview2, &a);
    chat.post("/chat/threads", &json!({ "topic": "members are required" }))
        .await
        .expect(400);
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
async fn values_out_of_bounds_are_400_and_name_their_field() {
    let server = TestServer::start().await;
    let a = server.user().await;
    let kib = |n: usize| "é".repeat(n * 512);
    for dialect in Dialect::ALL {
        let chat = server.chat(dialect, &a);
        let thread = chat.thread("t", &[]).await;
        let message = chat.say(&thread, "kept").await;
        let before = everything(&chat).await;
        let messages = format!("{thread}/messages");
        let message = format!("{messages}/{message}");
        let person = |more: Value| {
            let person = dialect.person(&a.id, &more);
            json!({ "topic": "t", dialect.people(): [person] })
        };
        let mut cases = vec![
            (
                Method::POST,
                "/chat/threads",
                json!({ "topic": "", dialect.people(): [] }),
                "topic",
            ),
            (
                Method::POST,
                "/chat/threads",
                json!({ "topic": kib(2), dialect.people(): [] }),
                "topic",
            ),
            (
                Method::POST,
                "/chat/threads",
                json!({ "topic": "a\0b", dialect.people(): [] }),
                "topic",
            ),
            (
                Method::POST,
                "/chat/threads",
                person(json!({ "displayName": kib(2) })),
                "displayName",
            ),
            (Method::PATCH, &thread, json!({ "topic": "" }), "topic"),
            (
                Method::POST,
                &messages,
                json!({ "content": kib(29) }),
                "content",
            ),
            (
                Method::POST,
                &messages,
                json!({ "content": "a\0b" }),
                "content",
            ),
            (
                Method::POST,
                &messages,
                json!({ "content": "x", "senderDisplayName": kib(2) }),
                "senderDisplayName",
            ),
            (
                Method::PATCH,
                &message,
                json!({ "content": kib(29) }),
                "content",
            ),
        ];
        if dialect.is_since_2021_09() {
            let metadata = json!({ "k": kib(10) });
            let body = json!({ "content": kib(20), "metadata": metadata });
            cases.push((Method::POST, &messages, body, "content"));
            cases.push((
                Method::PATCH,
                &message,
                json!({ "metadata": { "k": kib(29) } }),
                "content",
            ));
            cases.push((
                Method::POST,
                &messages,
                json!({ "content": "x", "metadata": { "k": "\0" } }),
                "metadata",
            ));
        }
        if dialect == Dialect::Ga2025 {
            cases.push((
                Method::POST,
                "/chat/threads",
                json!({ "topic": "t", "metadata": { "k": kib(2) } }),
                "metadata",
            ));
            cases.push((
                Method::POST,
                "/chat/threads",
                person(json!({ "metadata": { "k": kib(2) } })),
                "metadata",
            ));
            for days in [29, 91, -1, i64::MAX] {
                let policy = json!({ "kind": "threadCreationDate", "deleteThreadAfterDays": days });
                cases.push((
                    Method::PATCH,
                    &thread,
                    json!({ "retentionPolicy": policy }),
                    "deleteThreadAfterDays",
                ));
            }
        }
        for (method, path, body, target) in cases {
            let answer = server
                .send(chat.request(method, path, body.to_string()))
                .await;
            let shown: String = body.to_string().chars().take(80).collect();
            assert_eq!(answer.status, 400, "{dialect:?} {shown}: {}", answer.text);
            let error = if dialect.has_participants() {
                &answer.json["error"]
            } else {
                &answer.json
            };
            assert_eq!(error["target"], target, "{shown}");
        }
        assert_eq!(everything(&chat).await, before);
        // At the limit itself it works.
        chat.say(&thread, &kib(28)).await;
    }
}

#[tokio::test]
async fn an_edit_that_would_make_a_message_too_large_is_400() {
    let server = TestServer::start().await;
    let a = server.user().await;
    let chat = server.chat(Dialect::Ga2025, &a);
    let thread = chat.thread("t", &[]).await;
    let path = format!(
        "{thread}/messages/{}",
        chat.say(&thread, &"x".repeat(20 * 1024)).await
    );
    let edit = json!({ "metadata": { "k": "y".repeat(10 * 1024) } });
    chat.patch(&path, &edit).await.expect(400);
    assert!(chat.get(&path).await.json.get("metadata").is_none());
}

#[tokio::test]
async fn times_that_are_none_are_400() {
    let server = TestServer::start().await;
    let a = server.user().await;
    for dialect in Dialect::ALL {
        let chat = server.chat(dialect, &a);
        let thread = chat.thread("t", &[]).await;
        for time in [
            "",
            "yesterday",
            "2020-11-11",
            "2020-11-11T00:00:00",
            "20201-11-11T00:00:00Z",
        ] {
            let person = dialect.person(&a.id, &json!({ "shareHistoryTime": time }));
            let body = json!({ "topic": "t", dialect.people(): [person] });
            chat.post("/chat/threads", &body).await.expect(400);
            for list in ["/chat/threads", &format!("{thread}/messages")] {
                chat.get(&format!("{list}?startTime={time}"))
                    .await
                    .expect(400);
            }
        }
    }
}

#[tokio::test]
async fn page_sizes_below_one_are_400_and_above_the_cap_cut() {
    let server = TestServer::start().await;
    let a = server.user().await;
    for dialect in Dialect::ALL {
        let chat = server.chat(dialect, &a);
        let thread = chat.thread("t", &[]).await;
        let people = format!("{thread}/{}", dialect.people());
        let lists = [
            "/chat/threads".to_owned(),
            format!("{thread}/messages"),
            people,
            format!("{thread}/readReceipts"),
        ];
        for list in &lists {
            for size in ["0", "-1", "x", "", "1.5", "99999999999999999999"] {
                let answer = chat
                    .get(&format!("{list}?maxPageSize={size}"))
                    .await
                    .expect(400);
                check_shape(dialect, &answer.json, "BadRequest");
            }
            chat.get(&format!("{list}?maxPageSize=1000000000"))
                .await
                .expect(200);
        }
    }
}

#[tokio::test]
async fn continuations_that_are_broken_foreign_or_of_another_list_are_400() {
    let server = TestServer::start().await;
    let a = server.user().await;
    for dialect in Dialect::ALL {
        let chat = server.chat(dialect, &a);
        let (one, two) = (chat.thread("1", &[]).await, chat.thread("2", &[]).await);
        let link = chat
            .get(&format!("{one}/messages?maxPageSize=1"))
            .await
            .next()
            .unwrap();
        let (_, query) = link.split_once('?').unwrap();
        chat.get(&format!("{two}/messages?{query}"))
            .await
            .expect(400);
        chat.get(&format!("/chat/threads?{query}"))
            .await
            .expect(400);
        for token in ["", "00", "zz", &"0".repeat(66), &"%FF".repeat(3)] {
            for list in ["/chat/threads", &format!("{one}/messages")] {
                chat.get(&format!("{list}?syncState={token}"))
                    .await
                    .expect(400);
            }
        }
        let people = format!("{one}/{}", dialect.people());
        for skip in ["-1", "x", "99999999999"] {
            chat.get(&format!("{people}?skip={skip}")).await.expect(400);
        }
        assert!(
            chat.get(&format!("{people}?skip=4000000000"))
                .await
                .expect(200)
                .items()
                .is_empty()
        );
        // A link that was followed once can be followed again: it is a position, no more.
        assert_eq!(chat.get(&link).await.text, chat.get(&link).await.text);
    }
}

#[tokio::test]
async fn a_continuation_gives_nobody_what_they_may_not_see() {
    let server = TestServer::start().await;
    let (a, b) = (server.user().await, server.user().await);
    let chat = server.chat(Dialect::Ga2025, &a);
    let thread = chat.thread("t", &[]).await;
    chat.say(&thread, "hidden").await;
    server.clock.advance_ms(1000);
    let first = chat.get(&format!("{thread}/messages?maxPageSize=1")).await;
    let link = first.next().unwrap();
    let other = server.chat(Dialect::Ga2025, &b);
    other.get(&link).await.expect(403);
    chat.add(
        &thread,
        &b,
        &json!({ "shareHistoryTime": server.clock_text(0) }),
    )
    .await;
    assert!(other.get(&link).await.expect(200).items().is_empty());
}

#[tokio::test]
async fn metadata_keys_given_twice_are_400() {
    let server = TestServer::start().await;
    let a = server.user().await;
    let chat = server.chat(Dialect::Ga2025, &a);
    let thread = chat.thread("t", &[]).await;
    let body = r#"{"content":"x","metadata":{"k":"1","k":"2"}}"#.to_owned();
    let request = chat.request(Method::POST, &format!("{thread}/messages"), body);
    server.send(request).await.expect(400);
    let body = r#"{"content":"x","metadata":{"k":1}}"#.to_owned();
    let request = chat.request(Method::POST, &format!("{thread}/messages"), body);
    server.send(request).await.expect(400);
}
