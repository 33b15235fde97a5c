//! The task that owns the socket: it serves one connection after the other until it is told to
//! stop, or until the server will have it no more.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::backoff::Backoff;
use super::limits::{
    AT_ONCE_EVERY, FAREWELL_TIMEOUT, FORCED_TOKENS_MAX, OLD_CONNECTION, OPEN_TIMEOUT, REFUSALS_MAX,
    RETRY_AFTER_MAX, SILENCES_PER_PROBE,
};
use super::link::{Incoming, Link};
use super::open::{Open, Opener, Refusal, failed};
use super::payload;
use super::queue::Queue;
use super::register::Registration;
use super::{ChatEvent, DisconnectReason, RealtimeOptions, RealtimeState};
use crate::credential::AccessToken;
use crate::transport::Upgraded;
use crate::{Error, ErrorKind, Result};

/// What the task, the handle and the stream share.
pub(super) struct Shared {
    pub(super) queue: Queue,
    pub(super) state: watch::Sender<RealtimeState>,
    /// Set when the program wants no more.
    pub(super) stop: watch::Sender<bool>,
}

/// Opens connections, again and again if need be.
pub(super) struct Dialer {
    opener: Opener,
    open_timeout: Duration,
    backoff: Backoff,
    /// Tokens in a row that the server refused.
    refused_tokens: u32,
    /// Answers in a row that were refusals, and attempts in a row without any answer.
    refusals: u32,
    silences: u32,
}

impl Dialer {
    pub(super) fn new(opener: Opener, options: &RealtimeOptions) -> Self {
        Self {
            opener,
            open_timeout: options.open_timeout,
            backoff: Backoff::new(options.initial_delay, options.max_delay),
            refused_tokens: 0,
            refusals: 0,
            silences: 0,
        }
    }

    /// Tries once. An error without a pause is one that ends it all.
    async fn dial(&mut self, afresh: bool) -> Result<Open, (Error, Option<Duration>)> {
        let opening = self.opener.open(afresh);
        let error = match timeout(self.open_timeout, opening).await {
            Ok(Ok(open)) => {
                (self.refused_tokens, self.refusals, self.silences) = (0, 0, 0);
                self.backoff.reset();
                return Ok(open);
            }
            Ok(Err(Refusal::Deprecated)) => return Err((deprecated(), None)),
            Ok(Err(Refusal::Token(error))) => {
                self.refused_tokens += 1;
                if self.refused_tokens > FORCED_TOKENS_MAX {
                    return Err((error, None));
                }
                return Err((error, Some(self.backoff.next())));
            }
            Ok(Err(Refusal::Other(error))) => error,
            Err(_) => Error::new(ErrorKind::Timeout, "the connection took too long to open"),
        };
        if error.status().is_some() {
            (self.refusals, self.silences) = (self.refusals + 1, 0);
            if self.refusals >= REFUSALS_MAX {
                self.opener.forget();
            }
        } else {
            (self.refusals, self.silences) = (0, self.silences.wrapping_add(1));
            if self.silences.is_multiple_of(SILENCES_PER_PROBE) {
                self.opener.probe().await;
            }
        }
        let asked = error.retry_after().unwrap_or_default().min(RETRY_AFTER_MAX);
        let pause = self.backoff.next().max(asked);
        Err((error, Some(pause)))
    }

    /// Makes the first connection.
    pub(super) async fn first(&mut self, deadline: Instant) -> Result<Open> {
        let mut last = None;
        let dialing = async {
            loop {
                match self.dial(false).await {
                    Ok(open) => return Ok(open),
                    Err((error, Some(pause))) if may_pass(&error) => {
                        tracing::debug!(%error, ?pause, "not connected");
                        last = Some(error);
                        sleep(pause).await;
                    }
                    Err((error, _)) => return Err(error),
                }
            }
        };
        match tokio::time::timeout_at(deadline, dialing).await {
            Ok(outcome) => outcome,
            Err(_) => Err(last.unwrap_or_else(|| {
                Error::new(ErrorKind::Timeout, "no connection came about in time")
            })),
        }
    }

