//! A client of real-time notifications, and the server behind a listener for it.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request};
use cavansite::http::{HttpSettings, Workers, serve};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::harness::{Answer, HOST, TestServer, User};

/// Generous: machines that run tests are busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// What is over within a second is waited for so long, for the same reason.
pub(crate) const SOON: Duration = Duration::from_secs(5);
/// Long enough for a push that should not come.
pub(crate) const QUIET: Duration = Duration::from_millis(700);

/// The server's router behind a listener, for websockets.
pub(crate) struct Live<'a> {
    server: &'a TestServer,
    pub(crate) address: SocketAddr,
    pub(crate) stop: Option<oneshot::Sender<()>>,
}

impl<'a> Live<'a> {
    pub(crate) async fn start(server: &'a TestServer) -> Self {
        Self::with(server, HttpSettings::default()).await
    }

    pub(crate) async fn with(server: &'a TestServer, settings: HttpSettings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(serve(
            listener,
            Workers::here(),
            server.router.clone(),
            None,
            settings,
            async { drop(stopped.await) },
        ));
        Self {
            server,
            address,
            stop: Some(stop),
        }
    }

    /// The mark that an identity gets, for one that it brings or for none.
    pub(crate) async fn mark(&self, user: &User, epid: &str, brought: &str) -> String {
        let target = format!("/v4/a?epid={epid}&mark={brought}");
        let answer = ask(self.server, Method::POST, &target, &user.token, "").await;
        let mark = &answer.expect(200).json["connectparams"]["mark"];
        mark.as_str().unwrap().to_owned()
    }

    pub(crate) async fn session_id(&self, user: &User, epid: &str) -> String {
        self.session_id_with(user, epid, "").await
    }

    pub(crate) async fn session_id_with(&self, user: &User, epid: &str, mark: &str) -> String {
        let target = format!("/socket.io/1/?v=v4&epid={epid}&ccid=x&mark={mark}&t=1");
        let answer = ask(self.server, Method::GET, &target, &user.token, "").await;
        let answer = answer.expect(200);
        let fields: Vec<_> = answer.text.split(':').collect();
        assert_eq!(fields[1..], ["180", "180", "websocket"]);
        fields[0].to_owned()
    }

    pub(crate) async fn open(&self, id: &str) -> Option<WebSocketStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let url = format!("ws://{}/socket.io/1/websocket/{id}?v=v4", self.address);
        client_async(url, stream)
            .await
            .ok()
            .map(|(socket, _)| socket)
    }

    pub(crate) async fn connect(&self, user: &User, epid: &str) -> Socket {
        self.connect_with(user, epid, "").await
    }

    pub(crate) async fn connect_with(&self, user: &User, epid: &str, mark: &str) -> Socket {
        let id = self.session_id_with(user, epid, mark).await;
        let mut socket = Socket(self.open(&id).await.unwrap());
        assert_eq!(socket.text().await.unwrap(), "1::");
        let connected = socket.text().await.unwrap();
        assert!(connected.starts_with("5:::{\"name\":\"trouter.connected\""));
        socket
    }
}

/// A request with the token where real-time has it.
pub(crate) async fn ask(
    server: &TestServer,
    method: Method,
    target: &str,
    token: &str,
    body: &str,
) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(target)
        .header("host", HOST)
        .header("content-type", "application/json")
        .header("x-skypetoken", token);
    server
        .send(request.body(Body::from(body.to_owned())).unwrap())
        .await
}

pub(crate) struct Socket(pub(crate) WebSocketStream<TcpStream>);

/// A pushed request, and the event that it carries.
pub(crate) struct Push {
    pub(crate) id: u64,
    pub(crate) url: String,
    pub(crate) event: Value,
}

impl Socket {
    /// The next text; `None` once the server has closed.
    pub(crate) async fn text(&mut self) -> Option<String> {
        loop {
            match timeout(PATIENCE, self.0.next()).await.unwrap()? {
                Ok(Message::Text(text)) => return Some(text.to_string()),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    pub(crate) async fn push(&mut self) -> Push {
        let text = self.text().await.unwrap();
        let request: Value = serde_json::from_str(text.strip_prefix("3:::").unwrap()).unwrap();
        Push {
            id: request["id"].as_u64().unwrap(),
            url: request["url"].as_str().unwrap().to_owned(),
            event: serde_json::from_str(request["body"].as_str().unwrap()).unwrap(),
        }
    }

    pub(crate) async fn answer(&mut self, push: &Push) {
        self.send(&format!(
            "3:::{{\"id\":{},\"status\":200,\"body\":\"\"}}",
            push.id
        ))
        .await;
    }

    /// The next event, which is answered.
    pub(crate) async fn event(&mut self) -> Value {
        let push = self.push().await;
        self.answer(&push).await;
        push.event
    }

    pub(crate) async fn is_quiet(&mut self) -> bool {
        timeout(QUIET, self.0.next()).await.is_err()
    }

    /// What came last before the server closed.
    pub(crate) async fn last_words(&mut self) -> String {
        let mut last = String::new();
        while let Some(text) = self.text().await {
            last = text;
        }
        last
    }
}

pub(crate) const UNAUTHORIZED: &str = "0:::{\"reason\":\"unauthorized\"}";
