//! A server in this process, spoken to as over the network but for the socket: requests go
//! through the whole router. Time stands still until a test moves it; ids come from a seed.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use aws_lc_rs::{digest, hmac};
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cavansite::api;
use cavansite::realtime::RealtimeLimits;
use cavansite::state::{AppState, ErrorShape, Profile, StateOptions};
use cavansite_core::clock::{Clock, Randomness};
use cavansite_core::limits::Limits;
use cavansite_core::model::{AccessKey, Installation, Timestamp};
use cavansite_core::secret::Secret;
use cavansite_core::store::sqlite::{Durability, OpenError, SqliteOptions, SqliteStore};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use uuid::Uuid;

pub(crate) use crate::dialect::Dialect;

/// When every test begins: 2020-11-11T00:38:38.692Z.
pub(crate) const START_MS: i64 = 1_605_055_118_692;
/// The host that requests are sent to.
pub(crate) const HOST: &str = "127.0.0.1:10010";

/// A clock that tests set.
pub(crate) struct TestClock(AtomicI64);

impl TestClock {
    pub(crate) fn advance_ms(&self, millis: i64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// Bytes that are different each time and the same each run.
struct SeededRandomness(AtomicU64);

impl Randomness for SeededRandomness {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            let seed = self.0.fetch_add(1, Ordering::SeqCst).to_le_bytes();
            let block = digest::digest(&digest::SHA256, &seed);
            chunk.copy_from_slice(&block.as_ref()[..chunk.len()]);
        }
    }
}

/// What a test may choose.
#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) profile: Profile,
    pub(crate) error_shape: Option<ErrorShape>,
    pub(crate) limits: Limits,
    pub(crate) realtime: RealtimeLimits,
    pub(crate) public_url: Option<&'static str>,
    pub(crate) resource: u128,
    pub(crate) own_hosts_only: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            profile: Profile::Open,
            error_shape: None,
            limits: Limits::default(),
            realtime: RealtimeLimits::default(),
            public_url: None,
            resource: 0x0ace_0000_0000_4000_8000_0000_0000_0001,
            own_hosts_only: false,
        }
    }
}

/// A running server.
pub(crate) struct TestServer {
    pub(crate) router: Router,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) resource: Uuid,
    keys: [Vec<u8>; 2],
    options: Options,
    randomness: Arc<SeededRandomness>,
    directory: tempfile::TempDir,
}

impl TestServer {
    pub(crate) async fn start() -> Self {
        Self::with(Options::default()).await
    }

    pub(crate) async fn azure() -> Self {
        Self::with(Options {
            profile: Profile::Azure,
            ..Options::default()
        })
        .await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let clock = Arc::new(TestClock(AtomicI64::new(START_MS)));
        let randomness = Arc::new(SeededRandomness(AtomicU64::new(1)));
        Self::open(options, tempfile::tempdir().unwrap(), clock, randomness).await
    }

    /// Another process on the same data, once the one before has let it go.
    pub(crate) async fn restart(self) -> Self {
        let Self {
            router,
            options,
            directory,
            clock,
            randomness,
            ..
        } = self;
        drop(router);
        Self::open(options, directory, clock, randomness).await
    }