    /// Makes a connection again, however long it takes. `pause`: before the first attempt.
    async fn again(&mut self, mut pause: Duration) -> Result<Open> {
        loop {
            sleep(pause).await;
            match self.dial(false).await {
                Ok(open) => return Ok(open),
                Err((error, Some(next))) => {
                    tracing::debug!(%error, pause = ?next, "not connected");
                    pause = next;
                }
                Err((error, None)) => return Err(error),
            }
        }
    }
}

/// Whether waiting may help with the first connection. Later ones are tried again in any case:
/// what worked once will again.
fn may_pass(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::HttpResponse { status, .. } => matches!(status, 401 | 408 | 429 | 500..),
        ErrorKind::InvalidInput | ErrorKind::DataConversion => false,
        _ => true,
    }
}

fn deprecated() -> Error {
    failed("the service does not take this client any more")
}

/// How a connection's time ended.
enum Over {
    Stopped(Box<Link<Upgraded>>, Registration),
    Lost(DisconnectReason),
}

/// See the module.
pub(super) struct Task {
    pub(super) dialer: Dialer,
    pub(super) shared: Arc<Shared>,
    pub(super) stop: watch::Receiver<bool>,
    /// When a connection was made again without a pause.
    at_once: Option<Instant>,
    /// Between losses in quick succession.
    lost: Backoff,
    /// The pauses of a registration, to begin with.
    pauses: Backoff,
}

impl Task {
    pub(super) fn new(dialer: Dialer, shared: Arc<Shared>, options: &RealtimeOptions) -> Self {
        let pauses = Backoff::new(options.initial_delay, options.max_delay);
        Self {
            dialer,
            stop: shared.stop.subscribe(),
            shared,
            at_once: None,
            lost: pauses,
            pauses,
        }
    }

    /// Serves from the first connection on.
    pub(super) async fn run(mut self, first: Open) {
        // However it ends, the program is told.
        let _ending = Ending(Arc::clone(&self.shared));
        self.shared.queue.connect(first.server_time);
        let mut open = first;
        loop {
            self.shared.state.send_replace(RealtimeState::Connected);
            let token = open.token.clone();
            let reason = match self.converse(open).await {
                Over::Stopped(link, registration) => return farewell(*link, &registration).await,
                Over::Lost(reason) => reason,
            };
            tracing::debug!(%reason, "disconnected");
            self.shared.queue.disconnect(reason.clone());
            self.shared.state.send_replace(RealtimeState::Reconnecting);
            if reason == DisconnectReason::Deprecated {
                return self.shared.queue.end(Some(deprecated()));
            }
            let pause = self.pause_after(&reason, &token);
            let outcome = tokio::select! {
                () = stopped(&mut self.stop) => return self.leave().await,
                outcome = self.dialer.again(pause) => outcome,
            };
            open = match outcome {
                Ok(open) => open,
                Err(error) => return self.shared.queue.end(Some(error)),
            };
            self.shared.queue.reconnect();
        }
    }

    /// How long to wait after a loss: not at all, unless that was so just before.
    fn pause_after(&mut self, reason: &DisconnectReason, token: &AccessToken) -> Duration {
        if *reason == DisconnectReason::Unauthorized {
            self.dialer.opener.pipeline().refused(token);
        }
        let now = Instant::now();
        let is_again = self.at_once.is_some_and(|at| now < at + AT_ONCE_EVERY);
        self.at_once = Some(now);
        if !is_again {
            self.lost.reset();
            return Duration::ZERO;
        }
        if *reason == DisconnectReason::Replaced {
            self.dialer.opener.forget();
        }
        self.lost.next()
    }

