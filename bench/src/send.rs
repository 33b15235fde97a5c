//! `cavansite-bench send`: stored sends, beside a TLS echo and a durable append.

use std::sync::Arc;

use clap::Args;

use crate::load::Lane;
use crate::outcome::Outcome;
use crate::plan::{Plan, Subject};
use crate::setup;

/// Options of `cargo xtask bench send`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) plan: Plan,
    /// Threads that are sent to
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64, 1000])]
    pub(crate) threads: Vec<usize>,
}

/// Of all that a target allows: CPU of a send in echoes and appends.
const CPU_MAX: f64 = 1.6;
/// The share of the floors' throughput on one core that sends should have.
const THROUGHPUT_MIN: f64 = 0.6;
/// Milliseconds within which 99 of 100 sends should be answered.
const P99_MS_MAX: f64 = 10.0;

/// Measures each number of threads.
pub(crate) async fn run(options: &Options) -> anyhow::Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for &threads in &options.threads {
        outcomes.extend(Box::pin(measure(&options.plan, threads)).await?);
    }
    Ok(outcomes)
}

/// Echo, append and sends in turn; then sends at half of the rate that they reached.
async fn measure(plan: &Plan, threads: usize) -> anyhow::Result<Vec<Outcome>> {
    let floor = plan.floor().await?;
    let folder = plan.fresh_folder("send")?;
    let server = plan.serve(&folder, &[]).await?;
    let users = usize::from(plan.connections);
    let ready = &server.server.ready;
    let senders = setup::senders(&server.target, ready, users, threads).await?;
    let lanes: Vec<_> = senders.into_iter().map(Arc::new).map(Lane::Send).collect();
    let subjects = [
        Subject::closed(&floor, plan.lanes(&Lane::Echo)),
        Subject::Append,
        Subject::closed(&server, lanes.clone()),
    ];
    let figures = plan.alternate(&subjects).await?;
    let [echo, append, send] = &figures[..] else {
        anyhow::bail!("three subjects");
    };
    let half = [Subject::Load {
        server: &server,
        lanes,
        rate: Some(send.per_second.median() / 2.0),
    }];
    let paced = plan.alternate(&half).await?;
    let closed = server.stop().await?;
    std::fs::remove_dir_all(folder)?;

    let floors = echo
        .cpu_micros
        .with(&append.cpu_micros, |echo, append| echo + append);
    let name = format!("stored send, {threads} threads");
    let mut sends = Outcome::cpu(&name, send)
        .beside("TLS echo + durable append", &floors)
        .at_most_times(CPU_MAX, 0.0);
    sends.notes = format!(
        "{}; echo {} µs, append {} µs; {:.1} writes a sync in the whole run",
        sends.notes,
        echo.cpu_micros.show(1),
        append.cpu_micros.show(1),
        closed.writes / closed.groups,
    );
    // The floors' throughput is that of one core which does nothing else.
    let times = send.per_second.map(|sends| 1e6 / sends);
    let times = Outcome::of(format!("{name}: time of the core"), "µs", times)
        .beside("floors", &floors)
        .at_most_times(1.0 / THROUGHPUT_MIN, 0.0);
    let p99 = Outcome::of(
        format!("{name}: p99, closed loop"),
        "ms",
        send.p99_ms.clone(),
    )
    .at_most(P99_MS_MAX);
    let mut half = Outcome::of(
        format!("{name}: p99, open loop at half of that rate"),
        "ms",
        paced[0].p99_ms.clone(),
    )
    .at_most(P99_MS_MAX);
    half.notes = paced[0].notes();
    Ok(vec![sends, times, p99, half])
}
