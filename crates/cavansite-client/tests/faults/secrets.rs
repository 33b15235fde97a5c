//! Tokens and keys show nowhere: not in errors, logs or what `Debug` prints.

use std::io::Write;
use std::sync::{Arc, Mutex};

use cavansite_client::models::TokenScope;
use cavansite_client::{
    AccessKeyCredential, AccessToken, ChatClient, CommunicationIdentityClient, ErrorKind,
    RefreshingTokenCredential, StaticTokenCredential,
};
use futures_util::TryStreamExt as _;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::mock::{ENDPOINT, KEY, Mock, Reply, header, token};

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Everything of this thread, at the finest level, until the guard is dropped.
    fn capture() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let into = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_span_events(FmtSpan::FULL)
            .with_ansi(false)
            .with_writer(move || into.clone())
            .finish();
        // What is of interest is remembered for all threads: without one for all, a test beside this
        // one that nobody listens to may settle that nothing is. An error: there is one already.
        let everybody = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(std::io::sink)
            .finish();
        let _ = tracing::subscriber::set_global_default(everybody);
        let guard = tracing::subscriber::set_default(subscriber);
        (log, guard)
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// A script that sends back in its error whatever secrets came with the request.
fn echo() -> Arc<Mock> {
    Mock::new(|request, _| {
        let values = ["authorization", "x-ms-content-sha256"].map(|name| header(request, name));
        let said = values.into_iter().flatten().collect::<Vec<_>>().join(" ");
        let code = said.trim_start_matches("Bearer ");
        let body = format!(r#"{{"error":{{"code":"{code}","message":"I got {said}"}}}}"#);
        Reply::With(403, ("x-mock", "yes".to_owned()), body)
    })
}

#[tokio::test]
async fn a_token_shows_neither_in_errors_nor_in_logs_nor_in_debug() {
    let (log, _guard) = Log::capture();
    let mock = echo();
    let ada = token("ada");
    let credential = Arc::new(StaticTokenCredential::new(ada.clone()).unwrap());
    let printed = format!("{credential:?}");
    let chat = ChatClient::new(ENDPOINT, credential, Some(mock.chat_options())).unwrap();
    let thread = chat.thread_client("19:t@thread.v2");
    let error = thread.send_message("the content", None).await.unwrap_err();
    let list = chat.list_threads(None).unwrap();
    let shown = format!("{chat:?} {thread:?} {list:?} {printed} {error:?} {error}");
    let listing = list.try_collect::<Vec<_>>().await.unwrap_err();
    let shown = format!("{shown} {listing:?} {listing} {:?}", mock.requests());

    let sent = mock.requests();
    assert_eq!(
        header(&sent[0], "authorization"),
        Some(&*format!("Bearer {}", ada.expose()))
    );
    assert!(
        error.to_string().contains("I got Bearer [secret]"),
        "{error}"
    );
    let logged = log.text();
    assert!(
        logged.contains("send_message") && logged.contains("status=403"),
        "{logged}"
    );
    for text in [&shown, &logged] {
        assert!(!text.contains(ada.expose()), "{text}");
        assert!(
            !text.contains(ada.expose().split('.').nth(1).unwrap()),
            "{text}"
        );
        assert!(!text.contains("the content"), "{text}");
    }
}

#[tokio::test]
async fn a_key_shows_neither_in_errors_nor_in_logs_nor_in_debug() {
    let (log, _guard) = Log::capture();
    let mock = echo();
    let identity = mock.identity();
    let error = identity
        .create_user_and_token(&[TokenScope::Chat], None)
        .await
        .unwrap_err();
    let key = AccessKeyCredential::new(KEY).unwrap();
    let wrong = AccessKeyCredential::new(format!("{KEY}!")).unwrap_err();
    let connection_string = format!("endpoint=ftp://h;accesskey={KEY}");
    let other = CommunicationIdentityClient::from_connection_string(&connection_string, None);
    let other = other.unwrap_err();
    assert_eq!(other.kind(), &ErrorKind::InvalidInput);
    let shown = format!("{identity:?} {key:?} {error:?} {error} {wrong:?} {other:?}");
    let sent = mock.requests();
    let signature = header(&sent[0], "authorization").unwrap();
    assert!(
        signature.starts_with("HMAC-SHA256 SignedHeaders="),
        "{signature}"
    );
    for text in [shown, log.text()] {
        assert!(!text.contains(KEY) && !text.contains("hunter2"), "{text}");
        assert!(!text.contains(signature), "{text}");
    }
}

#[tokio::test]
async fn tokens_that_an_answer_brings_are_not_printed() {
    let (log, _guard) = Log::capture();
    let mock = Mock::new(|_, _| {
        let body = r#"{"identity":{"id":"8:acs:r_u"},
            "accessToken":{"token":"hunter2","expiresOn":"2026-01-17T10:11:49.3368697+00:00"}}"#;
        Reply::Json(201, body)
    });
    let created = mock
        .identity()
        .create_user_and_token(&[TokenScope::Chat], None)
        .await
        .unwrap();
    assert_eq!(created.model().access_token.token.expose(), "hunter2");
    assert!(!format!("{created:?} {}", log.text()).contains("hunter2"));
}

#[tokio::test]
async fn a_refreshing_credential_prints_nothing_of_its_token() {
    let credential =
        RefreshingTokenCredential::new(|| async { Ok(AccessToken::from_jwt(token("ada"))?) }, None)
            .unwrap();
    let given = cavansite_client::TokenCredential::get_token(&credential)
        .await
        .unwrap();
    let shown = format!("{credential:?} {given:?}");
    assert!(!shown.contains(given.token.expose()), "{shown}");
}

#[tokio::test]
async fn of_queries_logs_show_known_parameters_alone() {
    let (log, _guard) = Log::capture();
    let mock = Mock::new(|_, before| {
        let link = if before == 0 {
            "?maxPageSize=3&syncState=hunter2&skip=4#hunter2"
        } else {
            ""
        };
        let body = format!(r#"{{"value":[],"nextLink":"{link}"}}"#);
        Reply::With(200, ("x-mock", "yes".to_owned()), body)
    });
    let list = mock.chat().list_threads(None).unwrap();
    list.try_collect::<Vec<_>>().await.unwrap();
    let shown = format!("{} {:?}", log.text(), mock.requests());
    assert!(
        shown.contains("?maxPageSize=3&syncState=…&skip=4&api-version="),
        "{shown}"
    );
    assert!(!shown.contains("hunter2"), "{shown}");
}
