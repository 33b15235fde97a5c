//! Cavansite's own route for operators.

use std::sync::Arc;

use cavansite_client::models::KeyType;
use cavansite_client::{AccessKeyCredential, CavansiteAdminClient, ClientOptions, ErrorKind};

use crate::mock::{ENDPOINT, KEY, Mock, Reply, header};

const KEYS: &str = r#"{
    "primaryKey": "hunter2a",
    "secondaryKey": "hunter2b",
    "primaryConnectionString": "endpoint=https://chat.example.com/;accesskey=hunter2a",
    "secondaryConnectionString": "endpoint=https://chat.example.com/;accesskey=hunter2b"
}"#;

fn admin(mock: &Arc<Mock>) -> CavansiteAdminClient {
    let mut options = ClientOptions::default();
    options.transport = Some(mock.clone());
    let key = AccessKeyCredential::new(KEY).unwrap();
    CavansiteAdminClient::new(ENDPOINT, key, Some(options)).unwrap()
}

#[tokio::test]
async fn a_key_is_regenerated_by_a_signed_request_and_neither_is_printed() {
    let mock = Mock::new(|_, _| Reply::Json(200, KEYS));
    let admin = admin(&mock);
    let regenerated = admin.regenerate_key(KeyType::Secondary, None);
    let keys = regenerated.await.unwrap().into_model();
    assert_eq!(keys.primary_key.expose(), "hunter2a");
    assert_eq!(keys.secondary_key.expose(), "hunter2b");
    for (string, key) in [
        (&keys.primary_connection_string, "hunter2a"),
        (&keys.secondary_connection_string, "hunter2b"),
    ] {
        assert!(string.expose().ends_with(key));
    }
    assert!(!format!("{keys:?}").contains("hunter2"));

    let requests = mock.requests();
    let [request] = &requests[..] else {
        panic!("{requests:?}")
    };
    assert_eq!(request.method, "POST");
    assert_eq!(request.url.path(), "/cavansite/v1/admin/regenerateKey");
    assert_eq!(request.body, r#"{"keyType":"Secondary"}"#);
    let authorization = header(request, "authorization").unwrap();
    assert!(authorization.starts_with("HMAC-SHA256 "));
}

#[tokio::test(start_paused = true)]
async fn a_key_is_not_regenerated_twice() {
    for reply in [
        || Reply::Json(500, "{}"),
        || Reply::Fails(ErrorKind::Io),
        || Reply::Silence,
        || Reply::Json(200, r#"{"primaryKey":"hunter2a"}"#),
    ] {
        let mock = Mock::new(move |_, _| reply());
        let error = admin(&mock).regenerate_key(KeyType::Primary, None).await;
        let error = error.unwrap_err();
        assert_eq!(mock.count(), 1, "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}

#[test]
fn an_admin_client_takes_connection_strings_and_refuses_plain_http() {
    let with = |endpoint: &str| {
        let connection_string = format!("endpoint={endpoint};accesskey={KEY}");
        CavansiteAdminClient::from_connection_string(&connection_string, None)
    };
    let client = with(ENDPOINT).unwrap();
    assert!(!format!("{client:?}").contains(KEY));
    let refused = with("http://chat.example.com").unwrap_err();
    assert_eq!(refused.kind(), &ErrorKind::InvalidInput);
}
