//! `cavansite-bench client`: what the Rust client takes: a call beside the same one by reqwest
//! alone, an idle real-time connection, events through one stream, crates and a first build.

mod building;
mod calls;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use cavansite_client::models::{ChatParticipant, TokenScope, UserAndToken};
use cavansite_client::realtime::{ChatEvent, RealtimeEvents};
use cavansite_client::{
    ChatClient, ChatClientOptions, ChatThreadClient, ClientOptions, CommunicationIdentityClient,
    CommunicationIdentityClientOptions, CreateChatThreadOptions, HttpTransport,
    StaticTokenCredential,
};
use clap::Args;

use crate::outcome::Outcome;
use crate::plan::{Plan, Running};
use crate::server;
use crate::statistics::Runs;

/// Options of `cargo xtask bench client`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    plan: Plan,
    /// Real-time connections that are open at the same time
    #[arg(long, default_value_t = 200)]
    streams: u32,
    /// Events that go through one stream in a run
    #[arg(long, default_value_t = 10_000)]
    events: u32,
}

/// Messages of one sender that are on their way at the same time.
const SENDERS: u32 = 16;
/// How long idle connections are watched: they ping each 40 seconds.
const IDLE: Duration = Duration::from_secs(80);

/// Measures.
pub(crate) async fn run(options: &Options) -> anyhow::Result<Vec<Outcome>> {
    let mut outcomes = calls::run(&options.plan).await?;
    let folder = options.plan.fresh_folder("client")?;
    let running = options.plan.serve(&folder, &[]).await?;
    let service = Service::new(&running)?;
    outcomes.extend(events(options, &service).await?);
    outcomes.extend(connections(options, &service).await?);
    running.stop().await?;
    outcomes.extend(building::run(&options.plan)?);
    Ok(outcomes)
}

/// Clients of the server, which share their connections.
struct Service {
    endpoint: String,
    identity: CommunicationIdentityClient,
    options: ClientOptions,
}

impl Service {
    fn new(running: &Running) -> anyhow::Result<Self> {
        let ready = &running.server.ready;
        let ca = std::fs::read(&ready.ca_file)?;
        let mut options = ClientOptions::default();
        options.additional_root_certificates.push(ca);
        options.transport = Some(Arc::new(HttpTransport::new(&options)?));
        let mut identity = CommunicationIdentityClientOptions::default();
        identity.client = options.clone();
        let connection_string = &ready.connection_string;
        let identity =
            CommunicationIdentityClient::from_connection_string(connection_string, Some(identity))?;
        Ok(Self {
            endpoint: ready.endpoint.clone(),
            identity,
            options,
        })
    }

    async fn person(&self) -> anyhow::Result<(UserAndToken, ChatClient)> {
        let created = self
            .identity
            .create_user_and_token(&[TokenScope::Chat], None);
        let created = created.await?.into_model();
        let client = self.client(&created, self.options.clone())?;
        Ok((created, client))
    }

    fn client(&self, user: &UserAndToken, client: ClientOptions) -> anyhow::Result<ChatClient> {
        let credential = StaticTokenCredential::from(user.access_token.clone());
        let mut options = ChatClientOptions::default();
        options.client = client;
        let credential = Arc::new(credential);
        Ok(ChatClient::new(&self.endpoint, credential, Some(options))?)
    }

    /// A client for another thread: with connections of its own.
    fn client_elsewhere(&self, user: &UserAndToken) -> anyhow::Result<ChatClient> {
        let mut options = self.options.clone();
        options.transport = None;
        self.client(user, options)
    }

    /// Somebody, and a thread of theirs with another one in it.
    async fn thread(
        &self,
        other: &UserAndToken,
    ) -> anyhow::Result<(UserAndToken, ChatThreadClient)> {
        let (person, client) = self.person().await?;
        let participant = ChatParticipant::new(&other.user);
        let with_other = CreateChatThreadOptions::default().with_participant(participant);
        let created = client.create_thread("bench", Some(with_other)).await?;
        let thread = client.thread_client(created.into_model().chat_thread.id);
        Ok((person, thread))
    }
}

