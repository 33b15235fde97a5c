//! Identities, tokens and signatures.

use axum::body::Body;
use axum::http::{Method, Request};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use cavansite_core::clock::Clock as _;
use serde_json::{Value, json};

use crate::harness::{Dialect, HOST, Options, Signing, TestServer, User};

const BETA: &str = "api-version=2020-07-20-preview2";
const GA: &str = "api-version=2023-10-01";
const HOUR_MS: i64 = 60 * 60 * 1000;

async fn may_list(server: &TestServer, token: &str) -> bool {
    let user = User {
        id: String::new(),
        token: token.to_owned(),
    };
    let answer = server
        .chat(Dialect::Preview2, &user)
        .get("/chat/threads")
        .await;
    assert!(
        matches!(answer.status.as_u16(), 200 | 401),
        "{}",
        answer.text
    );
    answer.status == 200
}

#[tokio::test]
async fn the_beta_creates_issues_revokes_and_deletes() {
    let server = TestServer::start().await;
    let created = server
        .identity(Method::POST, &format!("/identities?{BETA}"), "")
        .await
        .expect(200);
    let id = created.json["id"].as_str().unwrap();
    assert!(
        id.starts_with(&format!("8:acs:{}_", server.resource)),
        "{id}"
    );

    let target = format!("/identities/{}/token?{BETA}", id.replace(':', "%3A"));
    let issued = server
        .identity(Method::POST, &target, r#"{"scopes":["chat","pstn"]}"#)
        .await;
    let issued = issued.expect(200);
    assert_eq!(issued.json["id"], id);
    assert_eq!(issued.json["expiresOn"], "2020-11-12T00:38:38+00:00");
    let token = issued.json["token"].as_str().unwrap();
    assert!(may_list(&server, token).await);

    let user = format!("/identities/{id}?{BETA}");
    server
        .identity(Method::PATCH, &user, "{}")
        .await
        .expect(204);
    assert!(!may_list(&server, token).await);
    server.identity(Method::DELETE, &user, "").await.expect(204);
    assert_eq!(
        server
            .identity(Method::DELETE, &user, "")
            .await
            .expect(401)
            .code(),
        "IdentityNotOwned"
    );
}

#[tokio::test]
async fn ga_versions_create_with_and_without_a_token() {
    let server = TestServer::start().await;
    for version in ["2021-03-07", "2022-06-01", "2022-10-01", "2023-10-01"] {
        for body in ["", "{}", r#"{"createTokenWithScopes":[]}"#] {
            let target = format!("/identities?api-version={version}");
            let bare = server
                .identity(Method::POST, &target, body)
                .await
                .expect(201);
            assert!(bare.json["identity"]["id"].is_string());
            assert!(bare.json.get("accessToken").is_none());
        }
        let target = format!("/identities?api-version={version}");
        let body = r#"{"createTokenWithScopes":["chat","voip"],"expiresInMinutes":null}"#;
        let with = server
            .identity(Method::POST, &target, body)
            .await
            .expect(201);
        assert_eq!(
            with.json["accessToken"]["expiresOn"],
            "2020-11-12T00:38:38+00:00"
        );
        assert!(may_list(&server, with.json["accessToken"]["token"].as_str().unwrap()).await);
    }
}

#[tokio::test]
async fn a_token_lives_as_long_as_asked_where_the_version_can_ask() {
    let server = TestServer::start().await;
    let user = server.user().await;
    for (version, expires) in [
        ("2021-03-07", "2020-11-12T00:38:38+00:00"),
        ("2022-10-01", "2020-11-11T01:38:38+00:00"),
    ] {
        let target = format!(
            "/identities/{}/:issueAccessToken?api-version={version}",
            user.id
        );
        let body = r#"{"scopes":["chat"],"expiresInMinutes":60}"#;
        let issued = server
            .identity(Method::POST, &target, body)
            .await
            .expect(200);
        assert_eq!(issued.json["expiresOn"], expires, "{version}");
        assert!(issued.json.get("id").is_none());
    }
}

#[tokio::test]
async fn a_token_ends_when_it_expires() {
    let server = TestServer::start().await;
    let user = server.user().await;
    assert!(may_list(&server, &user.token).await);
    server.clock.advance_ms(24 * HOUR_MS);
    assert!(!may_list(&server, &user.token).await);
}

#[tokio::test]
async fn lives_and_scopes_out_of_bounds_are_refused_in_the_hosted_words() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let issue = format!("/identities/{}/:issueAccessToken?{GA}", user.id);
    let create = format!("/identities?{GA}");
    for minutes in [59, 1441] {
        for (target, scopes) in [(&issue, "scopes"), (&create, "createTokenWithScopes")] {
            let body = json!({ scopes: ["chat"], "expiresInMinutes": minutes }).to_string();
            let refused = server
                .identity(Method::POST, target, &body)
                .await
                .expect(400);
            let message = format!(
                "ExpiresInMinutes value {minutes} is invalid. \
                 Value must be within the [60, 1440] interval."
            );
            let target = "ExpiresInMinutes";
            let error = json!({ "code": "ValidationError", "message": message, "target": target });
            assert_eq!(refused.json, json!({ "error": error }));
        }
    }
    let refused = server
        .identity(Method::POST, &issue, r#"{"scopes":[]}"#)
        .await
        .expect(400);
    let message = "Invalid scopes - Scopes field is required.";
    let error = json!({ "code": "ValidationError", "message": message, "target": "scopes" });
    assert_eq!(refused.json, json!({ "error": error }));
    for body in [
        r#"{"scopes":["admin"]}"#,
        r#"{"scopes":["pstn"]}"#,
        r#"{"scopes":"chat"}"#,
        "{}",
    ] {
        let refused = server
            .identity(Method::POST, &issue, body)
            .await
            .expect(400);
        assert_eq!(refused.code(), "ValidationError", "{body}");
    }
}

#[tokio::test]
async fn join_scopes_exist_from_the_version_that_added_them() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let body = r#"{"scopes":["chat.join","voip.join","chat.join.limited"]}"#;
    for (version, status) in [("2022-10-01", 400), ("2023-10-01", 200)] {
        let target = format!(
            "/identities/{}/:issueAccessToken?api-version={version}",
            user.id
        );
        server
            .identity(Method::POST, &target, body)
            .await
            .expect(status);
    }
}