    async fn open(
        options: Options,
        directory: tempfile::TempDir,
        clock: Arc<TestClock>,
        randomness: Arc<SeededRandomness>,
    ) -> Self {
        let open = || {
            SqliteStore::open(SqliteOptions {
                directory: directory.path().to_owned(),
                durability: Durability::None,
                limits: options.limits.clone(),
                clock: clock.clone(),
            })
        };
        let mut opened = open();
        // Connections that are being closed still hold it.
        for _ in 0..600 {
            if !matches!(opened, Err(OpenError::Locked { .. })) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            opened = open();
        }
        let store = opened.unwrap();
        let keys = [vec![1_u8; 64], vec![2_u8; 64]];
        let access_key = |key: &Vec<u8>| AccessKey {
            generation: 1,
            key: Secret::new(key.clone()),
        };
        let resource = Uuid::from_u128(options.resource);
        let installation = Installation {
            resource,
            access_keys: [access_key(&keys[0]), access_key(&keys[1])],
            token_key: Secret::new(options.resource.to_be_bytes().repeat(2)),
            derivation_key: Secret::new([4; 32]),
        };
        let state = AppState::new(
            Arc::new(store),
            StateOptions {
                clock: clock.clone(),
                randomness: randomness.clone(),
                limits: options.limits.clone(),
                realtime: options.realtime.clone(),
                profile: options.profile,
                proposed_installation: installation,
                hosts: vec!["chat.test".to_owned()],
                public_url: options.public_url.map(|url| url.parse().unwrap()),
                date_skew_ms: 15 * 60 * 1000,
                body_bytes_max: 1024 * 1024,
                error_shape: options.error_shape,
                own_hosts_only: options.own_hosts_only,
            },
        )
        .await
        .unwrap();
        let router = api::router(Arc::new(state));
        Self {
            router,
            clock,
            resource,
            keys,
            options,
            randomness,
            directory,
        }
    }

    /// The clock's time, so many milliseconds on, as answers write it.
    pub(crate) fn clock_text(&self, ahead_ms: i64) -> String {
        let millis = self.clock.now().plus_millis(ahead_ms).as_millis();
        cavansite_protocol::time::DateTime(millis).to_string()
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let Ok(response) = self.router.clone().oneshot(request).await;
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer {
            status: parts.status,
            headers: parts.headers,
            text,
            json,
        }
    }

    /// Has requests signed with another key from now on, where `Signing::key` chooses that one.
    pub(crate) fn use_key(&mut self, index: usize, base64: &str) {
        self.keys[index] = BASE64_STANDARD.decode(base64).unwrap();
    }

    /// Sends a signed request to the identity API.
    pub(crate) async fn identity(&self, method: Method, target: &str, body: &str) -> Answer {
        self.send(self.sign(&Signing::default(), method, target, body))
            .await
    }

