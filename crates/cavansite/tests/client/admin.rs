//! Cavansite's own route for operators, and the way to a server under another name.

use cavansite_client::models::KeyType;
use cavansite_client::{
    CavansiteAdminClient, ChatClient, ChatClientOptions, ClientOptions, ErrorKind,
    StaticTokenCredential,
};

use crate::{Service, assert_refused};

#[tokio::test]
async fn a_regenerated_key_takes_the_place_of_the_old_one() {
    let service = Service::start();
    let admin = |connection_string: &str| {
        let options = Some(service.options());
        CavansiteAdminClient::from_connection_string(connection_string, options).unwrap()
    };
    let old = admin(service.server.text("connectionString"));
    let keys = old.regenerate_key(KeyType::Primary, None).await.unwrap();
    let keys = keys.into_model();
    let refused = old.regenerate_key(KeyType::Primary, None).await;
    assert_refused(refused, 401, "Denied");

    let secondary = admin(keys.secondary_connection_string.expose());
    let again = secondary.regenerate_key(KeyType::Secondary, None).await;
    let again = again.unwrap().into_model();
    assert_eq!(again.primary_key, keys.primary_key);
    assert_ne!(again.secondary_key, keys.secondary_key);
    let primary = admin(again.primary_connection_string.expose());
    primary
        .regenerate_key(KeyType::Secondary, None)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_server_is_reached_at_the_address_that_is_given_under_a_name_that_dns_does_not_know() {
    let service = Service::start();
    let port = service.server.address().port();
    // In the certificate, and nowhere else.
    let endpoint = format!("https://cavansite.test:{port}");
    let token = service.user().await.access_token;
    let chat = |client: ClientOptions| {
        let mut options = ChatClientOptions::default();
        options.client = client;
        options.client.retry.max_retries = 0;
        let credential = StaticTokenCredential::from(token.clone());
        ChatClient::new(&endpoint, std::sync::Arc::new(credential), Some(options)).unwrap()
    };
    let mut options = service.options();
    let error = chat(options.clone()).create_thread("lunch", None).await;
    assert_eq!(error.unwrap_err().kind(), &ErrorKind::Connection);
    options.address = Some(service.server.address().ip());
    chat(options).create_thread("lunch", None).await.unwrap();
}
