//! Threads: create, get, list, update, delete.

use axum::http::Method;
use serde_json::{Value, json};

use crate::harness::{Dialect, HOST, Options, TestServer};

#[tokio::test]
async fn the_beta_answers_a_create_with_a_status_for_each_part() {
    let server = TestServer::start().await;
    let (a, b) = (server.user().await, server.user().await);
    let chat = server.chat(Dialect::Preview2, &a);
    let unknown = format!("8:acs:{}_none", server.resource);
    let body = json!({ "topic": "Thread", "members": [
        { "id": a.id, "displayName": "n", "shareHistoryTime": "2020-11-11T00:00:00.000000Z" },
        { "id": unknown }, { "id": b.id }, { "id": "8:orgid:1" },
    ]});
    let answer = chat.post("/chat/threads", &body).await.expect(207);
    let parts = answer.json["multipleStatus"].as_array().unwrap();
    let thread = parts[4]["id"].as_str().unwrap();
    assert_eq!(
        answer.json["multipleStatus"],
        json!([
            { "id": a.id, "statusCode": 201, "type": "ThreadMember" },
            { "id": unknown, "statusCode": 404, "message": "Not found", "type": "ThreadMember" },
            { "id": b.id, "statusCode": 201, "type": "ThreadMember" },
            { "id": "8:orgid:1", "statusCode": 403, "message": "Permissions check failed",
              "type": "ThreadMember" },
            { "id": thread, "statusCode": 201, "type": "Thread" },
        ])
    );
    let location = format!("https://{HOST}/chat/threads/{}", thread.replace(':', "%3A"));
    assert_eq!(answer.header("location"), Some(location.as_str()));
    assert_eq!(
        answer.header("content-type"),
        Some("application/json; charset=utf-8")
    );

    let got = chat
        .get(&format!("/chat/threads/{thread}"))
        .await
        .expect(200);
    assert_eq!(
        got.json,
        json!({
            "id": thread, "topic": "Thread", "createdOn": "2020-11-11T00:38:38Z", "createdBy": a.id,
            "members": [
                { "id": a.id, "displayName": "n", "shareHistoryTime": "2020-11-11T00:00:00Z" },
                { "id": b.id, "shareHistoryTime": "1970-01-01T00:00:00Z" },
            ],
        })
    );
}

#[tokio::test]
async fn the_previews_of_2021_answer_a_create_with_the_thread_and_errors() {
    let server = TestServer::start().await;
    let a = server.user().await;
    for dialect in [Dialect::Preview3, Dialect::Preview4] {
        let chat = server.chat(dialect, &a);
        let people = [dialect.person("4:+12345", &Value::Null)];
        let body = json!({ "topic": "t", "participants": people });
        let answer = chat.post("/chat/threads", &body).await.expect(201);
        let thread = answer.json["chatThread"].clone();
        let id = thread["id"].as_str().unwrap();
        let mut expected = json!({ "id": id, "topic": "t", "createdOn": "2020-11-11T00:38:38Z" });
        if dialect.has_identifiers() {
            let creator = json!({ "rawId": a.id, "communicationUser": { "id": a.id } });
            expected["createdByCommunicationIdentifier"] = creator;
        } else {
            expected["createdBy"] = json!(a.id);
        }
        assert_eq!(thread, expected);
        let refused =
            json!({ "target": "4:+12345", "code": "403", "message": "Permissions check failed" });
        let errors = json!({ "invalidParticipants": [refused] });
        assert_eq!(
            answer.json,
            json!({ "chatThread": thread, "errors": errors })
        );
        let path = format!("/chat/threads/{id}");
        assert_eq!(chat.get(&path).await.expect(200).json, thread);
    }
}

