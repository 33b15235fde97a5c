//! Users and tokens.

use cavansite_client::models::{CommunicationUserIdentifier, TokenScope};
use cavansite_client::{
    AccessKeyCredential, ChatApiVersion, CommunicationIdentityClient,
    CommunicationIdentityClientOptions, IdentityApiVersion, IssueTokenOptions,
    StaticTokenCredential, Timestamp,
};

use crate::{Service, assert_refused};

#[tokio::test]
async fn users_and_tokens_live_and_end_in_every_version() {
    let service = Service::start();
    for version in IdentityApiVersion::ALL {
        let identity = service.identity(*version);
        let created = identity.create_user(None).await.unwrap();
        assert_eq!(created.status(), 201);
        assert_eq!(created.request_id().len(), 36);
        let user = created.into_model();
        assert!(user.id.starts_with("8:acs:"), "{}", user.id);

        let token = identity.get_token(&user, &[TokenScope::Chat], None);
        let token = token.await.unwrap().into_model();
        let chat = service.chat(&token, ChatApiVersion::default());
        chat.create_thread("lunch", None).await.unwrap();

        identity.revoke_tokens(&user, None).await.unwrap();
        let refused = chat.create_thread("lunch", None).await;
        assert_refused(refused, 401, "Unauthorized");

        identity.delete_user(&user, None).await.unwrap();
        let gone = identity.get_token(&user, &[TokenScope::Chat], None).await;
        assert_refused(gone, 401, "IdentityNotOwned");
    }
}

#[tokio::test]
async fn a_user_comes_with_a_token_that_lives_as_long_as_asked() {
    let service = Service::start();
    let identity = service.identity(IdentityApiVersion::default());
    let an_hour = IssueTokenOptions::default().with_expires_in_minutes(60u32);
    let scopes = [TokenScope::ChatJoin, TokenScope::VoIP];
    let created = identity.create_user_and_token(&scopes, Some(an_hour.clone()));
    let created = created.await.unwrap().into_model();
    let issued = identity.get_token(&created.user, &[TokenScope::VoIPJoin], Some(an_hour));
    let issued = issued.await.unwrap().into_model();
    for token in [created.access_token, issued] {
        let left = token.expires_on.duration_since(Timestamp::now());
        assert!((3_500..=3_600).contains(&left.as_secs()), "{left:?}");
        assert!(!format!("{token:?}").contains(token.token.expose()));
    }
}

#[tokio::test]
async fn what_the_service_refuses_of_identities_is_a_typed_error() {
    let service = Service::start();
    let identity = service.identity(IdentityApiVersion::default());
    let nobody = CommunicationUserIdentifier::new("8:acs:nobody/../%41 ?#ü");
    let refused = identity.delete_user(&nobody, None).await;
    assert_refused(refused, 401, "IdentityNotOwned");
    let too_short = IssueTokenOptions::default().with_expires_in_minutes(59u32);
    let user = identity.create_user(None).await.unwrap().into_model();
    let refused = identity.get_token(&user, &[TokenScope::Chat], Some(too_short));
    assert_refused(refused.await, 400, "ValidationError");
    let scope = TokenScope::UnknownValue("nonsense".to_owned());
    let refused = identity.get_token(&user, &[scope], None).await;
    assert_refused(refused, 400, "ValidationError");
}

#[tokio::test]
async fn another_key_and_a_token_open_nothing_in_identity() {
    let service = Service::start();
    let options = || {
        let mut options = CommunicationIdentityClientOptions::default();
        options.client = service.options();
        Some(options)
    };
    let key = AccessKeyCredential::new("bm90IHRoZSBrZXk=").unwrap();
    let stranger = CommunicationIdentityClient::new(service.endpoint(), key, options()).unwrap();
    assert_refused(stranger.create_user(None).await, 401, "Denied");

    let token = StaticTokenCredential::from(service.user().await.access_token);
    let user = CommunicationIdentityClient::with_token_credential(
        service.endpoint(),
        std::sync::Arc::new(token),
        options(),
    );
    let refused = user.unwrap().create_user(None).await;
    assert_eq!(refused.unwrap_err().status(), Some(401));
}