#[tokio::test]
async fn ids_of_other_resources_and_garbage_are_not_owned() {
    let server = TestServer::start().await;
    let other = TestServer::with(Options {
        resource: 99,
        ..Options::default()
    })
    .await;
    let foreign = other.user().await.id;
    let unknown = format!(
        "8:acs:{}_00000000-0000-0000-0000-000000000000",
        server.resource
    );
    for id in [
        foreign.as_str(),
        &unknown,
        "garbage",
        "8:orgid:1",
        "%00",
        "8:acs:%F0%9F%98%80_x",
    ] {
        for (method, target, body) in [
            (Method::DELETE, format!("/identities/{id}?{GA}"), ""),
            (
                Method::POST,
                format!("/identities/{id}/:revokeAccessTokens?{GA}"),
                "",
            ),
            (
                Method::POST,
                format!("/identities/{id}/:issueAccessToken?{GA}"),
                r#"{"scopes":["chat"]}"#,
            ),
            (Method::PATCH, format!("/identities/{id}?{BETA}"), "{}"),
        ] {
            let refused = server.identity(method, &target, body).await.expect(401);
            let message = "Provided identity doesn't belong to the resource.";
            let error = json!({ "code": "IdentityNotOwned", "message": message });
            assert_eq!(refused.json, json!({ "error": error }));
        }
    }
}