    /// A request signed as an SDK signs it, or as a test wants it to be.
    pub(crate) fn sign(
        &self,
        signing: &Signing,
        method: Method,
        target: &str,
        body: &str,
    ) -> Request<Body> {
        let date = httpdate::fmt_http_date(
            std::time::UNIX_EPOCH
                + std::time::Duration::from_millis(self.clock.now().as_millis().unsigned_abs())
                + std::time::Duration::from_secs(signing.date_ahead_secs),
        );
        let hash = BASE64_STANDARD.encode(digest::digest(&digest::SHA256, body.as_bytes()));
        let signed_target = signing.target.unwrap_or(target);
        let signed_host = signing.host.unwrap_or(HOST);
        let date_header = signing.date_header;
        let (names, values): (Vec<_>, Vec<_>) = [
            (date_header, date.as_str()),
            ("host", signed_host),
            ("x-ms-content-sha256", hash.as_str()),
        ]
        .into_iter()
        .filter(|(name, _)| signing.left_out != Some(*name))
        .unzip();
        let text = format!("{method}\n{signed_target}\n{}", values.join(";"));
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.keys[signing.key]);
        let signature = BASE64_STANDARD.encode(hmac::sign(&key, text.as_bytes()));
        Request::builder()
            .method(method)
            .uri(target)
            .header("host", HOST)
            .header(date_header, date)
            .header("x-ms-content-sha256", hash)
            .header("content-type", "application/json")
            .header(
                "authorization",
                format!(
                    "HMAC-SHA256 SignedHeaders={}&Signature={signature}",
                    names.join(";")
                ),
            )
            .body(Body::from(body.to_owned()))
            .unwrap()
    }

    /// A new user with a token for chat.
    pub(crate) async fn user(&self) -> User {
        self.user_with_scopes(&["chat"]).await
    }

    pub(crate) async fn user_with_scopes(&self, scopes: &[&str]) -> User {
        self.user_by(&Signing::default(), scopes).await
    }

    /// A new user whose token was issued under that key.
    pub(crate) async fn user_signed_with(&self, key: usize) -> User {
        let signing = Signing {
            key,
            ..Signing::default()
        };
        self.user_by(&signing, &["chat"]).await
    }

    async fn user_by(&self, signing: &Signing, scopes: &[&str]) -> User {
        let body = json!({ "createTokenWithScopes": scopes }).to_string();
        let target = "/identities?api-version=2023-10-01";
        let answer = self
            .send(self.sign(signing, Method::POST, target, &body))
            .await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        User {
            id: answer.json["identity"]["id"].as_str().unwrap().to_owned(),
            token: answer.json["accessToken"]["token"]
                .as_str()
                .unwrap()
                .to_owned(),
        }
    }

    /// Another token for chat.
    pub(crate) async fn token(&self, user: &User) -> String {
        let target = format!(
            "/identities/{}/:issueAccessToken?api-version=2023-10-01",
            user.id
        );
        let answer = self
            .identity(Method::POST, &target, r#"{"scopes":["chat"]}"#)
            .await;
        answer.expect(200).json["token"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    pub(crate) async fn delete_user(&self, user: &User) {
        let target = format!("/identities/{}?api-version=2023-10-01", user.id);
        let answer = self.identity(Method::DELETE, &target, "").await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.text);
    }

    pub(crate) async fn revoke(&self, user: &User) {
        let target = format!(
            "/identities/{}/:revokeAccessTokens?api-version=2023-10-01",
            user.id
        );
        let answer = self.identity(Method::POST, &target, "").await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.text);
    }

    /// Speaks chat as that user.
    pub(crate) fn chat<'a>(&'a self, dialect: Dialect, user: &'a User) -> Chat<'a> {
        Chat {
            server: self,
            dialect,
            token: &user.token,
        }
    }
}

/// How a request is signed.
pub(crate) struct Signing {
    pub(crate) key: usize,
    pub(crate) date_header: &'static str,
    pub(crate) date_ahead_secs: u64,
    /// What is signed in place of the real target or host.
    pub(crate) target: Option<&'static str>,
    pub(crate) host: Option<&'static str>,
    /// The header that the signature does not cover.
    pub(crate) left_out: Option<&'static str>,
}

impl Default for Signing {
    fn default() -> Self {
        Self {
            key: 0,
            date_header: "x-ms-date",
            date_ahead_secs: 0,
            target: None,
            host: None,
            left_out: None,
        }
    }
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    pub(crate) json: Value,
}

impl Answer {
    /// The answer, if it has that status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The code of an error, in whichever shape.
    pub(crate) fn code(&self) -> &str {
        [
            &self.json["code"],
            &self.json["error"]["code"],
            &self.json["CommunicationError"]["Code"],
        ]
        .into_iter()
        .find_map(Value::as_str)
        .unwrap_or_default()
    }

    /// The items of a page.
    pub(crate) fn items(&self) -> &[Value] {
        self.json["value"].as_array().unwrap()
    }

    /// Path and query of the link to the next page.
    pub(crate) fn next(&self) -> Option<String> {
        let link = self.json["nextLink"].as_str()?;
        Some(
            link.strip_prefix(&format!("https://{HOST}"))
                .expect(link)
                .to_owned(),
        )
    }
}

/// A user and their token.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) token: String,
}

/// Chat as one user, in one version.
#[derive(Clone, Copy)]
pub(crate) struct Chat<'a> {
    pub(crate) server: &'a TestServer,
    pub(crate) dialect: Dialect,
    token: &'a str,
}

