//! The log: lines on standard error, as JSON or for people.
//!
//! No line carries content, tokens, keys or query values; who logs a request writes its method,
//! path, status and ids.

use std::io::{self, IsTerminal};

use serde::Deserialize;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The form of the log's lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// One line of text, coloured on a terminal.
    Pretty,
}

/// Says what is wrong with a filter.
pub(crate) fn check_filter(filter: &str) -> Result<(), String> {
    filter
        .parse::<Targets>()
        .map(drop)
        .map_err(|error| error.to_string())
}

/// Starts the log. A filter that cannot be read (settings refuse it before) logs `info`.
pub(crate) fn start(format: LogFormat, filter: &str) {
    let filter = filter
        .parse::<Targets>()
        .unwrap_or_else(|_| Targets::new().with_default(tracing::Level::INFO));
    let registry = tracing_subscriber::registry();
    match format {
        LogFormat::Json => {
            let lines = fmt::layer()
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(false)
                .with_writer(io::stderr);
            registry.with(lines.with_filter(filter)).init();
        }
        LogFormat::Pretty => {
            let lines = fmt::layer()
                .compact()
                .with_ansi(io::stderr().is_terminal())
                .with_writer(io::stderr);
            registry.with(lines.with_filter(filter)).init();
        }
    }
}
