//! What SDKs do to requests on the way, and what every answer carries.

use axum::http::Method;
use serde_json::json;

use crate::harness::{Dialect, Options, TestServer};

#[tokio::test]
async fn ids_arrive_encoded_or_not_and_slashes_doubled() {
    let server = TestServer::start().await;
    let (a, b) = (server.user().await, server.user().await);
    for dialect in Dialect::ALL {
        let chat = server.chat(dialect, &a);
        let thread = chat.thread_with(&[&b]).await;
        let encoded = thread.replace(':', "%3A").replace('@', "%40");
        for path in [
            &thread,
            &encoded,
            &thread.replace(':', "%3a"),
            &format!("/{thread}"),
        ] {
            assert_eq!(
                chat.get(path).await.expect(200).json["topic"],
                "topic",
                "{path}"
            );
        }
        let id = chat.say(&encoded, "x").await;
        chat.get(&format!("//{encoded}//messages/{id}"))
            .await
            .expect(200);
    }
    let chat = server.chat(Dialect::Preview2, &a);
    let thread = chat.thread_with(&[&b]).await;
    chat.delete(&format!("{thread}/members/{}", b.id.replace(':', "%3A")))
        .await
        .expect(204);
    let chat = server.chat(Dialect::Ga2025, &a);
    let body = json!({ "participants": [] });
    chat.post(&format!("{thread}/participants/%3Aadd"), &body)
        .await
        .expect(201);
}

#[tokio::test]
async fn a_segment_is_decoded_once() {
    let server = TestServer::start().await;
    let a = server.user().await;
    let chat = server.chat(Dialect::Ga2025, &a);
    let thread = chat.thread("t", &[]).await;
    chat.get(&thread.replace(':', "%253A")).await.expect(404);
    chat.get(&format!("{thread}%2Fmessages")).await.expect(404);
    chat.get(&format!(
        "{thread}/../{}",
        &thread["/chat/threads/".len()..]
    ))
    .await
    .expect(404);
}

#[tokio::test]
async fn an_identifier_may_come_in_each_sdk_s_form() {
    let server = TestServer::start().await;
    let a = server.user().await;
    let chat = server.chat(Dialect::Ga2025, &a);
    for identifier in ["both", "raw", "nested"] {
        let user = server.user().await;
        let mut person = json!({ "rawId": user.id, "communicationUser": { "id": user.id } });
        match identifier {
            "raw" => drop(person.as_object_mut().unwrap().remove("communicationUser")),
            "nested" => drop(person.as_object_mut().unwrap().remove("rawId")),
            _ => {}
        }
        person["kind"] = json!("communicationUser");
        let thread = chat
            .thread("t", &[json!({ "communicationIdentifier": person })])
            .await;
        assert_eq!(
            chat.all(&format!("{thread}/participants")).await.len(),
            2,
            "{identifier}"
        );
        chat.post(&format!("{thread}/participants/:remove"), &person)
            .await
            .expect(204);
        assert_eq!(
            chat.all(&format!("{thread}/participants")).await.len(),
            1,
            "{identifier}"
        );
    }
    let thread = chat.thread("t", &[]).await;
    chat.post(&format!("{thread}/participants/:remove"), &json!({}))
        .await
        .expect(400);
}

#[tokio::test]
async fn unknown_fields_are_ignored() {
    let server = TestServer::start().await;
    let a = server.user().await;
    for dialect in Dialect::ALL {
        let chat = server.chat(dialect, &a);
        let thread = chat.thread("t", &[]).await;
        let body = json!({ "content": "x", "policyViolation": { "state": "x" }, "sender": "8:acs:a_b",
            "senderId": "8:acs:a_b", "id": "1" });
        let answer = chat
            .post(&format!("{thread}/messages"), &body)
            .await
            .expect(201);
        let path = format!("{thread}/messages/{}", answer.json["id"].as_str().unwrap());
        // Who sends is what the token says, whatever the body claims.
        assert!(chat.get(&path).await.text.contains(&a.id));
    }
}

#[tokio::test]
async fn answers_without_a_body_say_so() {
    let server = TestServer::start().await;
    let a = server.user().await;
    let thread = server.chat(Dialect::Preview2, &a).thread("t", &[]).await;
    let old = server
        .chat(Dialect::Preview2, &a)
        .patch(&thread, &json!({}))
        .await
        .expect(200);
    assert_eq!(old.header("content-length"), Some("0"));
    let new = server
        .chat(Dialect::Ga2025, &a)
        .patch(&thread, &json!({}))
        .await
        .expect(204);
    assert_eq!(new.text, "");
}

#[tokio::test]
async fn a_delete_with_a_body_and_a_get_with_an_empty_one_work() {
    let server = TestServer::start().await;
    let a = server.user().await;
    let chat = server.chat(Dialect::Ga2025, &a);
    let thread = chat.thread("t", &[]).await;
    let mut request = chat.request(Method::GET, &thread, String::new());
    request
        .headers_mut()
        .insert("content-length", "0".parse().unwrap());
    server.send(request).await.expect(200);
    server
        .send(chat.request(Method::DELETE, &thread, "{}".to_owned()))
        .await
        .expect(204);
}

#[tokio::test]
async fn the_emulator_answers_to_its_own_names_only() {
    let server = TestServer::with(Options {
        own_hosts_only: true,
        ..Options::default()
    })
    .await;
    let a = server.user().await;
    let chat = server.chat(Dialect::Ga2025, &a);
    for (host, status) in [
        ("127.0.0.1:10010", 200),
        ("localhost:80", 200),
        ("[::1]", 200),
        ("chat.test:10010", 200),
        ("127.0.0.1:10010:10010", 200),
        ("rebound.example", 421),
        ("rebound.example:127.0.0.1:80", 421),
        ("127.0.0.1.rebound.example:10010", 421),
    ] {
        let mut request = chat.request(Method::GET, "/chat/threads", String::new());
        request.headers_mut().insert("host", host.parse().unwrap());
        server.send(request).await.expect(status);
    }
}

#[tokio::test]
async fn a_path_that_is_not_utf8_is_400_in_the_error_shape() {
    let server = TestServer::start().await;
    let a = server.user().await;
    for path in ["/chat/threads/%FF", "/chat/threads/x/messages/%C3%28"] {
        let answer = server.chat(Dialect::Ga2025, &a).get(path).await.expect(400);
        assert_eq!(answer.code(), "BadRequest");
    }
}