    /// Serves a connection, and those that the server moves it to, to the end.
    async fn converse(&mut self, open: Open) -> Over {
        let mut registration = Registration::new(&self.dialer.opener, &open.address, open.ttl);
        self.hear(&open);
        let mut link = Box::new(open.link);
        let mut registering: Work<()> = Box::pin(registration.clone().keep(self.pauses));
        let mut moving: Option<Work<Moved>> = None;
        let mut old: Option<(Box<Link<Upgraded>>, Instant)> = None;
        loop {
            let old_until = old.as_ref().map(|(_, until)| *until);
            tokio::select! {
                () = stopped(&mut self.stop) => return Over::Stopped(link, registration),
                incoming = next(&mut link) => match incoming {
                    Incoming::Move(is_self) if moving.is_none() && old.is_none() => {
                        moving = Some(Box::pin(move_to(self.dialer.opener.clone(), is_self)));
                    }
                    Incoming::Over(reason) => return Over::Lost(reason),
                    incoming => self.take(&mut link, incoming),
                },
                incoming = next_of(old.as_mut().map(|(link, _)| link)) => match incoming {
                    Incoming::Over(_) => old = None,
                    incoming => if let Some((link, _)) = &mut old {
                        self.take(link, incoming);
                    },
                },
                moved = finish(moving.as_mut()) => {
                    moving = None;
                    if let Some((opener, open)) = moved {
                        registration = Registration::new(&opener, &open.address, open.ttl);
                        self.dialer.opener = opener;
                        self.hear(&open);
                        let before = std::mem::replace(&mut link, Box::new(open.link));
                        old = Some((before, Instant::now() + OLD_CONNECTION));
                        registering = Box::pin(registration.clone().keep(self.pauses));
                    }
                }
                () = until(old_until) => old = None,
                () = registering.as_mut() => {}
            }
        }
    }

    fn hear(&self, open: &Open) {
        if let Some(at) = open.server_time {
            self.shared.queue.hear(at);
        }
    }

    /// Takes what came over a link, and answers it once it is in the queue.
    fn take(&self, link: &mut Link<Upgraded>, incoming: Incoming) {
        match incoming {
            Incoming::Push(request) => {
                let event = payload::read(&request.body);
                let status = match event {
                    ChatEvent::Unknown(_) => 404,
                    _ => 200,
                };
                self.shared.queue.offer(event, request.body.len());
                link.answer(request, status);
            }
            Incoming::Loss(list) => {
                let indicators = list["droppedIndicators"].as_array();
                let missed = indicators.map_or(1, |indicators| indicators.len().max(1));
                self.shared.queue.lag(missed as u64);
                link.confirm_loss(&list);
            }
            Incoming::Connected(_) | Incoming::Move(_) | Incoming::Over(_) => {}
        }
    }

    /// Goes, without a connection to say so over.
    async fn leave(&self) {
        let registration = Registration::new(&self.dialer.opener, "", 0);
        let _ = timeout(FAREWELL_TIMEOUT, registration.unregister()).await;
    }
}

type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;
/// The connection that another one is to take the place of; nothing if that failed.
type Moved = Option<(Opener, Open)>;

/// Opens another connection beside the present one, and registers it.
async fn move_to(mut opener: Opener, is_self: bool) -> Moved {
    let outcome = match timeout(OPEN_TIMEOUT, opener.open(!is_self)).await {
        Ok(Ok(open)) => {
            let registered = Registration::new(&opener, &open.address, open.ttl)
                .register()
                .await;
            registered.map(|()| open)
        }
        Ok(Err(Refusal::Token(error) | Refusal::Other(error))) => Err(error),
        Ok(Err(Refusal::Deprecated)) => Err(deprecated()),
        Err(_) => Err(Error::new(
            ErrorKind::Timeout,
            "the connection took too long to open",
        )),
    };
    match outcome {
        Ok(open) => Some((opener, open)),
        Err(error) => {
            // The present connection stays; when the server ends it, another is made.
            tracing::debug!(%error, "not moved");
            None
        }
    }
}

/// Waits for the program to want no more.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that nobody is there who could.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn next(link: &mut Link<Upgraded>) -> Incoming {
    std::future::poll_fn(|context| link.poll_next(context)).await
}

async fn next_of(link: Option<&mut Box<Link<Upgraded>>>) -> Incoming {
    match link {
        Some(link) => next(link).await,
        None => std::future::pending().await,
    }
}

async fn finish<T>(work: Option<&mut Work<T>>) -> T {
    match work {
        Some(work) => work.await,
        None => std::future::pending().await,
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// The last words to a server.
async fn farewell(link: Link<Upgraded>, registration: &Registration) {
    let both = futures_util::future::join(link.close(), registration.unregister());
    let _ = timeout(FAREWELL_TIMEOUT, both).await;
}

/// Tells the program that nothing comes any more.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.queue.end(None);
        self.0.state.send_replace(RealtimeState::Closed);
    }
}
