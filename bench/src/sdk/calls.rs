//! Calls by the client, beside the same requests by bare reqwest: the same TLS, the same settings,
//! the same JSON written and read, in turn against the same server.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use cavansite_client::models::{ChatMessage, SendChatMessageResult};
use cavansite_client::{
    ChatApiVersion, ChatClient, ChatClientOptions, ChatThreadClient, StaticTokenCredential,
};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

use crate::outcome::Outcome;
use crate::plan::{Plan, Running};
use crate::server;
use crate::setup::{self, Sender};
use crate::statistics::{Runs, percentile};

/// Calls at the same time, each with a connection.
const CONNECTIONS: [usize; 2] = [1, 64];
/// Bytes of a message.
const CONTENT_BYTES: usize = 1000;

/// What is called.
#[derive(Debug, Clone, Copy)]
enum Work {
    /// `get_message`.
    Get,
    /// `send_message`.
    Send,
}

/// Who calls.
#[derive(Debug, Clone)]
enum Caller {
    Client(ChatThreadClient),
    Bare(Bare),
}

/// Requests without the client.
#[derive(Debug, Clone)]
struct Bare {
    reqwest: reqwest::Client,
    /// Without a query.
    messages: String,
    authorization: String,
}

impl Caller {
    async fn call(&self, work: Work, message: &str, content: &str) -> anyhow::Result<()> {
        match (self, work) {
            (Self::Client(thread), Work::Get) => {
                thread.get_message(message, None).await?.into_model();
            }
            (Self::Client(thread), Work::Send) => {
                thread.send_message(content, None).await?.into_model();
            }
            (Self::Bare(bare), Work::Get) => {
                let url = format!("{}/{message}?{}", bare.messages, version());
                bare.ask::<ChatMessage>(bare.reqwest.get(url)).await?;
            }
            (Self::Bare(bare), Work::Send) => {
                let url = format!("{}?{}", bare.messages, version());
                let body = serde_json::to_vec(&serde_json::json!({ "content": content }))?;
                let request = bare.reqwest.post(url).body(body);
                let request = request.header(CONTENT_TYPE, "application/json");
                bare.ask::<SendChatMessageResult>(request).await?;
            }
        }
        Ok(())
    }
}

fn version() -> String {
    format!("api-version={}", ChatApiVersion::default().as_str())
}

impl Bare {
    async fn ask<T: DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
    ) -> anyhow::Result<T> {
        let request = request.header(ACCEPT, "application/json");
        let answer = request.header(AUTHORIZATION, &self.authorization).send();
        let body = answer.await?.error_for_status()?.bytes().await?;
        Ok(serde_json::from_slice(&body)?)
    }
}

/// Figures of a caller, run by run.
#[derive(Debug, Default)]
struct Figures {
    cpu_micros: Runs,
    per_second: Runs,
    p50_micros: Runs,
}

/// Measures.
pub(crate) async fn run(plan: &Plan) -> anyhow::Result<Vec<Outcome>> {
    let folder = plan.fresh_folder("client-calls")?;
    let server = plan.serve(&folder, &[]).await?;
    let senders = setup::senders(&server.target, &server.server.ready, 1, 1).await?;
    let (client, bare) = callers(&server, &senders[0])?;
    let Caller::Client(thread) = &client else {
        anyhow::bail!("the first is the client");
    };
    let content = "x".repeat(CONTENT_BYTES);
    let message = thread.send_message(&content, None).await?.into_model().id;
    let mut outcomes = Vec::new();
    for (work, name) in [(Work::Get, "get_message"), (Work::Send, "send_message")] {
        for connections in CONNECTIONS {
            let mut figures = [Figures::default(), Figures::default()];
            for _ in 0..plan.runs {
                for (caller, figures) in [&client, &bare].into_iter().zip(&mut figures) {
                    let calls = Calls {
                        caller: caller.clone(),
                        work,
                        message: message.clone(),
                        content: content.clone(),
                    };
                    measure(plan, &calls, connections, figures).await?;
                }
            }
            let [client, bare] = figures;
            let work = format!("{name}, {connections} at a time");
            let mut outcome = Outcome::of(work, "CPU µs of the caller", client.cpu_micros)
                .beside("bare reqwest", &bare.cpu_micros);
            outcome.notes = format!(
                "{} per second beside {}; µs p50 {} beside {}",
                client.per_second.show(0),
                bare.per_second.show(0),
                client.p50_micros.show(0),
                bare.p50_micros.show(0),
            );
            outcomes.push(outcome);
        }
    }
    server.stop().await?;
    std::fs::remove_dir_all(folder)?;
    Ok(outcomes)
}

/// The client, and bare reqwest with the settings that the client gives it.
fn callers(server: &Running, sender: &Sender) -> anyhow::Result<(Caller, Caller)> {
    let ready = &server.server.ready;
    let ca = std::fs::read(&ready.ca_file)?;
    let token = sender.authorization.strip_prefix("Bearer ");
    let credential = StaticTokenCredential::new(token.context("a bearer token")?)?;
    let thread = sender.threads.first().context("a thread")?;
    let mut options = ChatClientOptions::default();
    options.client.additional_root_certificates = vec![ca.clone()];
    let client = ChatClient::new(
        &ready.endpoint,
        std::sync::Arc::new(credential),
        Some(options),
    )?;
    let mut builder = reqwest::Client::builder()
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .tcp_nodelay(true);
    builder = builder.tls_certs_merge(reqwest::Certificate::from_pem_bundle(&ca)?);
    let bare = Bare {
        reqwest: builder.build()?,
        messages: format!("{}/chat/threads/{thread}/messages", ready.endpoint),
        authorization: sender.authorization.clone(),
    };
    Ok((
        Caller::Client(client.thread_client(thread)),
        Caller::Bare(bare),
    ))
}

/// What is called again and again.
#[derive(Clone)]
struct Calls {
    caller: Caller,
    work: Work,
    message: String,
    content: String,
}

/// So many at a time, each as soon as the one before it is answered.
async fn measure(
    plan: &Plan,
    calls: &Calls,
    connections: usize,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let begin = Instant::now() + Duration::from_secs_f64(plan.warm_up);
    let end = begin + Duration::from_secs_f64(plan.seconds);
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        let calls = calls.clone();
        tasks.spawn(async move {
            let mut micros = Vec::new();
            loop {
                let start = Instant::now();
                if start >= end {
                    return anyhow::Ok(micros);
                }
                calls
                    .caller
                    .call(calls.work, &calls.message, &calls.content)
                    .await?;
                if start >= begin {
                    micros.push(u32::try_from(start.elapsed().as_micros())?);
                }
            }
        });
    }
    tokio::time::sleep_until(begin.into()).await;
    let before = server::usage("self")?;
    tokio::time::sleep_until(end.into()).await;
    let after = server::usage("self")?;
    let mut micros = Vec::new();
    while let Some(task) = tasks.join_next().await {
        micros.extend(task??);
    }
    anyhow::ensure!(!micros.is_empty(), "nothing was answered in a whole run");
    micros.sort_unstable();
    let count = f64::from(u32::try_from(micros.len())?);
    let cpu_seconds = after.cpu_seconds - before.cpu_seconds;
    figures.cpu_micros.add(cpu_seconds * 1e6 / count);
    figures.per_second.add(count / plan.seconds);
    figures.p50_micros.add(f64::from(percentile(&micros, 500)));
    Ok(())
}
