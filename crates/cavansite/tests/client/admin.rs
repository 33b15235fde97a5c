//! Cavansite's own route for operators.

use cavansite_client::CavansiteAdminClient;
use cavansite_client::models::KeyType;

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
