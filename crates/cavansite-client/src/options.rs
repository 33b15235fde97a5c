//! What all clients can be told when they are made.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::setters::setters;
use crate::transport::Transport;

/// How a client talks: part of the options of each.
///
/// ```
/// use cavansite_client::{ChatClientOptions, ClientOptions};
///
/// let mut client = ClientOptions::default();
/// client.application_id = Some("my-app/1.0".to_owned());
/// let mut options = ChatClientOptions::default();
/// options.client = client;
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct ClientOptions {
    /// What carries the requests; an [`HttpTransport`](crate::HttpTransport) of its own by default.
    /// The options below that concern the network count for that one only.
    pub transport: Option<Arc<dyn Transport>>,
    /// Certificate authorities to trust beside the system's, each a PEM text of one or more.
    pub additional_root_certificates: Vec<Vec<u8>>,
    /// Allows an endpoint of `http://`, to this machine only: tokens and keys then travel as
    /// anybody on the machine with the right can read them.
    pub allow_plain_http_to_loopback: bool,
    /// When and how often requests are repeated.
    pub retry: RetryOptions,
    /// How long one attempt of a request may take, to the last byte of the answer; and how long a
    /// token may take before it. The whole call, with its repetitions, is bounded by
    /// [`RetryOptions::max_elapsed`] beside it, and by the `timeout` of the method's options.
    /// Default: 30 seconds.
    pub attempt_timeout: Duration,
    /// Said at the front of the `User-Agent`, such as `my-app/1.0`.
    pub application_id: Option<String>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            transport: None,
            additional_root_certificates: Vec::new(),
            allow_plain_http_to_loopback: false,
            retry: RetryOptions::default(),
            attempt_timeout: Duration::from_secs(30),
            application_id: None,
        }
    }
}

impl fmt::Debug for ClientOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientOptions")
            .field("transport", &self.transport)
            .field(
                "additional_root_certificates",
                &self.additional_root_certificates.len(),
            )
            .field(
                "allow_plain_http_to_loopback",
                &self.allow_plain_http_to_loopback,
            )
            .field("retry", &self.retry)
            .field("attempt_timeout", &self.attempt_timeout)
            .field("application_id", &self.application_id)
            .finish()
    }
}

/// When and how often requests are repeated.
///
/// What may be repeated depends on what the request does. One that does the same when it is done
/// twice (reading, updating, deleting, adding and removing people, receipts, issuing and revoking
/// tokens, creating a thread, whose `repeatability-request-id` the service recognises) is repeated
/// after 408, 429, 500, 502, 503 and 504, and when the connection breaks or says nothing. Sending a
/// message, creating a user and typing are repeated only where the service cannot have done them:
/// when no connection was made, after 429, and after a 503 with `Retry-After`.
///
/// ```
/// let mut once = cavansite_client::RetryOptions::default();
/// once.max_retries = 0;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryOptions {
    /// How many repetitions at most. Default: 8.
    pub max_retries: u32,
    /// About how long to wait before the first; before each further one, twice as long. The waits
    /// are spread by a fifth at random. A `Retry-After` with 429 and 503 counts instead. Default:
    /// 200 milliseconds.
    pub initial_delay: Duration,
    /// The longest such wait. Default: 30 seconds.
    pub max_delay: Duration,
    /// After which time from the start of the call no repetition begins. Default: 60 seconds.
    pub max_elapsed: Duration,
}

impl Default for RetryOptions {
    fn default() -> Self {
        Self {
            max_retries: 8,
            initial_delay: Duration::from_millis(200),
            max_delay: Duration::from_secs(30),
            max_elapsed: Duration::from_mins(1),
        }
    }
}

/// The options of a method that has no more than these.
///
/// ```
/// use std::time::Duration;
///
/// let options = cavansite_client::MethodOptions::default().with_timeout(Duration::from_secs(2));
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct MethodOptions {
    /// How long the call may take, repetitions included. Without it, about
    /// [`RetryOptions::max_elapsed`] and one more [attempt](ClientOptions::attempt_timeout).
    pub timeout: Option<Duration>,
}

setters!(MethodOptions {
    with_timeout(timeout: Duration),
});
