//! `cavansite-bench report`: everything, written down as docs/performance.md.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use crate::outcome::{HEAD, Outcome};
use crate::plan::Plan;
use crate::{fanout, growth, idle, pages, send, start};

/// Options of `cargo xtask bench report`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    plan: Plan,
    /// The file that is written
    #[arg(long)]
    output: PathBuf,
}

/// What the profiles say, kept by hand.
const FINDINGS: &str = include_str!("../findings.md");

/// Threads that are sent to.
const SEND_THREADS: [usize; 2] = [64, 1000];

/// Measures everything, and writes the report.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let Options { plan, output } = options;
    let mut report = preface(&plan)?;
    let start = start::Options::of(&plan);
    section(&mut report, "Start", &start::run(&start).await?)?;
    let send = send::Options {
        plan: plan.clone(),
        threads: SEND_THREADS.to_vec(),
    };
    section(&mut report, "Send", &Box::pin(send::run(&send)).await?)?;
    section(&mut report, "Pages", &Box::pin(pages::run(&plan)).await?)?;
    let mixed = Box::pin(pages::mixed(&plan)).await?;
    section(&mut report, "Mixed day", &mixed)?;
    let fanout = fanout::Options::of(&plan);
    let fanned = Box::pin(fanout::run(&fanout)).await?;
    section(&mut report, "Fan-out", &fanned)?;
    let idle = idle::Options::of(&plan);
    let held = Box::pin(idle::run(&idle)).await?;
    section(&mut report, "Idle websockets", &held)?;
    let growth = growth::Options {
        plan,
        messages: 1_000_000,
        threads: 100_000,
        users: 100_000,
    };
    let grown = Box::pin(growth::run(&growth)).await?;
    section(&mut report, "Growth", &grown)?;
    report.push('\n');
    report.push_str(FINDINGS);
    std::fs::write(&output, report).with_context(|| output.display().to_string())
}

fn section(report: &mut String, title: &str, outcomes: &[Outcome]) -> anyhow::Result<()> {
    write!(report, "\n## {title}\n\n{HEAD}")?;
    for outcome in outcomes {
        outcome.print();
        writeln!(report, "{}", outcome.row())?;
    }
    let noted = outcomes.iter().filter(|outcome| !outcome.notes.is_empty());
    for (number, outcome) in noted.enumerate() {
        let before = if number == 0 { "\n" } else { "" };
        writeln!(report, "{before}- {}: {}", outcome.work, outcome.notes)?;
    }
    Ok(())
}

fn preface(plan: &Plan) -> anyhow::Result<String> {
    let cpu = std::fs::read_to_string("/proc/cpuinfo")?;
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown", |rest| rest.trim_start_matches(['\t', ' ', ':']));
    let cores = cpu.lines().filter(|line| line.starts_with("processor"));
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let memory = std::fs::read_to_string("/proc/meminfo")?;
    let memory = memory.lines().next().unwrap_or_default();
    let date = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    Ok(format!(
        "# Performance\n\n\
         Made by `cargo xtask bench report`, which writes this file anew (about twenty \
         minutes). Measured on {date}.\n\n\
         Machine: {model}, {} cores; Linux {}; {memory}.\n\n\
         Method: the server is the release build, a process of its own on one core; the load is \
         another process on another core, {} connections (HTTP/1.1, keep-alive, TLS) in a closed \
         loop but where an open one is named, there with latencies from the intended start. \
         CPU is what the kernel counts for the server's process, divided by the requests \
         answered, or by the deliveries. Each figure is the median of {} runs of {} s after {} s \
         of load, with the least and the most in brackets. What a figure stands beside was \
         measured in the same \
         runs, in turn with it; ratios are made run by run. Floors are programs of the same \
         tool: an echo of the same JSON over TLS, a durable append with group commit, a body of \
         the same size sent from memory over TLS, frames of the same size as the server's pushes \
         written to as many TLS connections by one task, each in a TLS record of its own. The \
         server gathers what waits for a connection in one record: deliveries a record are \
         counted. Every delivery is looked for: a run in which one is missed, comes twice or \
         in another order than at the others fails. Clients of websockets answer each push and \
         ping behind it unless a ping is on its way, as the official client does. The data lies \
         on a disk and each write is synced before it is answered. Targets are judged by the \
         median.\n",
        cores.count(),
        kernel.trim(),
        plan.connections,
        plan.runs,
        plan.seconds,
        plan.warm_up,
    ))
}
