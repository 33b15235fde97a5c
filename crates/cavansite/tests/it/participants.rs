//! Who takes part: list, add, remove, typing.

use serde_json::{Value, json};

use crate::harness::{Dialect, TestServer, User};

#[tokio::test]
async fn added_people_are_listed_told_and_may_act() {
    let server = TestServer::start().await;
    let (a, b, c) = (
        server.user().await,
        server.user().await,
        server.user().await,
    );
    for dialect in Dialect::ALL {
        let chat = server.chat(dialect, &a);
        let thread = chat.thread("t", &[]).await;
        let more = json!({ "displayName": "B", "shareHistoryTime": "2020-11-11T00:38:38.001Z",
            "metadata": { "role": "guest" } });
        let added = chat
            .try_add(&thread, &b, &more)
            .await
            .expect(dialect.created());
        if dialect.has_participants() {
            assert_eq!(added.json, json!({}));
        } else {
            let status = json!({ "id": b.id, "statusCode": 201, "type": "ThreadMember" });
            assert_eq!(added.json, json!({ "multipleStatus": [status] }));
        }
        let people = chat.all(&format!("{thread}/{}", dialect.people())).await;
        assert_eq!(people.len(), 2);
        assert_eq!(dialect.id_of(&people[1]), b.id);
        assert_eq!(people[1]["displayName"], "B");
        assert_eq!(people[1]["shareHistoryTime"], "2020-11-11T00:38:38Z");
        assert!(people[0].get("displayName").is_none());
        let metadata = (dialect == Dialect::Ga2025).then(|| json!({ "role": "guest" }));
        assert_eq!(people[1].get("metadata"), metadata.as_ref());
        let told = &chat.all(&format!("{thread}/messages")).await[0];
        assert!(
            told["type"]
                .as_str()
                .unwrap()
                .contains(if dialect.has_participants() {
                    "Added"
                } else {
                    "Add"
                })
        );
        assert!(told["content"].to_string().contains(&b.id));
        // Whoever was added may add and remove others, and say something.
        let other = server.chat(dialect, &b);
        other.say(&thread, "hello").await;
        other.add(&thread, &c, &Value::Null).await;
        other.remove(&thread, &c).await.expect(204);
        other.remove(&thread, &a).await.expect(204);
    }
}

#[tokio::test]
async fn who_is_there_already_stays_as_they_are_and_nothing_is_said() {
    let server = TestServer::start().await;
    let (a, b) = (server.user().await, server.user().await);
    for dialect in Dialect::ALL {
        let chat = server.chat(dialect, &a);
        let thread = chat.thread_with(&[&b]).await;
        let before = chat.all(&format!("{thread}/{}", dialect.people())).await;
        chat.add(&thread, &b, &json!({ "displayName": "other name" }))
            .await;
        assert_eq!(
            chat.all(&format!("{thread}/{}", dialect.people())).await,
            before
        );
        assert_eq!(chat.all(&format!("{thread}/messages")).await.len(), 2);
    }
}

#[tokio::test]
async fn somebody_listed_twice_is_added_once_as_first_mentioned() {
    let server = TestServer::start().await;
    let (a, b) = (server.user().await, server.user().await);
    for dialect in Dialect::ALL {
        let chat = server.chat(dialect, &a);
        let twice =
            ["first", "second"].map(|name| dialect.person(&b.id, &json!({ "displayName": name })));
        let thread = chat.thread("t", &twice).await;
        let people = chat.all(&format!("{thread}/{}", dialect.people())).await;
        let names: Vec<_> = people.iter().map(|p| p["displayName"].clone()).collect();
        assert_eq!(names, [Value::Null, json!("first")]);
    }
}

