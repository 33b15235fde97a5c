//! A credential that gets new tokens from a callback, in time and one call at a time.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::{AccessToken, TokenCredential};
use crate::limits::{REFRESH_EARLY, REFRESH_PAUSE, REFRESH_PROACTIVELY, REFRESH_TIMEOUT};
use crate::{Error, ErrorKind, Result};

/// What a callback fails with.
type BoxError = Box<dyn StdError + Send + Sync>;
type Callback =
    dyn Fn() -> Pin<Box<dyn Future<Output = Result<AccessToken, BoxError>> + Send>> + Send + Sync;

/// How a [`RefreshingTokenCredential`] starts and works.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RefreshingTokenCredentialOptions {
    /// The token to begin with, so that the callback is not needed at once.
    pub initial_token: Option<AccessToken>,
    /// Whether tokens are replaced in the background, ten minutes before they expire, so that no
    /// request waits for one. Needs a tokio runtime from the start.
    pub refresh_proactively: bool,
}

/// A user whose tokens come from a callback, typically a request to your own server.
///
/// - The callback runs when a token is asked for and the one at hand is missing or has five minutes
///   or less to live; with
///   [`refresh_proactively`](RefreshingTokenCredentialOptions::refresh_proactively) also in the
///   background, at ten minutes before the expiry and, where a token begins with less, at half of
///   what is left.
/// - One call is in flight at a time; whoever needs a token meanwhile waits for it and shares what
///   comes of it. It may take 30 seconds.
/// - If it fails, the token at hand is used as long as it is valid, and the callback left alone for
///   ten seconds.
/// - A token that the server answers 401 to is dropped, and the callback asked.
/// - Dropping the credential ends the background task. Dropping a call of
///   [`TokenCredential::get_token`] that waits is safe.
///
/// ```no_run
/// use std::sync::Arc;
/// use cavansite_client::{AccessToken, ChatClient, RefreshingTokenCredential};
///
/// # async fn fetch_from_my_server() -> Result<String, std::io::Error> {
/// #     std::fs::read_to_string("token")
/// # }
/// # fn main() -> cavansite_client::Result<()> {
/// let credential = RefreshingTokenCredential::new(
///     || async {
///         let token = fetch_from_my_server().await?;
///         Ok(AccessToken::from_jwt(token)?)
///     },
///     None,
/// )?;
/// let chat_client = ChatClient::new("https://chat.example.com", Arc::new(credential), None)?;
/// # Ok(())
/// # }
/// ```
pub struct RefreshingTokenCredential {
    shared: Arc<Shared>,
    /// The background task, ended when this is dropped.
    background: Option<AbortHandle>,
}

struct Shared {
    callback: Box<Callback>,
    state: Mutex<State>,
    /// Held by whoever runs the callback.
    flight: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    token: Option<AccessToken>,
    /// How many calls have ended.
    flights: u64,
    /// Why the last call failed and when, if it did.
    failure: Option<(Arc<BoxError>, Instant)>,
}

impl RefreshingTokenCredential {
    /// A credential that asks this callback for tokens.
    ///
    /// Fails when background refresh is chosen and there is no tokio runtime.
    pub fn new<F, R>(callback: F, options: Option<RefreshingTokenCredentialOptions>) -> Result<Self>
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<AccessToken, BoxError>> + Send + 'static,
    {
        let options = options.unwrap_or_default();
        let shared = Arc::new(Shared {
            callback: Box::new(move || Box::pin(callback())),
            state: Mutex::new(State {
                token: options.initial_token,
                ..State::default()
            }),
            flight: tokio::sync::Mutex::new(()),
        });
        let background = if options.refresh_proactively {
            let runtime = tokio::runtime::Handle::try_current().map_err(|missing| {
                Error::with_source(
                    ErrorKind::Credential,
                    "background refresh needs a tokio runtime",
                    missing,
                )
            })?;
            let task = runtime.spawn(refresh_in_background(Arc::downgrade(&shared)));
            Some(task.abort_handle())
        } else {
            None
        };
        Ok(Self { shared, background })
    }
}

impl Drop for RefreshingTokenCredential {
    fn drop(&mut self) {
        if let Some(task) = &self.background {
            task.abort();
        }
    }
}