/// Messages through one stream, as fast as another thread on the server's core sends them.
async fn events(options: &Options, service: &Service) -> anyhow::Result<Vec<Outcome>> {
    let (reader, client) = service.person().await?;
    let (sender, thread) = service.thread(&reader).await?;
    let (connection, mut events) = client.connect_realtime(None).await?;
    let (mut cpu, mut rate) = (Runs::default(), Runs::default());
    for _ in 0..options.plan.runs {
        let elsewhere = service.client_elsewhere(&sender)?;
        let sending = elsewhere.thread_client(thread.thread_id());
        let (count, core) = (options.events, options.plan.server_core);
        let sent = std::thread::spawn(move || send(&sending, count, core));
        await_messages(&mut events, 1).await?;
        let (begin, before) = (Instant::now(), server::usage("thread-self")?.cpu_seconds);
        await_messages(&mut events, options.events - 1).await?;
        let used = server::usage("thread-self")?.cpu_seconds - before;
        let took = begin.elapsed().as_secs_f64();
        let sent = sent.join();
        sent.map_err(|_| anyhow::anyhow!("the sender panicked"))??;
        cpu.add(used * 1e6 / f64::from(options.events - 1));
        rate.add(f64::from(options.events - 1) / took);
    }
    connection.close().await;
    Ok(vec![
        Outcome::of("an event through one stream", "CPU µs", cpu),
        Outcome::of(
            "events through one stream, none missed, as fast as they were sent",
            "/s",
            rate,
        ),
    ])
}

/// Reads so many messages; a gap is an error.
async fn await_messages(events: &mut RealtimeEvents, count: u32) -> anyhow::Result<()> {
    let mut left = count;
    while left > 0 {
        match events.next().await.context("the stream ended")?? {
            ChatEvent::MessageReceived(_) => left -= 1,
            ChatEvent::Lagged { missed, .. } => bail!("lagged by {missed} events"),
            ChatEvent::Disconnected { reason } => bail!("disconnected: {reason}"),
            _ => {}
        }
    }
    Ok(())
}

/// Sends so many messages, some at the same time, from a runtime of its own on that core.
fn send(thread: &ChatThreadClient, count: u32, core: usize) -> anyhow::Result<()> {
    // An error means that they share the reader's core.
    server::pin_self_thread(core);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut senders = tokio::task::JoinSet::new();
        for sender in 0..SENDERS {
            let thread = thread.clone();
            senders.spawn(async move {
                for number in (sender..count).step_by(SENDERS as usize) {
                    thread.send_message(&number.to_string(), None).await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(sent) = senders.join_next().await {
            sent??;
        }
        Ok(())
    })
}

/// Connections of as many users, while nothing happens.
async fn connections(options: &Options, service: &Service) -> anyhow::Result<Vec<Outcome>> {
    let mut clients = Vec::new();
    for _ in 0..options.streams {
        clients.push(service.person().await?.1);
    }
    let before = server::memory("self")?.anonymous;
    let mut streams = Vec::new();
    for client in &clients {
        streams.push(client.connect_realtime(None).await?);
    }
    let after = server::memory("self")?.anonymous;
    let begin = server::usage("self")?.cpu_seconds;
    tokio::time::sleep(IDLE).await;
    let used = server::usage("self")?.cpu_seconds - begin;
    let streams_open = f64::from(options.streams);
    let (mut memory, mut cpu) = (Runs::default(), Runs::default());
    memory.add((after - before) / streams_open / 1024.0);
    cpu.add(used * 1e6 / streams_open / IDLE.as_secs_f64());
    Ok(vec![
        Outcome::of(
            "memory of a real-time connection, TLS included",
            "KiB",
            memory,
        ),
        Outcome::of("an idle connection, each second", "CPU µs", cpu),
    ])
}