#[tokio::test]
async fn people_who_cannot_be_added_are_named_and_the_others_added() {
    let server = TestServer::start().await;
    let (a, b, deleted) = (
        server.user().await,
        server.user().await,
        server.user().await,
    );
    server.delete_user(&deleted).await;
    for dialect in Dialect::ALL {
        let chat = server.chat(dialect, &a);
        let thread = chat.thread("t", &[]).await;
        let ids = [
            deleted.id.as_str(),
            &b.id,
            "8:acs:foreign_x",
            "28:orgid:1",
            "",
        ];
        let people = ids.map(|id| dialect.person(id, &Value::Null));
        let path = if dialect.has_participants() {
            "participants/:add"
        } else {
            "members"
        };
        let body = json!({ dialect.people(): people });
        let answer = chat
            .post(&format!("{thread}/{path}"), &body)
            .await
            .expect(dialect.created());
        let codes: Vec<Value> = if dialect.has_participants() {
            let invalid = dialect
                .invalid_participants(&answer.json)
                .as_array()
                .unwrap();
            invalid
                .iter()
                .map(|one| json!([one["target"], one["code"]]))
                .collect()
        } else {
            let parts = answer.json["multipleStatus"].as_array().unwrap();
            let refused = parts.iter().filter(|part| part["statusCode"] != 201);
            refused
                .map(|one| json!([one["id"], one["statusCode"].to_string()]))
                .collect()
        };
        let expected = [
            json!([deleted.id, "404"]),
            json!(["8:acs:foreign_x", "403"]),
            json!(["28:orgid:1", "403"]),
            json!(["", "403"]),
        ];
        assert_eq!(codes, expected);
        assert_eq!(
            chat.all(&format!("{thread}/{}", dialect.people()))
                .await
                .len(),
            2
        );
    }
}

#[tokio::test]
async fn a_thread_takes_250_people_and_a_call_200() {
    let server = TestServer::start().await;
    let a = server.user().await;
    let mut users: Vec<User> = Vec::new();
    for _ in 0..251 {
        users.push(server.user().await);
    }
    for dialect in [Dialect::Preview2, Dialect::Ga2025] {
        let chat = server.chat(dialect, &a);
        let people = |range: std::ops::Range<usize>| -> Vec<Value> {
            users[range]
                .iter()
                .map(|user| dialect.person(&user.id, &Value::Null))
                .collect()
        };
        let body = json!({ "topic": "t", dialect.people(): people(0..201) });
        chat.post("/chat/threads", &body).await.expect(400);
        let thread = chat.thread("t", &people(0..200)).await;
        let path = if dialect.has_participants() {
            "participants/:add"
        } else {
            "members"
        };
        let add = async |range| {
            let body = json!({ dialect.people(): people(range) });
            chat.post(&format!("{thread}/{path}"), &body).await
        };
        assert_eq!(add(0..201).await.expect(400).code(), "BadRequest");
        let answer = add(200..251).await.expect(dialect.created());
        assert_eq!(answer.text.matches("403").count(), 2, "{}", answer.text);
        assert_eq!(
            chat.all(&format!("{thread}/{}", dialect.people()))
                .await
                .len(),
            250
        );
        let sized = format!("{thread}/{}?maxPageSize=7", dialect.people());
        assert_eq!(chat.all(&sized).await.len(), 250);
    }
}