impl fmt::Debug for RefreshingTokenCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshingTokenCredential")
            .field("refresh_proactively", &self.background.is_some())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl TokenCredential for RefreshingTokenCredential {
    async fn get_token(&self) -> Result<AccessToken> {
        self.shared.token(REFRESH_EARLY).await
    }

    fn refused(&self, token: &AccessToken) {
        let mut state = self.shared.state();
        // Another request may have replaced it already.
        if state.token.as_ref() == Some(token) {
            state.token = None;
            state.failure = None;
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that is done under the lock can panic half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The token at hand if it lives longer than `early`, else what the callback gives.
    async fn token(&self, early: Duration) -> Result<AccessToken> {
        let flights = {
            let state = self.state();
            if let Some(token) = state.usable(early) {
                return Ok(token);
            }
            state.flights
        };
        let _flight = self.flight.lock().await;
        let ended_meanwhile = {
            let state = self.state();
            if let Some(token) = state.usable(early) {
                return Ok(token);
            }
            state.flights != flights
        };
        if !ended_meanwhile {
            self.fly().await;
        }
        self.state().outcome()
    }

    /// Calls the callback and keeps what comes of it.
    async fn fly(&self) {
        let outcome = match tokio::time::timeout(REFRESH_TIMEOUT, (self.callback)()).await {
            Ok(outcome) => outcome,
            Err(elapsed) => Err(elapsed.into()),
        };
        let outcome = outcome.and_then(|token| match left(&token) {
            Some(_) => Ok(token),
            None => Err("the callback gave a token that has expired".into()),
        });
        let mut state = self.state();
        state.flights += 1;
        match outcome {
            Ok(token) => {
                state.token = Some(token);
                state.failure = None;
            }
            Err(error) => state.failure = Some((Arc::new(error), Instant::now())),
        }
    }
}

impl State {
    /// The token at hand, where it is not to be replaced.
    fn usable(&self, early: Duration) -> Option<AccessToken> {
        let token = self.token.as_ref()?;
        let left = left(token)?;
        let failed_just_now = self
            .failure
            .as_ref()
            .is_some_and(|(_, when)| when.elapsed() < REFRESH_PAUSE);
        (left > early || failed_just_now).then(|| token.clone())
    }

    /// What is to be had after a call of the callback.
    fn outcome(&self) -> Result<AccessToken> {
        if let Some(token) = self.token.as_ref().filter(|token| left(token).is_some()) {
            return Ok(token.clone());
        }
        let message = "no token: the callback failed";
        Err(match &self.failure {
            Some((failure, _)) => Error::with_source(
                ErrorKind::Credential,
                message,
                SharedFailure(failure.clone()),
            ),
            None => Error::credential("no token: the server refused the one at hand"),
        })
    }
}

/// How long a token has to live, if at all.
fn left(token: &AccessToken) -> Option<Duration> {
    let left = token.expires_on.duration_since(Timestamp::now());
    Duration::try_from(left).ok().filter(|left| !left.is_zero())
}

/// When the token at hand is to be replaced in the background.
fn due(token: Option<&AccessToken>) -> Duration {
    let left = token.and_then(left).unwrap_or_default();
    match left.checked_sub(REFRESH_PROACTIVELY) {
        Some(wait) if !wait.is_zero() => wait,
        _ => left / 2,
    }
}

/// Replaces tokens before anybody needs new ones. Holds the credential only while it does so.
async fn refresh_in_background(credential: Weak<Shared>) {
    let mut pause = Duration::ZERO;
    loop {
        let (token, wait) = {
            let Some(shared) = credential.upgrade() else {
                return;
            };
            let token = shared.state().token.clone();
            let wait = due(token.as_ref()).max(pause);
            (token, wait)
        };
        tokio::time::sleep(wait).await;
        let Some(shared) = credential.upgrade() else {
            return;
        };
        let _flight = shared.flight.lock().await;
        // Somebody may have replaced it meanwhile, and the new one is due later.
        let same = shared.state().token == token;
        if same {
            shared.fly().await;
            pause = REFRESH_PAUSE;
        }
    }
}

/// The failure that several waiting requests share.
#[derive(Debug)]
struct SharedFailure(Arc<BoxError>);

impl fmt::Display for SharedFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for SharedFailure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}