#[tokio::test]
async fn ga_answers_a_create_with_the_thread_and_who_is_not_in_it() {
    let server = TestServer::start().await;
    let (a, b) = (server.user().await, server.user().await);
    let chat = server.chat(Dialect::Ga2025, &a);
    let unknown = format!("8:acs:{}_none", server.resource);
    let people =
        [b.id.as_str(), &unknown, "4:+12345"].map(|id| Dialect::Ga2025.person(id, &Value::Null));
    let body = json!({
        "topic": "t", "participants": people, "metadata": { "k": "v", "empty": "" },
        "retentionPolicy": { "kind": "threadCreationDate", "deleteThreadAfterDays": 30 },
    });
    let answer = chat.post("/chat/threads", &body).await.expect(201);
    let id = answer.json["chatThread"]["id"].as_str().unwrap();
    let creator = json!({ "rawId": a.id, "communicationUser": { "id": a.id } });
    let thread = json!({
        "id": id, "topic": "t", "createdOn": "2020-11-11T00:38:38Z",
        "createdByCommunicationIdentifier": creator, "metadata": { "k": "v" },
        "retentionPolicy": { "kind": "threadCreationDate", "deleteThreadAfterDays": 30 },
    });
    assert_eq!(
        answer.json,
        json!({ "chatThread": thread, "invalidParticipants": [
            { "target": unknown, "code": "404", "message": "Not found" },
            { "target": "4:+12345", "code": "403", "message": "Permissions check failed" },
        ]})
    );
    assert_eq!(
        chat.get(&format!("/chat/threads/{id}"))
            .await
            .expect(200)
            .json,
        thread
    );

    // A version from before those fields neither takes nor shows them.
    let old = server.chat(Dialect::Ga2024, &a);
    let shown = old
        .get(&format!("/chat/threads/{id}"))
        .await
        .expect(200)
        .json;
    assert!(shown.get("metadata").is_none() && shown.get("retentionPolicy").is_none());
    let answer = old.post("/chat/threads", &body).await.expect(201);
    let id = answer.json["chatThread"]["id"].as_str().unwrap();
    let shown = chat
        .get(&format!("/chat/threads/{id}"))
        .await
        .expect(200)
        .json;
    assert!(shown.get("metadata").is_none() && shown.get("retentionPolicy").is_none());
}

#[tokio::test]
async fn the_creator_takes_part_even_where_not_listed() {
    let server = TestServer::start().await;
    let a = server.user().await;
    for dialect in Dialect::ALL {
        let chat = server.chat(dialect, &a);
        let thread = chat.thread("alone", &[]).await;
        let people = chat.all(&format!("{thread}/{}", dialect.people())).await;
        assert_eq!(people.len(), 1);
        assert_eq!(dialect.id_of(&people[0]), a.id);
        chat.say(&thread, "still here").await;
    }
    let answer = server
        .chat(Dialect::Ga2025, &a)
        .post("/chat/threads", &json!({"topic":"t"}))
        .await;
    assert!(answer.expect(201).json.get("invalidParticipants").is_none());
}

#[tokio::test]
async fn a_repeated_create_finds_the_first_thread_whatever_it_says() {
    let server = TestServer::start().await;
    let (a, b) = (server.user().await, server.user().await);
    let create = async |user, header: &'static str, id: &str, topic: &str| {
        let chat = server.chat(Dialect::Ga2025, user);
        let body = json!({ "topic": topic, "participants": [] }).to_string();
        let mut request = chat.request(Method::POST, "/chat/threads", body);
        request.headers_mut().insert(header, id.parse().unwrap());
        server.send(request).await.expect(201).json["chatThread"].clone()
    };
    let first = create(&a, "repeatability-request-id", "r1", "first").await;
    server.clock.advance_ms(5000);
    assert_eq!(
        create(&a, "repeatability-request-id", "r1", "second").await,
        first
    );
    assert_eq!(create(&a, "idempotency-token", "r1", "third").await, first);
    let other = create(&a, "repeatability-request-id", "r2", "first").await;
    assert_ne!(other["id"], first["id"], "another id makes another thread");
    let others = create(&b, "repeatability-request-id", "r1", "first").await;
    assert_ne!(others["id"], first["id"], "ids belong to their caller");
    assert_eq!(
        server
            .chat(Dialect::Ga2025, &a)
            .all("/chat/threads")
            .await
            .len(),
        2
    );
}

#[tokio::test]
async fn a_thread_made_in_one_version_reads_right_in_every_other() {
    let server = TestServer::start().await;
    let (a, b) = (server.user().await, server.user().await);
    for made_in in Dialect::ALL {
        let maker = server.chat(made_in, &a);
        let thread = maker.thread_with(&[&b]).await;
        let id = maker.say(&thread, "hello").await;
        for read_in in Dialect::ALL {
            let reader = server.chat(read_in, &b);
            let got = reader.get(&thread).await.expect(200).json;
            assert_eq!(got["topic"], "topic");
            let message = reader
                .get(&format!("{thread}/messages/{id}"))
                .await
                .expect(200)
                .json;
            assert_eq!(read_in.text_of(&message), "hello");
            assert_eq!(reader.texts(&thread).await, ["hello"]);
            assert_eq!(
                reader
                    .all(&format!("{thread}/{}", read_in.people()))
                    .await
                    .len(),
                2
            );
        }
    }
}

