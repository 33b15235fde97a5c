//! An event stream as its client reads it.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use cavansite::http::{HttpLimits, HttpSettings};
use cavansite::realtime::RealtimeLimits;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::time::{sleep, timeout};
use tower::ServiceExt as _;

use crate::harness::{HOST, Options, TestServer, User};
use crate::websocket::{Live, PATIENCE, QUIET};

pub(crate) const EVENTS: &str = "/cavansite/v1/events";

/// An open stream.
pub(crate) struct Stream {
    body: Body,
    text: String,
    /// How often it was said that more waited than is kept.
    pub(crate) overflows: usize,
    /// The last of its comments but heartbeats.
    pub(crate) comment: String,
}

/// An event of a stream.
pub(crate) struct Event {
    pub(crate) id: Option<String>,
    pub(crate) data: Value,
}

pub(crate) fn request(user: &User, last: Option<&str>) -> Request<Body> {
    let mut request = Request::get(EVENTS)
        .header("host", HOST)
        .header("authorization", format!("Bearer {}", user.token));
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    request.body(Body::empty()).unwrap()
}

impl Stream {
    pub(crate) async fn open(server: &TestServer, user: &User, last: Option<&str>) -> Self {
        let Ok(response) = server.router.clone().oneshot(request(user, last)).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        let mut stream = Self {
            body: response.into_body(),
            text: String::new(),
            overflows: 0,
            comment: String::new(),
        };
        stream.comment = stream.block().await.unwrap();
        assert!(
            stream.comment.starts_with(": connected"),
            "{}",
            stream.comment
        );
        stream
    }

    /// Up to the next blank line; `None` at the end.
    pub(crate) async fn block(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let block = self.text[..end].to_owned();
                self.text.drain(..end + 2);
                return Some(block);
            }
            let frame = timeout(PATIENCE, self.body.frame()).await.unwrap()?;
            let bytes = frame.unwrap().into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }

    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            let block = self.block().await?;
            self.overflows += usize::from(block.starts_with(": more waited than is kept"));
            if block.starts_with(": ") {
                self.comment.clone_from(&block);
            }
            let field = |name: &str| {
                let mut lines = block.lines();
                lines.find_map(|line| line.strip_prefix(name).map(str::to_owned))
            };
            if let Some(data) = field("data: ") {
                return Some(Event {
                    id: field("id: "),
                    data: serde_json::from_str(&data).unwrap(),
                });
            }
        }
    }

    pub(crate) async fn event(&mut self) -> Event {
        // Comments come all the time.
        timeout(PATIENCE, self.next()).await.unwrap().unwrap()
    }

    pub(crate) async fn bodies(&mut self, count: usize) -> Vec<Value> {
        let mut bodies = Vec::new();
        for _ in 0..count {
            bodies.push(self.event().await.data["data"]["messageBody"].clone());
        }
        bodies
    }

    pub(crate) async fn is_quiet(&mut self) -> bool {
        timeout(QUIET, self.next()).await.is_err()
    }
}

/// A server that opens one stream for a user.
pub(crate) async fn for_one_stream_each() -> TestServer {
    let realtime = RealtimeLimits {
        identities_per_user_max: 1,
        ..RealtimeLimits::default()
    };
    TestServer::with(Options {
        realtime,
        ..Options::default()
    })
    .await
}

pub(crate) async fn listen(server: &TestServer, limits: HttpLimits) -> Live<'_> {
    let settings = HttpSettings {
        limits,
        ..HttpSettings::default()
    };
    Live::with(server, settings).await
}

/// Whether a stream opens for the user; it is gone at once.
pub(crate) async fn opens(server: &TestServer, user: &User) -> bool {
    let Ok(response) = server.router.clone().oneshot(request(user, None)).await;
    response.status() == 200
}

/// Returns once a stream opens for the user, or once none does.
pub(crate) async fn until_opens(server: &TestServer, user: &User, wanted: bool, within: Duration) {
    let comes_true = async {
        while opens(server, user).await != wanted {
            sleep(Duration::from_millis(10)).await;
        }
    };
    let came = timeout(within, comes_true).await;
    came.unwrap_or_else(|_| panic!("whether a stream opens stays {}", !wanted));
}