#[tokio::test]
async fn a_removal_is_told_and_one_of_nobody_is_not() {
    let server = TestServer::start().await;
    let (a, b, stranger) = (
        server.user().await,
        server.user().await,
        server.user().await,
    );
    for dialect in Dialect::ALL {
        let chat = server.chat(dialect, &a);
        let thread = chat.thread_with(&[&b]).await;
        for nobody in [&stranger.id, "8:orgid:1", "garbage"] {
            let nobody = User {
                id: nobody.to_owned(),
                token: String::new(),
            };
            chat.remove(&thread, &nobody).await.expect(204);
        }
        assert_eq!(chat.all(&format!("{thread}/messages")).await.len(), 2);
        chat.remove(&thread, &b).await.expect(204);
        let told = &chat.all(&format!("{thread}/messages")).await[0];
        if dialect.has_identifiers() {
            assert_eq!(told["type"], "participantRemoved");
            let gone = &told["content"]["participants"][0]["communicationIdentifier"];
            assert_eq!(gone["communicationUser"]["id"], b.id);
            let initiator = &told["content"]["initiatorCommunicationIdentifier"];
            assert_eq!(initiator["rawId"], a.id);
        } else if dialect.has_participants() {
            let people = [json!({ "id": b.id, "shareHistoryTime": "1970-01-01T00:00:00Z" })];
            assert_eq!(told["type"], "participantRemoved");
            let content = json!({ "participants": people, "initiator": a.id });
            assert_eq!(told["content"], content);
        } else {
            assert_eq!(told["type"], "ThreadActivity/DeleteMember");
            let id = told["id"].as_str().unwrap();
            assert_eq!(
                told["content"],
                format!(
                    "<deletemember><eventtime>{id}</eventtime><initiator>{}</initiator>\
                     <rosterVersion>{id}</rosterVersion><target>{b}</target>\
                     <detailedtargetinfo><id>{b}</id></detailedtargetinfo></deletemember>",
                    a.id,
                    b = b.id
                )
            );
        }
        chat.remove(&thread, &b).await.expect(204);
        assert_eq!(chat.all(&format!("{thread}/messages")).await.len(), 3);
    }
}

#[tokio::test]
async fn one_may_leave() {
    let server = TestServer::start().await;
    let (a, b) = (server.user().await, server.user().await);
    for dialect in Dialect::ALL {
        let thread = server.chat(dialect, &a).thread_with(&[&b]).await;
        let leaver = server.chat(dialect, &b);
        leaver.remove(&thread, &b).await.expect(204);
        leaver.get(&thread).await.expect(403);
        assert_eq!(
            server
                .chat(dialect, &a)
                .all(&format!("{thread}/{}", dialect.people()))
                .await
                .len(),
            1
        );
    }
}

#[tokio::test]
async fn the_paths_of_one_shape_are_no_part_of_the_other() {
    let server = TestServer::start().await;
    let a = server.user().await;
    for dialect in Dialect::ALL {
        let chat = server.chat(dialect, &a);
        let thread = chat.thread("t", &[]).await;
        let other = if dialect.has_participants() {
            "members"
        } else {
            "participants"
        };
        let answer = chat.get(&format!("{thread}/{other}")).await.expect(400);
        assert_eq!(answer.code(), "UnsupportedApiVersion");
        if dialect.has_identifiers() {
            let path = format!("{thread}/{}/{}", dialect.people(), a.id);
            let answer = chat.delete(&path).await.expect(400);
            assert_eq!(answer.code(), "UnsupportedApiVersion");
        } else {
            let path = format!("{thread}/participants/:remove");
            let body = json!({ "communicationUser": { "id": a.id } });
            let answer = chat.post(&path, &body).await.expect(400);
            assert_eq!(answer.code(), "UnsupportedApiVersion");
        }
    }
}

#[tokio::test]
async fn typing_is_accepted_with_and_without_a_body() {
    let server = TestServer::start().await;
    let a = server.user().await;
    for dialect in Dialect::ALL {
        let chat = server.chat(dialect, &a);
        let path = format!("{}/typing", chat.thread("t", &[]).await);
        for body in [
            "",
            "{}",
            r#"{"senderDisplayName":"n"}"#,
            r#"{"senderDisplayName":null}"#,
        ] {
            let request = chat.request(axum::http::Method::POST, &path, body.to_owned());
            let answer = server.send(request).await.expect(200);
            assert_eq!(
                (answer.text.as_str(), answer.header("content-length")),
                ("", Some("0"))
            );
        }
        let unread = if dialect.is_since_2021_09() { 400 } else { 200 };
        chat.post(&path, &json!({ "senderDisplayName": 7 }))
            .await
            .expect(unread);
    }
}