#[tokio::test]
async fn threads_are_listed_newest_activity_first_and_page_by_page() {
    let server = TestServer::start().await;
    let a = server.user().await;
    for dialect in Dialect::ALL {
        let server = TestServer::start().await;
        let a = server.user().await;
        let chat = server.chat(dialect, &a);
        let mut threads = Vec::new();
        for topic in ["one", "two", "three", "four", "five"] {
            server.clock.advance_ms(1000);
            threads.push(chat.thread(topic, &[]).await);
        }
        server.clock.advance_ms(1000);
        chat.say(&threads[1], "newest").await;
        let topics = |items: &[Value]| -> Vec<String> {
            items
                .iter()
                .map(|item| item["topic"].as_str().unwrap().to_owned())
                .collect()
        };
        let whole = chat.all("/chat/threads").await;
        assert_eq!(topics(&whole), ["two", "five", "four", "three", "one"]);
        assert_eq!(chat.all("/chat/threads?maxPageSize=2").await, whole);
        assert_eq!(whole[0]["lastMessageReceivedOn"], "2020-11-11T00:38:44Z");
        assert_eq!(
            whole[0].get("isDeleted"),
            (!dialect.has_participants()).then_some(&json!(false))
        );
        let recent = chat
            .all("/chat/threads?startTime=2020-11-11T00:38:42.692Z")
            .await;
        assert_eq!(topics(&recent), ["two", "five", "four"]);
    }
    assert!(
        server
            .chat(Dialect::Ga2025, &a)
            .all("/chat/threads")
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn a_new_topic_is_told_and_the_same_one_is_not() {
    let server = TestServer::start().await;
    let a = server.user().await;
    for dialect in Dialect::ALL {
        let chat = server.chat(dialect, &a);
        let thread = chat.thread("old", &[]).await;
        for (body, messages) in [
            (json!({}), 2),
            (json!({ "topic": null }), 2),
            (json!({ "topic": "old" }), 2),
            (json!({ "topic": "new" }), 3),
            (json!({ "topic": "new" }), 3),
        ] {
            let answer = chat.patch(&thread, &body).await.expect(dialect.changed());
            assert_eq!(answer.text, "");
            let list = chat.all(&format!("{thread}/messages")).await;
            assert_eq!(list.len(), messages, "{body}");
        }
        assert_eq!(chat.get(&thread).await.expect(200).json["topic"], "new");
    }
}

#[tokio::test]
async fn metadata_and_retention_of_a_thread_change_where_the_version_has_them() {
    let server = TestServer::start().await;
    let a = server.user().await;
    let chat = server.chat(Dialect::Ga2025, &a);
    let thread = chat.thread("t", &[]).await;
    let change =
        json!({ "metadata": { "a": "1", "b": "2" }, "retentionPolicy": { "kind": "none" } });
    server
        .chat(Dialect::Ga2024, &a)
        .patch(&thread, &change)
        .await
        .expect(204);
    assert!(chat.get(&thread).await.json.get("metadata").is_none());
    chat.patch(&thread, &change).await.expect(204);
    chat.patch(&thread, &json!({ "metadata": { "a": "", "c": "3" } }))
        .await
        .expect(204);
    let got = chat.get(&thread).await.expect(200).json;
    assert_eq!(
        got["metadata"],
        json!({ "b": "2", "c": "3" }),
        "an empty value removes its key"
    );
    assert_eq!(got["retentionPolicy"], json!({ "kind": "none" }));
    assert_eq!(
        chat.all(&format!("{thread}/messages")).await.len(),
        2,
        "and nothing is said"
    );
}

#[tokio::test]
async fn a_deleted_thread_is_gone_for_those_in_it_and_refused_to_others() {
    let server = TestServer::start().await;
    let (a, b, removed, stranger) = (
        server.user().await,
        server.user().await,
        server.user().await,
        server.user().await,
    );
    for dialect in Dialect::ALL {
        let chat = server.chat(dialect, &a);
        let thread = chat.thread_with(&[&b, &removed]).await;
        let message = chat.say(&thread, "x").await;
        chat.remove(&thread, &removed).await.expect(204);
        server.chat(dialect, &b).delete(&thread).await.expect(204);
        for user in [&a, &b, &removed] {
            let chat = server.chat(dialect, user);
            chat.get(&thread).await.expect(404);
            chat.get(&format!("{thread}/messages")).await.expect(404);
            chat.get(&format!("{thread}/messages/{message}"))
                .await
                .expect(404);
            chat.post(&format!("{thread}/messages"), &json!({"content":"x"}))
                .await
                .expect(404);
            chat.delete(&thread).await.expect(204);
            assert!(chat.all("/chat/threads").await.is_empty());
        }
        let stranger = server.chat(dialect, &stranger);
        stranger.get(&thread).await.expect(403);
        stranger.delete(&thread).await.expect(403);
    }
}

#[tokio::test]
async fn a_thread_that_never_was_is_not_found() {
    let server = TestServer::start().await;
    let a = server.user().await;
    for dialect in Dialect::ALL {
        let chat = server.chat(dialect, &a);
        for id in [
            "19:00000000000000000000000000000000@thread.v2",
            "19%3A00000000000000000000000000000000%40thread.v2",
            "garbage",
            "%2e%2e",
            "19:%00",
            "%F0%9F%98%80",
        ] {
            let answer = chat.get(&format!("/chat/threads/{id}")).await.expect(404);
            assert_eq!(answer.code(), "NotFound", "{id}");
            chat.delete(&format!("/chat/threads/{id}"))
                .await
                .expect(404);
            chat.get(&format!("/chat/threads/{id}/messages"))
                .await
                .expect(404);
        }
    }
}

#[tokio::test]
async fn the_first_messages_of_a_thread_name_its_people_and_its_topic() {
    let server = TestServer::start().await;
    let (a, b) = (server.user().await, server.user().await);
    let chat = server.chat(Dialect::Preview2, &a);
    let names = [
        json!({ "id": a.id, "displayName": "A <b>" }),
        json!({ "id": b.id }),
    ];
    let thread = chat.thread("T & U", &names).await;
    let thread_id = thread.strip_prefix("/chat/threads/").unwrap();
    let (first, second) = (1_605_055_118_692_i64, 1_605_055_118_693_i64);
    let list = chat.all(&format!("{thread}/messages")).await;
    assert_eq!(
        list,
        [
            json!({
                "id": second.to_string(), "type": "ThreadActivity/TopicUpdate",
                "priority": "Normal", "version": second.to_string(),
                "content": format!("<topicupdate><eventtime>{second}</eventtime>\
                    <initiator>{}</initiator><value>T &amp; U</value></topicupdate>", a.id),
                "createdOn": "2020-11-11T00:38:38Z", "senderId": thread_id,
            }),
            json!({
                "id": first.to_string(), "type": "ThreadActivity/AddMember",
                "priority": "Normal", "version": first.to_string(),
                "content": format!("<addmember><eventtime>{first}</eventtime>\
                    <initiator>{a}</initiator><detailedinitiatorinfo>\
                    <friendlyName>A &lt;b&gt;</friendlyName></detailedinitiatorinfo>\
                    <rosterVersion>{first}</rosterVersion><target>{a}</target>\
                    <detailedtargetinfo><id>{a}</id><friendlyName>A &lt;b&gt;</friendlyName>\
                    </detailedtargetinfo><target>{b}</target><detailedtargetinfo><id>{b}</id>\
                    </detailedtargetinfo></addmember>", a = a.id, b = b.id),
                "createdOn": "2020-11-11T00:38:38Z", "senderId": thread_id,
            }),
        ]
    );

    let identifier = |id: &str| json!({ "rawId": id, "communicationUser": { "id": id } });
    let list = server
        .chat(Dialect::Ga2025, &b)
        .all(&format!("{thread}/messages"))
        .await;
    assert_eq!(
        list,
        [
            json!({
                "id": second.to_string(), "type": "topicUpdated", "sequenceId": "2",
                "version": second.to_string(), "createdOn": "2020-11-11T00:38:38Z",
                "content": { "topic": "T & U",
                    "initiatorCommunicationIdentifier": identifier(&a.id) },
            }),
            json!({
                "id": first.to_string(), "type": "participantAdded", "sequenceId": "1",
                "version": first.to_string(), "createdOn": "2020-11-11T00:38:38Z",
                "content": {
                    "participants": [
                        { "communicationIdentifier": identifier(&a.id), "displayName": "A <b>",
                          "shareHistoryTime": "1970-01-01T00:00:00Z" },
                        { "communicationIdentifier": identifier(&b.id),
                          "shareHistoryTime": "1970-01-01T00:00:00Z" },
                    ],
                    "initiatorCommunicationIdentifier": identifier(&a.id),
                },
            }),
        ]
    );
}

#[tokio::test]
async fn links_use_the_public_url_where_the_request_came_to_another_name() {
    let public_url = Some("https://chat.example.com/");
    let server = TestServer::with(Options {
        public_url,
        ..Options::default()
    })
    .await;
    let a = server.user().await;
    let chat = server.chat(Dialect::Ga2025, &a);
    for (host, base) in [
        ("127.0.0.1:10010", "https://127.0.0.1:10010"),
        ("localhost:1", "https://localhost:1"),
        ("[::1]:7", "https://[::1]:7"),
        ("chat.test", "https://chat.test"),
        ("evil.example", "https://chat.example.com"),
    ] {
        let body = json!({ "topic": "t" }).to_string();
        let mut request = chat.request(Method::POST, "/chat/threads", body);
        request.headers_mut().insert("host", host.parse().unwrap());
        let answer = server.send(request).await.expect(201);
        let location = answer.header("location").unwrap();
        assert!(
            location.starts_with(&format!("{base}/chat/threads/19%3A")),
            "{location}"
        );
    }
}
