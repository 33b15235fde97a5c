//! Tokens that are refreshed in time, too late, or not at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cavansite_client::{
    AccessToken, ChatClient, ErrorKind, RefreshingTokenCredential,
    RefreshingTokenCredentialOptions, StaticTokenCredential, TokenCredential,
};
use tokio::time::{Instant, sleep};

use crate::mock::{ENDPOINT, Mock, Reply, header, token, token_for};

/// A callback that says how often it ran: gives tokens that live so long, one after the other, and
/// fails where none is left.
struct Issuer {
    calls: Arc<AtomicUsize>,
    lives: Arc<[i64]>,
    takes: Duration,
}

impl Issuer {
    fn new(lives: &[i64]) -> Self {
        Self {
            calls: Arc::default(),
            lives: lives.into(),
            takes: Duration::ZERO,
        }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn credential(&self, options: RefreshingTokenCredentialOptions) -> RefreshingTokenCredential {
        let (calls, lives, takes) = (self.calls.clone(), self.lives.clone(), self.takes);
        let callback = move || {
            let (calls, lives) = (calls.clone(), lives.clone());
            async move {
                let number = calls.fetch_add(1, Ordering::SeqCst);
                sleep(takes).await;
                let life = lives.get(number).ok_or("the issuer is down")?;
                Ok(AccessToken::from_jwt(token_for(
                    &format!("{number}"),
                    *life,
                ))?)
            }
        };
        RefreshingTokenCredential::new(callback, Some(options)).unwrap()
    }
}

fn starting_with(life: i64) -> RefreshingTokenCredentialOptions {
    let mut options = RefreshingTokenCredentialOptions::default();
    options.initial_token = Some(AccessToken::from_jwt(token_for("first", life)).unwrap());
    options
}

fn proactive(mut options: RefreshingTokenCredentialOptions) -> RefreshingTokenCredentialOptions {
    options.refresh_proactively = true;
    options
}

const HOUR: i64 = 3_600;

#[tokio::test(start_paused = true)]
async fn a_token_is_kept_until_five_minutes_before_its_end() {
    for (life, calls) in [(HOUR, 0), (310, 0), (290, 1), (-1, 1)] {
        let issuer = Issuer::new(&[HOUR, HOUR]);
        let credential = issuer.credential(starting_with(life));
        for _ in 0..3 {
            credential.get_token().await.unwrap();
        }
        assert_eq!(issuer.calls(), calls, "{life} seconds");
    }
}

#[tokio::test(start_paused = true)]
async fn one_call_is_in_flight_and_all_who_wait_share_it() {
    let mut issuer = Issuer::new(&[HOUR]);
    issuer.takes = Duration::from_secs(5);
    let credential = Arc::new(issuer.credential(RefreshingTokenCredentialOptions::default()));
    let ask = |_| {
        let credential = credential.clone();
        tokio::spawn(async move { credential.get_token().await.unwrap() })
    };
    let waiting: Vec<_> = (0..20).map(ask).collect();
    let mut tokens = Vec::new();
    for one in waiting {
        tokens.push(one.await.unwrap());
    }
    assert_eq!(issuer.calls(), 1);
    assert!(tokens.iter().all(|token| *token == tokens[0]));
}

#[tokio::test(start_paused = true)]
async fn all_who_wait_share_a_failure_and_the_next_asks_again() {
    let mut issuer = Issuer::new(&[]);
    issuer.takes = Duration::from_secs(5);
    let credential = Arc::new(issuer.credential(RefreshingTokenCredentialOptions::default()));
    let ask = |_| {
        let credential = credential.clone();
        tokio::spawn(async move { credential.get_token().await.unwrap_err() })
    };
    for one in (0..20).map(ask).collect::<Vec<_>>() {
        let error = one.await.unwrap();
        assert_eq!(error.kind(), &ErrorKind::Credential);
        let source = std::error::Error::source(&error).unwrap();
        assert_eq!(source.to_string(), "the issuer is down");
    }
    assert_eq!(issuer.calls(), 1);
    credential.get_token().await.unwrap_err();
    assert_eq!(issuer.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn who_stops_waiting_leaves_the_call_to_the_next() {
    let mut issuer = Issuer::new(&[HOUR, HOUR]);
    issuer.takes = Duration::from_secs(5);
    let credential = Arc::new(issuer.credential(RefreshingTokenCredentialOptions::default()));
    let other = credential.clone();
    let first = tokio::spawn(async move { other.get_token().await });
    sleep(Duration::from_secs(1)).await;
    let other = credential.clone();
    let second = tokio::spawn(async move { other.get_token().await });
    sleep(Duration::from_secs(1)).await;
    first.abort();
    second.await.unwrap().unwrap();
    assert_eq!(issuer.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_still_valid_survives_a_failed_refresh() {
    let issuer = Issuer::new(&[]);
    let credential = issuer.credential(starting_with(200));
    let at_hand = credential.get_token().await.unwrap();
    assert_eq!(credential.get_token().await.unwrap(), at_hand);
    assert_eq!(issuer.calls(), 1, "the callback is left alone for a while");
    sleep(Duration::from_secs(11)).await;
    assert_eq!(credential.get_token().await.unwrap(), at_hand);
    assert_eq!(issuer.calls(), 2);

    let issuer = Issuer::new(&[]);
    let error = issuer
        .credential(starting_with(-1))
        .get_token()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Credential);
}

#[tokio::test(start_paused = true)]
async fn a_callback_that_says_nothing_or_gives_an_old_token_has_failed() {
    let mut issuer = Issuer::new(&[HOUR]);
    issuer.takes = Duration::from_hours(1);
    let start = Instant::now();
    let credential = issuer.credential(RefreshingTokenCredentialOptions::default());
    let error = credential.get_token().await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Credential);
    assert_eq!(start.elapsed(), Duration::from_secs(30));

    let issuer = Issuer::new(&[-1, -1]);
    let credential = issuer.credential(RefreshingTokenCredentialOptions::default());
    let error = credential.get_token().await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Credential);
    let credential = issuer.credential(starting_with(200));
    let at_hand = credential.get_token().await.unwrap();
    assert!(at_hand.expires_on > cavansite_client::Timestamp::now());
}

#[tokio::test(start_paused = true)]
async fn a_token_is_replaced_in_the_background_ten_minutes_before_its_end() {
    let issuer = Issuer::new(&[HOUR, HOUR, HOUR]);
    let credential = issuer.credential(proactive(starting_with(HOUR)));
    sleep(Duration::from_mins(49)).await;
    assert_eq!(issuer.calls(), 0);
    sleep(Duration::from_mins(2)).await;
    assert_eq!(issuer.calls(), 1);
    sleep(Duration::from_mins(47)).await;
    assert_eq!(issuer.calls(), 1);
    sleep(Duration::from_mins(4)).await;
    assert_eq!(issuer.calls(), 2);
    drop(credential);
    sleep(Duration::from_hours(10)).await;
    assert_eq!(issuer.calls(), 2, "the credential is gone");
}

#[tokio::test(start_paused = true)]
async fn a_token_with_less_than_ten_minutes_is_replaced_at_half_of_what_is_left() {
    let issuer = Issuer::new(&[HOUR]);
    let _credential = issuer.credential(proactive(starting_with(500)));
    sleep(Duration::from_secs(245)).await;
    assert_eq!(issuer.calls(), 0);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(issuer.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_a_token_the_background_gets_one_and_keeps_trying_at_intervals() {
    let issuer = Issuer::new(&[]);
    let _credential = issuer.credential(proactive(RefreshingTokenCredentialOptions::default()));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(issuer.calls(), 1);
    sleep(Duration::from_secs(100)).await;
    assert!((10..=12).contains(&issuer.calls()), "{}", issuer.calls());
}

#[test]
fn background_refresh_needs_a_runtime_and_says_so() {
    let callback = || async { Err("never".into()) };
    let options = proactive(RefreshingTokenCredentialOptions::default());
    let error = RefreshingTokenCredential::new(callback, Some(options)).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Credential);
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_replaced_once_and_the_request_sent_again() {
    // The server takes nothing but the second token of the issuer.
    let good = token_for("1", HOUR);
    let good = format!("Bearer {}", good.expose());
    let mock = Mock::new(move |request, _| {
        if header(request, "authorization") == Some(&good) {
            Reply::Json(201, r#"{"id":"1"}"#)
        } else {
            Reply::Json(401, r#"{"error":{"code":"Unauthorized"}}"#)
        }
    });
    let issuer = Issuer::new(&[HOUR, HOUR, HOUR]);
    let credential = Arc::new(issuer.credential(RefreshingTokenCredentialOptions::default()));
    let chat = ChatClient::new(ENDPOINT, credential, Some(mock.chat_options())).unwrap();
    let thread = chat.thread_client("t");
    thread.send_message("hello", None).await.unwrap();
    assert_eq!((mock.count(), issuer.calls()), (2, 2));
    thread.send_message("hello", None).await.unwrap();
    assert_eq!((mock.count(), issuer.calls()), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_every_token_ends_it_after_two() {
    let mock = Mock::new(|_, _| Reply::Json(401, "{}"));
    let issuer = Issuer::new(&[HOUR; 10]);
    let credential = Arc::new(issuer.credential(RefreshingTokenCredentialOptions::default()));
    let chat = ChatClient::new(ENDPOINT, credential, Some(mock.chat_options())).unwrap();
    let error = chat.delete_thread("t", None).await.unwrap_err();
    assert_eq!(error.status(), Some(401));
    assert_eq!((mock.count(), issuer.calls()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_that_cannot_be_replaced_leaves_the_401() {
    let mock = Mock::new(|_, _| Reply::Json(401, "{}"));
    let issuer = Issuer::new(&[]);
    let credential = Arc::new(issuer.credential(starting_with(HOUR)));
    let chat = ChatClient::new(ENDPOINT, credential, Some(mock.chat_options())).unwrap();
    let error = chat.delete_thread("t", None).await.unwrap_err();
    assert_eq!(
        (error.status(), mock.count(), issuer.calls()),
        (Some(401), 1, 1)
    );
    // The token is gone, so the next request says what is the matter.
    let error = chat.delete_thread("t", None).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Credential);
    assert_eq!(mock.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_without_a_token() {
    let mock = Mock::new(|_, _| Reply::Json(204, ""));
    let issuer = Issuer::new(&[]);
    let credential = Arc::new(issuer.credential(RefreshingTokenCredentialOptions::default()));
    let chat = ChatClient::new(ENDPOINT, credential, Some(mock.chat_options())).unwrap();
    let error = chat.delete_thread("t", None).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Credential);
    assert_eq!((mock.count(), issuer.calls()), (0, 1));
}

/// A credential that never answers.
#[derive(Debug)]
struct Silent;

#[async_trait::async_trait]
impl TokenCredential for Silent {
    async fn get_token(&self) -> cavansite_client::Result<AccessToken> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_says_nothing_is_an_error_after_half_a_minute() {
    let mock = Mock::new(|_, _| Reply::Json(204, ""));
    let chat = ChatClient::new(ENDPOINT, Arc::new(Silent), Some(mock.chat_options())).unwrap();
    let start = Instant::now();
    let error = chat.delete_thread("t", None).await.unwrap_err();
    assert_eq!((error.kind(), mock.count()), (&ErrorKind::Credential, 0));
    assert_eq!(start.elapsed(), Duration::from_secs(30));
}

#[tokio::test]
async fn a_token_that_cannot_be_a_header_is_refused() {
    let mock = Mock::new(|_, _| Reply::Json(204, ""));
    let odd = AccessToken::new("line\nbreak", token_expiry());
    let credential = Arc::new(StaticTokenCredential::from(odd));
    let chat = ChatClient::new(ENDPOINT, credential, Some(mock.chat_options())).unwrap();
    let error = chat.delete_thread("t", None).await.unwrap_err();
    assert_eq!((error.kind(), mock.count()), (&ErrorKind::Credential, 0));
}

#[tokio::test]
async fn a_token_that_has_expired_is_the_servers_to_refuse() {
    let mock = Mock::new(|_, _| Reply::Json(401, "{}"));
    let credential = Arc::new(StaticTokenCredential::new(token_for("ada", -HOUR)).unwrap());
    let chat = ChatClient::new(ENDPOINT, credential, Some(mock.chat_options())).unwrap();
    let error = chat.delete_thread("t", None).await.unwrap_err();
    assert_eq!((error.status(), mock.count()), (Some(401), 1));
}

fn token_expiry() -> cavansite_client::Timestamp {
    AccessToken::from_jwt(token("ada")).unwrap().expires_on
}
