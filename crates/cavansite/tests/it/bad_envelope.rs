//! Requests that are refused for what is around their values: version, token, media type, size,
//! path and method.

use axum::body::Body;
use axum::http::{Method, Request};
use cavansite::state::ErrorShape;
use serde_json::json;

use crate::bad_input::check_shape;
use crate::harness::{Dialect, HOST, Options, TestServer};

#[tokio::test]
async fn api_versions_that_are_missing_or_unknown_are_400_in_the_newer_shape() {
    let server = TestServer::start().await;
    let a = server.user().await;
    let chat = server.chat(Dialect::Preview2, &a);
    for (version, code) in [
        ("", "ApiVersionUnspecified"),
        ("1", "UnsupportedApiVersion"),
        ("2020-01-01", "UnsupportedApiVersion"),
        ("2020-11-01", "UnsupportedApiVersion"),
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
        Some(
            "2020-09-21-preview2, 2020-11-01-preview3, 2021-01-27-preview4, 2021-03-01-preview5, \
             2021-03-07, 2021-04-05-preview6, 2021-09-07, 2023-07-01-preview, 2023-11-07, \
             2023-11-15-preview, 2024-03-07, 2024-06-05-preview, 2025-03-15"
        )
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
