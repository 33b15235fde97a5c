//! Requests that cannot be accepted: each gets the right status and the error shape of its
//! version, and changes nothing.

use axum::body::Body;
use axum::http::{Method, Request};
use cavansite::state::ErrorShape;
use serde_json::{Value, json};

use crate::harness::{Chat, Dialect, HOST, Options, TestServer};

/// Every operation with a body, as its path below a thread and its method.
async fn body_operations(chat: &Chat<'_>) -> Vec<(Method, String)> {
    let thread = chat.thread("t", &[]).await;
    let message = chat.say(&thread, "kept").await;
    let people = if chat.dialect.is_ga() {
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

fn check_shape(dialect: Dialect, json: &Value, code: &str) {
    let error = if dialect.is_ga() {
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
        if dialect.is_ga() {
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
            let error = if dialect.is_ga() {
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
async fn api_versions_that_are_missing_or_unknown_are_400_in_the_newer_shape() {
    let server = TestServer::start().await;
    let a = server.user().await;
    let chat = server.chat(Dialect::Preview2, &a);
    for (version, code) in [
        ("", "ApiVersionUnspecified"),
        ("1", "UnsupportedApiVersion"),
        ("2020-01-01", "UnsupportedApiVersion"),
        ("2020-11-01-preview3", "UnsupportedApiVersion"),
        ("%00", "UnsupportedApiVersion"),
        ("2024-03-07'--", "UnsupportedApiVersion"),
    ] {
        let answer = chat
            .get(&format!("/chat/threads?api-version={version}"))
            .await
            .expect(400);
        assert_eq!(answer.json["error"]["code"], code, "{version}");
        let identity = format!("/identities?api-version={version}");
        let answer = server
            .identity(Method::POST, &identity, "")
            .await
            .expect(400);
        assert_eq!(answer.json["error"]["code"], code, "{version}");
    }
    let mut request = chat.request(Method::GET, "/chat/threads", String::new());
    *request.uri_mut() = "/chat/threads".parse().unwrap();
    assert_eq!(
        server.send(request).await.expect(400).code(),
        "ApiVersionUnspecified"
    );
}

#[tokio::test]
async fn a_version_yet_to_come_is_answered_as_the_newest_and_says_so() {
    let server = TestServer::start().await;
    let a = server.user().await;
    let chat = server.chat(Dialect::Ga2025, &a);
    let answer = chat
        .get("/chat/threads?api-version=2031-01-01")
        .await
        .expect(200);
    assert_eq!(
        answer.header("x-cavansite-served-api-version"),
        Some("2025-03-15")
    );
    assert_eq!(
        answer.header("api-supported-versions"),
        Some("2020-09-21-preview2, 2024-03-07, 2025-03-15")
    );
    let answer = chat.get("/chat/threads").await.expect(200);
    assert_eq!(answer.header("x-cavansite-served-api-version"), None);
}

#[tokio::test]
async fn tokens_that_are_none_are_401_in_the_shape_of_the_version() {
    let server = TestServer::start().await;
    let a = server.user().await;
    let cut = &a.token[..a.token.len() - 5];
    for dialect in Dialect::ALL {
        for authorization in [
            String::new(),
            "Bearer".to_owned(),
            "Bearer ".to_owned(),
            "Bearer a.b.c".to_owned(),
            format!("Bearer {cut}"),
            format!("Basic {}", a.token),
            a.token.clone(),
            format!("Bearer {}", "x".repeat(10_000)),
        ] {
            let mut request =
                server
                    .chat(dialect, &a)
                    .request(Method::GET, "/chat/threads", String::new());
            request
                .headers_mut()
                .insert("authorization", authorization.parse().unwrap());
            let answer = server.send(request).await.expect(401);
            check_shape(dialect, &answer.json, "Unauthorized");
        }
    }
}

#[tokio::test]
async fn content_types_and_charsets_other_than_json_in_utf8_are_415() {
    let server = TestServer::start().await;
    let a = server.user().await;
    let chat = server.chat(Dialect::Ga2025, &a);
    let thread = chat.thread("t", &[]).await;
    for (content_type, status) in [
        ("application/json", 204),
        ("application/merge-patch+json", 204),
        ("Application/JSON; Charset=\"UTF-8\"", 204),
        ("text/plain", 415),
        ("application/json; charset=utf-16", 415),
        ("application/x-www-form-urlencoded", 415),
        ("", 415),
    ] {
        let mut request = chat.request(Method::PATCH, &thread, "{}".to_owned());
        request
            .headers_mut()
            .insert("content-type", content_type.parse().unwrap());
        let answer = server.send(request).await;
        assert_eq!(answer.status, status, "{content_type}");
    }
}

#[tokio::test]
async fn bodies_over_the_limit_are_413_whether_their_length_is_declared_or_not() {
    let server = TestServer::start().await;
    let a = server.user().await;
    let chat = server.chat(Dialect::Ga2025, &a);
    let thread = chat.thread("t", &[]).await;
    let messages = format!("{thread}/messages");
    let huge = json!({ "content": "x".repeat(1024 * 1024) }).to_string();
    let answer = server
        .send(chat.request(Method::POST, &messages, huge.clone()))
        .await
        .expect(413);
    assert_eq!(answer.code(), "PayloadTooLarge");
    let mut declared = chat.request(Method::POST, &messages, String::new());
    declared
        .headers_mut()
        .insert("content-length", "99999999999".parse().unwrap());
    server.send(declared).await.expect(413);
    let (parts, _) = chat
        .request(Method::POST, &messages, String::new())
        .into_parts();
    let pieces = huge
        .into_bytes()
        .chunks(1000)
        .map(<[u8]>::to_vec)
        .collect::<Vec<_>>();
    let stream = futures_util::stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>));
    server
        .send(Request::from_parts(parts, Body::from_stream(stream)))
        .await
        .expect(413);
    assert!(chat.texts(&thread).await.is_empty());
}

#[tokio::test]
async fn paths_and_methods_that_do_not_exist_are_404_and_405() {
    let server = TestServer::start().await;
    let a = server.user().await;
    for dialect in Dialect::ALL {
        let chat = server.chat(dialect, &a);
        check_shape(
            dialect,
            &chat.get("/chat/nothing").await.expect(404).json,
            "NotFound",
        );
        let answer = chat.delete("/chat/threads").await.expect(405);
        check_shape(dialect, &answer.json, "MethodNotAllowed");
        chat.get("/chat/threads/x/participants/:add")
            .await
            .expect(405);
    }
    let request = Request::builder()
        .uri("/nothing")
        .header("host", HOST)
        .body(Body::empty())
        .unwrap();
    server.send(request).await.expect(400);
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

#[tokio::test]
async fn hosted_errors_have_the_shape_that_the_hosted_service_sends() {
    for options in [
        Options {
            profile: cavansite::state::Profile::Azure,
            ..Options::default()
        },
        Options {
            error_shape: Some(ErrorShape::Hosted),
            ..Options::default()
        },
    ] {
        let server = TestServer::with(options).await;
        let a = server.user().await;
        for dialect in Dialect::ALL {
            let path = "/chat/threads/19:00000000000000000000000000000000@thread.v2";
            let answer = server.chat(dialect, &a).get(path).await.expect(404);
            assert_eq!(
                answer.json,
                json!({ "CommunicationError": { "Code": "NotFound",
                    "Message": "The specified thread id was not found.", "Details": [] } })
            );
        }
        let answer = server
            .identity(Method::DELETE, "/identities/x?api-version=2023-10-01", "")
            .await;
        assert_eq!(answer.expect(401).json["error"]["code"], "IdentityNotOwned");
    }
}
