//! An address that stays while servers behind it come and go, and whose connections can be cut.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use cavansite_client::models::{ChatParticipant, CommunicationUserIdentifier, TokenScope};
use cavansite_client::{
    AccessToken, ChatClient, ChatClientOptions, ChatThreadClient, ClientOptions,
    CommunicationIdentityClient, CommunicationIdentityClientOptions, CreateChatThreadOptions,
    StaticTokenCredential, TokenCredential,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::harness::{Home, Server};

/// A server that keeps its data, behind a proxy.
pub(crate) struct Kept {
    home: Arc<Home>,
    server: Option<Server>,
    target: Arc<Mutex<Option<SocketAddr>>>,
    cuts: watch::Sender<u32>,
    pub(crate) endpoint: String,
    connection_string: String,
    ca: Vec<u8>,
}

impl Kept {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("https://{}", listener.local_addr().unwrap());
        let (target, cuts) = (Arc::default(), watch::Sender::new(0));
        tokio::spawn(pass_on(listener, Arc::clone(&target), cuts.clone()));
        let mut kept = Self {
            home: Arc::new(Home::new()),
            server: None,
            target,
            cuts,
            endpoint,
            connection_string: String::new(),
            ca: Vec::new(),
        };
        kept.start_again().await;
        let server = kept.server.as_ref().unwrap();
        let key = server.text("connectionString").split("accesskey=").nth(1);
        kept.connection_string = format!("endpoint={};accesskey={}", kept.endpoint, key.unwrap());
        kept.ca = std::fs::read(server.text("caFile")).unwrap();
        kept
    }

    /// Starts a server on the same data.
    pub(crate) async fn start_again(&mut self) {
        let home = Arc::clone(&self.home);
        let start = move || home.start(&["serve", "--data", "data"]);
        let server = tokio::task::spawn_blocking(start).await.unwrap();
        *self.target.lock().unwrap() = Some(server.address());
        self.server = Some(server);
    }

    /// Ends the server by that signal, and waits until it has.
    pub(crate) async fn end(&mut self, signal: &'static str) {
        let mut server = self.server.take().unwrap();
        let end = move || {
            server.signal(signal);
            server.wait();
        };
        tokio::task::spawn_blocking(end).await.unwrap();
        *self.target.lock().unwrap() = None;
    }

    /// Cuts all connections.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    pub(crate) fn options(&self) -> ClientOptions {
        let mut options = ClientOptions::default();
        options.additional_root_certificates.push(self.ca.clone());
        options
    }

    pub(crate) fn identity(&self) -> CommunicationIdentityClient {
        let mut options = CommunicationIdentityClientOptions::default();
        options.client = self.options();
        let connection_string = &self.connection_string;
        CommunicationIdentityClient::from_connection_string(connection_string, Some(options))
            .unwrap()
    }

    pub(crate) async fn user(&self) -> (CommunicationUserIdentifier, AccessToken) {
        let identity = self.identity();
        let created = identity.create_user_and_token(&[TokenScope::Chat], None);
        let created = created.await.unwrap().into_model();
        (created.user, created.access_token)
    }

    pub(crate) fn chat(&self, credential: Arc<dyn TokenCredential>) -> ChatClient {
        let mut options = ChatClientOptions::default();
        options.client = self.options();
        ChatClient::new(&self.endpoint, credential, Some(options)).unwrap()
    }

    /// A new user with a client.
    pub(crate) async fn person(&self) -> (CommunicationUserIdentifier, ChatClient) {
        let (user, token) = self.user().await;
        let credential = Arc::new(StaticTokenCredential::from(token));
        (user, self.chat(credential))
    }

    /// A thread of two: the one who talks in it, and the other one's client.
    pub(crate) async fn thread(&self) -> (ChatThreadClient, ChatClient) {
        let (_, ada) = self.person().await;
        let (ben_id, ben) = self.person().await;
        let ben_takes_part = ChatParticipant::new(ben_id);
        let options = CreateChatThreadOptions::default().with_participant(ben_takes_part);
        let created = ada.create_thread("lunch", Some(options)).await.unwrap();
        let id = created.into_model().chat_thread.id;
        (ada.thread_client(id), ben)
    }
}

async fn pass_on(
    listener: TcpListener,
    target: Arc<Mutex<Option<SocketAddr>>>,
    cuts: watch::Sender<u32>,
) {
    loop {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut cut = cuts.subscribe();
        let target = *target.lock().unwrap();
        tokio::spawn(async move {
            let Some(target) = target else { return };
            let Ok(mut server) = TcpStream::connect(target).await else {
                return;
            };
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                _ = cut.changed() => {}
            }
        });
    }
}