#[tokio::test]
async fn a_token_issued_in_the_instant_of_a_revocation_works_and_the_one_before_does_not() {
    let server = TestServer::start().await;
    let user = server.user().await;
    server.revoke(&user).await;
    assert!(!may_list(&server, &user.token).await);
    let target = format!("/identities/{}/:issueAccessToken?{GA}", user.id);
    let issued = server
        .identity(Method::POST, &target, r#"{"scopes":["chat"]}"#)
        .await
        .expect(200);
    let token = issued.json["token"].as_str().unwrap();
    assert!(may_list(&server, token).await);
    server.revoke(&user).await;
    assert!(
        !may_list(&server, token).await,
        "revoked in the instant of its issue"
    );
}

#[tokio::test]
async fn a_revocation_holds_however_the_clock_steps() {
    let server = TestServer::start().await;
    let user = server.user().await;
    server.clock.advance_ms(-HOUR_MS);
    server.revoke(&user).await;
    assert!(!may_list(&server, &user.token).await);
    let target = format!("/identities/{}/:issueAccessToken?{GA}", user.id);
    let body = r#"{"scopes":["chat"]}"#;
    let issued = server.identity(Method::POST, &target, body).await;
    let issued = issued.expect(200);
    let token = issued.json["token"].as_str().unwrap();
    assert!(may_list(&server, token).await);
    server.clock.advance_ms(-HOUR_MS);
    server.revoke(&user).await;
    assert!(!may_list(&server, token).await);
    // Nor does a new process believe its clock.
    let issued = server.token(&user).await;
    assert!(may_list(&server, &issued).await);
    server.clock.advance_ms(-HOUR_MS);
    let server = server.restart().await;
    server.revoke(&user).await;
    assert!(!may_list(&server, &issued).await);
    let issued = server.token(&user).await;
    assert!(may_list(&server, &issued).await);
    // Its time is ahead of the clock; a revocation of all up to now means it too.
    let target = format!("/identities/{}?{BETA}", user.id);
    let body = json!({ "tokensValidFrom": server.clock_text(0) }).to_string();
    let revoked = server.identity(Method::PATCH, &target, &body).await;
    revoked.expect(204);
    assert!(!may_list(&server, &issued).await);
    server.clock.advance_ms(10 * HOUR_MS);
    let deleted = server.user().await;
    server.delete_user(&deleted).await;
    server.clock.advance_ms(-HOUR_MS);
    assert!(
        !may_list(&server, &deleted.token).await,
        "deleted stays deleted"
    );
}

/// What a token says.
fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[tokio::test]
async fn the_beta_revokes_what_was_issued_up_to_the_given_time() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let target = format!("/identities/{}?{BETA}", user.id);
    let revoke = async |time: &str| {
        let body = json!({ "tokensValidFrom": time }).to_string();
        server
            .identity(Method::PATCH, &target, &body)
            .await
            .expect(204);
    };
    revoke("2020-11-11T00:38:38.691Z").await;
    assert!(may_list(&server, &user.token).await);
    // Java sends the client's own now: a token of that instant falls under it.
    revoke("2020-11-11T00:38:38.692Z").await;
    assert!(!may_list(&server, &user.token).await);
    // A time to come counts as now, or no token could be issued until then.
    revoke("2031-01-01T00:00:00Z").await;
    server.clock.advance_ms(1000);
    let issue = format!("/identities/{}/token?{BETA}", user.id);
    let issued = server
        .identity(Method::POST, &issue, r#"{"scopes":["chat"]}"#)
        .await
        .expect(200);
    let token = issued.json["token"].as_str().unwrap();
    assert!(may_list(&server, token).await);
    let issued_at = claims(token)["iat"].as_i64().unwrap();
    assert_eq!(issued_at, server.clock.now().as_millis() / 1000);
    // It never moves back.
    revoke("1970-01-01T00:00:00Z").await;
    assert!(!may_list(&server, &user.token).await);
}

#[tokio::test]
async fn tokens_of_a_deleted_user_die_at_once_in_open_and_after_a_grace_in_azure() {
    let open = TestServer::start().await;
    let user = open.user().await;
    open.delete_user(&user).await;
    assert!(!may_list(&open, &user.token).await);

    let azure = TestServer::azure().await;
    let user = azure.user().await;
    azure.delete_user(&user).await;
    azure.clock.advance_ms(15 * 60 * 1000 - 1);
    assert!(may_list(&azure, &user.token).await);
    azure.clock.advance_ms(1);
    assert!(!may_list(&azure, &user.token).await);
    let target = format!("/identities/{}/:issueAccessToken?{GA}", user.id);
    azure
        .identity(Method::POST, &target, r#"{"scopes":["chat"]}"#)
        .await
        .expect(401);
}

#[tokio::test]
async fn every_way_in_which_sdks_sign_is_accepted() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let plain = format!("/identities?{GA}");
    for signing in [
        Signing::default(),
        Signing {
            key: 1,
            ..Signing::default()
        },
        Signing {
            date_header: "date",
            ..Signing::default()
        },
        // Java signs the host without its port.
        Signing {
            host: Some("127.0.0.1"),
            ..Signing::default()
        },
        // Python with a slash at the end of the endpoint.
        Signing {
            host: Some("127.0.0.1:10010/"),
            ..Signing::default()
        },
        // Python's first betas over http lose the leading slash.
        Signing {
            target: Some("identities?api-version=2023-10-01"),
            ..Signing::default()
        },
        Signing {
            date_ahead_secs: 14 * 60,
            ..Signing::default()
        },
    ] {
        let request = server.sign(&signing, Method::POST, &plain, "");
        server.send(request).await.expect(201);
    }
    // Python's first asynchronous beta signs the path decoded, the newest JavaScript as sent.
    let encoded = format!("/identities/{}?{GA}", user.id.replace(':', "%3A"));
    let decoded: &'static str = Box::leak(format!("/identities/{}?{GA}", user.id).into_boxed_str());
    let signing = Signing {
        target: Some(decoded),
        ..Signing::default()
    };
    server
        .send(server.sign(&signing, Method::DELETE, &encoded, ""))
        .await
        .expect(204);
}

#[tokio::test]
async fn a_proxy_that_replaces_the_host_does_not_break_signatures() {
    let public_url = Some("https://chat.example.com");
    let server = TestServer::with(Options {
        public_url,
        ..Options::default()
    })
    .await;
    let signing = Signing {
        host: Some("chat.example.com"),
        ..Signing::default()
    };
    let request = server.sign(&signing, Method::POST, &format!("/identities?{GA}"), "");
    server.send(request).await.expect(201);
}

#[tokio::test]
async fn a_signature_that_is_wrong_in_any_part_is_denied() {
    let server = TestServer::start().await;
    let target = format!("/identities?{GA}");
    let good = || server.sign(&Signing::default(), Method::POST, &target, "");
    let with_header = |name: &'static str, value: &str| {
        let mut request = good();
        request.headers_mut().insert(name, value.parse().unwrap());
        request
    };
    let without_header = |name: &str| {
        let mut request = good();
        request.headers_mut().remove(name);
        request
    };
    let mut other_verb = good();
    *other_verb.method_mut() = Method::DELETE;
    *other_verb.uri_mut() = format!("/identities/8:acs:a_b?{GA}").parse().unwrap();
    let mut other_query = good();
    *other_query.uri_mut() = format!("/identities?x=1&{GA}").parse().unwrap();
    let mut other_body = good();
    *other_body.body_mut() = Body::from("{}");
    let without = |name| {
        let signing = Signing {
            left_out: Some(name),
            ..Signing::default()
        };
        server.sign(&signing, Method::POST, &target, "")
    };
    let old = Signing {
        date_ahead_secs: 16 * 60,
        ..Signing::default()
    };
    let ahead = server.sign(&old, Method::POST, &target, "");
    server.clock.advance_ms(32 * 60 * 1000);
    let stale = server.sign(&Signing::default(), Method::POST, &target, "");
    server.clock.advance_ms(-32 * 60 * 1000);

    for (what, request) in [
        ("another verb", other_verb),
        ("another query", other_query),
        ("another body", other_body),
        ("another host", with_header("host", "other:1")),
        (
            "another date",
            with_header("x-ms-date", "Wed, 11 Nov 2020 00:38:37 GMT"),
        ),
        ("no date", without_header("x-ms-date")),
        ("a malformed date", with_header("x-ms-date", "yesterday")),
        ("a date ahead", ahead),
        ("a date to come", stale),
        ("a date that is not signed", without("x-ms-date")),
        ("a host that is not signed", without("host")),
        ("a hash that is not signed", without("x-ms-content-sha256")),
        ("no hash", without_header("x-ms-content-sha256")),
        ("another hash", with_header("x-ms-content-sha256", "AAAA")),
        ("no authorization", without_header("authorization")),
        (
            "a bearer token",
            with_header("authorization", "Bearer a.b.c"),
        ),
        ("no fields", with_header("authorization", "HMAC-SHA256 x")),
        (
            "no signed headers",
            with_header("authorization", "HMAC-SHA256 SignedHeaders=&Signature=AAAA"),
        ),
        (
            "a header signed many times",
            with_header(
                "authorization",
                &format!(
                    "HMAC-SHA256 SignedHeaders={}&Signature=AAAA",
                    "host;".repeat(3000)
                ),
            ),
        ),
        ("a host of 16 KB", with_header("host", &"h".repeat(16_000))),
        (
            "a signature that is not base64",
            with_header(
                "authorization",
                "HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature=%%",
            ),
        ),
    ] {
        let answer = server.send(request).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code()),
            (401, "Denied"),
            "{what}"
        );
        assert!(answer.json["error"]["message"].is_string(), "{what}");
    }
    server.send(good()).await.expect(201);
}

#[tokio::test]
async fn identity_operations_of_one_shape_are_no_part_of_the_other() {
    let server = TestServer::start().await;
    let user = server.user().await;
    for (method, target) in [
        (Method::POST, format!("/identities/{}/token?{GA}", user.id)),
        (Method::PATCH, format!("/identities/{}?{GA}", user.id)),
        (
            Method::POST,
            format!("/identities/{}/:issueAccessToken?{BETA}", user.id),
        ),
        (
            Method::POST,
            format!("/identities/{}/:revokeAccessTokens?{BETA}", user.id),
        ),
    ] {
        let answer = server
            .identity(method, &target, r#"{"scopes":["chat"]}"#)
            .await
            .expect(400);
        assert_eq!(answer.code(), "UnsupportedApiVersion");
    }
    assert!(may_list(&server, &user.token).await);
}

#[tokio::test]
async fn a_chat_token_opens_nothing_in_identity() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("/identities?{GA}"))
        .header("host", HOST)
        .header("authorization", format!("Bearer {}", user.token))
        .body(Body::empty())
        .unwrap();
    let answer = server.send(request).await.expect(401);
    assert_eq!(answer.code(), "Denied");
    assert_ne!(answer.json, Value::Null);
}