impl Chat<'_> {
    /// A request with the user's token; the version is added unless the target has one.
    pub(crate) fn request(&self, method: Method, target: &str, body: String) -> Request<Body> {
        let separator = if target.contains('?') { '&' } else { '?' };
        let target = if target.contains("api-version=") {
            target.to_owned()
        } else {
            format!("{target}{separator}api-version={}", self.dialect.version())
        };
        Request::builder()
            .method(method)
            .uri(target)
            .header("host", HOST)
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json")
            .body(Body::from(body))
            .unwrap()
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.server
            .send(self.request(Method::GET, target, String::new()))
            .await
    }

    pub(crate) async fn delete(&self, target: &str) -> Answer {
        self.server
            .send(self.request(Method::DELETE, target, String::new()))
            .await
    }

    pub(crate) async fn post(&self, target: &str, body: &Value) -> Answer {
        self.server
            .send(self.request(Method::POST, target, body.to_string()))
            .await
    }

    pub(crate) async fn patch(&self, target: &str, body: &Value) -> Answer {
        self.server
            .send(self.request(Method::PATCH, target, body.to_string()))
            .await
    }

    /// Creates a thread with those people and returns its path.
    pub(crate) async fn thread(&self, topic: &str, people: &[Value]) -> String {
        let body = json!({ "topic": topic, self.dialect.people(): people });
        let answer = self
            .post("/chat/threads", &body)
            .await
            .expect(self.dialect.created());
        let id = if self.dialect.has_participants() {
            answer.json["chatThread"]["id"].as_str()
        } else {
            let parts = answer.json["multipleStatus"].as_array().unwrap();
            parts.iter().find(|part| part["type"] == "Thread").unwrap()["id"].as_str()
        };
        format!("/chat/threads/{}", id.unwrap())
    }

    /// A thread of the caller and others, all with the whole history.
    pub(crate) async fn thread_with(&self, others: &[&User]) -> String {
        let person = |user: &&User| self.dialect.person(&user.id, &Value::Null);
        self.thread("topic", &others.iter().map(person).collect::<Vec<_>>())
            .await
    }

    /// Sends a message and returns its id.
    pub(crate) async fn say(&self, thread: &str, content: &str) -> String {
        let body = json!({ "content": content });
        let answer = self
            .post(&format!("{thread}/messages"), &body)
            .await
            .expect(201);
        answer.json["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn try_add(&self, thread: &str, user: &User, more: &Value) -> Answer {
        let person = self.dialect.person(&user.id, more);
        let path = if self.dialect.has_participants() {
            "participants/:add"
        } else {
            "members"
        };
        let body = json!({ self.dialect.people(): [person] });
        self.post(&format!("{thread}/{path}"), &body).await
    }

    pub(crate) async fn add(&self, thread: &str, user: &User, more: &Value) {
        let answer = self
            .try_add(thread, user, more)
            .await
            .expect(self.dialect.created());
        assert!(
            !answer.text.contains("403") && !answer.text.contains("404"),
            "{}",
            answer.text
        );
    }

    pub(crate) async fn remove(&self, thread: &str, user: &User) -> Answer {
        if self.dialect.has_identifiers() {
            let body = json!({ "communicationUser": { "id": user.id } });
            self.post(&format!("{thread}/participants/:remove"), &body)
                .await
        } else {
            let people = self.dialect.people();
            self.delete(&format!("{thread}/{people}/{}", user.id)).await
        }
    }

    /// All items of a list, page by page.
    pub(crate) async fn all(&self, target: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut next = Some(target.to_owned());
        while let Some(target) = next {
            let answer = self.get(&target).await.expect(200);
            items.extend_from_slice(answer.items());
            next = answer.next();
        }
        items
    }

    /// The texts of users' messages in a thread, oldest first.
    pub(crate) async fn texts(&self, thread: &str) -> Vec<String> {
        let messages = self.all(&format!("{thread}/messages")).await;
        let of_users = messages.iter().rev().filter(|m| Dialect::is_from_user(m));
        of_users
            .map(|message| self.dialect.text_of(message).to_owned())
            .collect()
    }
}
