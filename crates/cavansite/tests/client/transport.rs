//! Certificates, plain HTTP, the upgrade to a websocket, and a server that goes away.

use std::sync::Arc;

use cavansite_client::{
    ChatClient, ChatClientOptions, ErrorKind, HttpTransport, Request, StaticTokenCredential,
    Transport,
};

use crate::Service;

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_refused() {
    let service = Service::start();
    let user = service.user().await;
    let credential = Arc::new(StaticTokenCredential::from(user.access_token));
    let chat = ChatClient::new(service.endpoint(), credential, None).unwrap();
    let error = chat.create_thread("lunch", None).await.unwrap_err();
    // It is not tried again, which would take a minute.
    assert_eq!(error.kind(), &ErrorKind::Tls, "{error:?}");
}

#[tokio::test]
async fn plain_http_works_on_this_machine_and_only_where_it_is_allowed() {
    let service = Service::start();
    let user = service.user().await;
    let endpoint = format!("http://{}", service.server.address());
    let new = |endpoint: &str, allowed| {
        let mut options = ChatClientOptions::default();
        options.client.allow_plain_http_to_loopback = allowed;
        let credential = StaticTokenCredential::from(user.access_token.clone());
        ChatClient::new(endpoint, Arc::new(credential), Some(options))
    };
    for (endpoint, allowed) in [
        (&*endpoint, false),
        ("http://chat.example.com", true),
        ("http://chat.localhost", true),
        ("http://127.0.0.1.example.com", true),
        ("http://192.168.0.1", true),
    ] {
        let error = new(endpoint, allowed).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::InvalidInput);
    }
    let chat = new(&endpoint, true).unwrap();
    chat.create_thread("lunch", None).await.unwrap();
}

#[tokio::test]
async fn an_upgrade_that_the_server_refuses_is_a_typed_error() {
    let service = Service::start();
    let transport = HttpTransport::new(&service.options()).unwrap();
    let url = format!("{}/health", service.endpoint()).parse().unwrap();
    let mut request = Request::new("GET".parse().unwrap(), url);
    for (name, value) in [("connection", "upgrade"), ("upgrade", "websocket")] {
        request.headers.insert(name, value.parse().unwrap());
    }
    let error = transport.upgrade(request).await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::HttpResponse { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_server_that_is_gone_is_a_connection_error_and_one_that_comes_back_is_found() {
    let service = Service::start();
    let user = service.user().await;
    let mut options = ChatClientOptions::default();
    options.client = service.options();
    options.client.retry.max_retries = 1;
    let credential = Arc::new(StaticTokenCredential::from(user.access_token));
    let chat = ChatClient::new(service.endpoint(), credential, Some(options)).unwrap();
    chat.create_thread("lunch", None).await.unwrap();
    drop(service);
    let error = chat.create_thread("lunch", None).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Connection, "{error:?}");
}
