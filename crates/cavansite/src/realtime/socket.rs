//! One websocket, from its opening to its end.

use std::future::poll_fn;
use std::mem::take;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use cavansite_core::Error;
use cavansite_core::identity::IdentityService;
use cavansite_core::store::Store;
use cavansite_protocol::realtime::ClientFrame;
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::{Error as WebsocketError, Message};

use super::hub::Hub;
use super::limits::{ACK_DELAY, BATCH_BYTES, FAREWELL, FRAMES_PER_TURN, TTL_SECONDS};
use super::mailbox::{End, Mailbox, More, Taken};
use super::payload::Payload;
use super::resume;
use super::seal::Ticket;
use super::websocket::Websocket;
use crate::http::Lease;

/// Why a websocket ended.
enum Over {
    /// The client has gone.
    Gone,
    /// The client has closed it, and waits to hear so.
    Closed,
    /// It is unfit to be spoken to, for this reason.
    Unfit(&'static str),
    /// The client has stopped, and will not come back.
    Stopped,
    /// The server ends it, with these last words.
    Ended(&'static str),
}

/// Serves a websocket.
pub(super) async fn run(
    hub: Arc<Hub>,
    store: &dyn Store,
    identity: &IdentityService,
    ticket: Ticket,
    mut socket: Websocket,
    mut lease: Lease,
) {
    let session = ticket.session.clone();
    let Some((mailbox, serial)) = hub.connect(session, &ticket.epid, ticket.known_since) else {
        tracing::info!("closed a websocket: its user has identities_per_user_max open");
        return;
    };
    // Known to the hub first: a revocation from here on is told to it, one before is seen here.
    let over = match Box::pin(identity.check_session(&ticket.session)).await {
        Ok(ends_at) => {
            // Another websocket of the identity may be the present one by now.
            hub.move_end(&mailbox, |present| {
                if *present == ticket.session {
                    ends_at
                } else {
                    present.expires_at
                }
            });
            tokio::select! {
                biased;
                over = converse(&hub, store, &mailbox, serial, &mut socket) => over,
                () = lease.drained() => Over::Ended("0:::going away"),
            }
        }
        Err(Error::Unauthorized) => Over::Ended(UNAUTHORIZED),
        // The client comes back with the same token, and it is tried again then.
        Err(error) => {
            tracing::warn!(%error, "cannot check the token of a websocket");
            Over::Ended(TRY_AGAIN)
        }
    };
    hub.disconnect(&mailbox, serial, matches!(over, Over::Stopped));
    // A wake that was meant for the websocket that took its place may have come here.
    mailbox.wake.notify_one();
    if let Over::Unfit(why) | Over::Ended(why) = over {
        tracing::info!(why, "closed a websocket");
    }
    // A client that does not read misses the last words.
    let _ = match over {
        Over::Ended(words) => timeout(FAREWELL, socket.close(words)).await,
        Over::Closed => timeout(FAREWELL, socket.answer_close()).await,
        Over::Gone | Over::Unfit(_) | Over::Stopped => return,
    };
}

const UNAUTHORIZED: &str = "0:::{\"reason\":\"unauthorized\"}";
const TRY_AGAIN: &str = "0:::try again";

async fn converse(
    hub: &Hub,
    store: &dyn Store,
    mailbox: &Mailbox<Payload>,
    serial: u64,
    socket: &mut Websocket,
) -> Over {
    let connected = format!(
        "5:::{{\"name\":\"trouter.connected\",\"args\":[{{\"ttl\":{TTL_SECONDS},\"dur\":\"1\"}}]}}"
    );
    if socket.write(&["1::".to_owned(), connected]).await.is_err() {
        return Over::Gone;
    }
    let mut client = Client::new(Duration::from_millis(hub.limits().silence_ms));
    let mut timer = pin!(sleep_until(client.silent_until));
    loop {
        let taken = mailbox.take(serial, &client.answered, BATCH_BYTES, hub.limits());
        let Taken { frames, more } = match taken {
            Ok(taken) => taken,
            Err(end) => return Over::Ended(last_words(end)),
        };
        client.answered.clear();
        let mut go_on = more == More::Kept;
        let frames = client.with_replies(frames);
        if !frames.is_empty() {
            match write_or_end(mailbox, serial, socket, &frames).await {
                Ok(woken) => go_on |= woken,
                Err(()) => return Over::Gone,
            }
        }
        if more == More::InStore {
            let caught_up = resume::catch_up(hub, store, mailbox, serial);
            match Box::pin(caught_up).await {
                Ok(more) => go_on |= more,
                // The client comes back, and it is tried again then.
                Err(error) => return could_not_resume(&error),
            }
        }
        if !go_on && let Err(over) = client.wait(mailbox, socket, timer.as_mut()).await {
            // What came with the end, or before it.
            mailbox.answered(&client.answered);
            return over;
        }
    }
}

/// What is known of the client of a websocket.
struct Client {
    silence: Duration,
    /// When it has to have sent something.
    silent_until: Instant,
    /// Whether it was asked for a sign of life.
    asked: bool,
    /// When a push was last sent to it.
    pushed_at: Option<Instant>,
    /// Pushes that it has answered since it was looked at.
    answered: Vec<u64>,
    /// What it is to be told, and when at the latest.
    replies: Vec<String>,
    replies_due: Instant,
}

impl Client {
    fn new(silence: Duration) -> Self {
        let now = Instant::now();
        Self {
            silence,
            silent_until: now + silence,
            asked: false,
            pushed_at: None,
            answered: Vec::new(),
            replies: Vec::new(),
            replies_due: now,
        }
    }

    /// What is to be written now: pushes and the replies that wait for them, or that can wait no
    /// longer. An acknowledgement comes before a push, so that the client pings behind that again.
    fn with_replies(&mut self, pushes: Vec<String>) -> Vec<String> {
        if pushes.is_empty() {
            let is_due = !self.replies.is_empty() && self.replies_due <= Instant::now();
            return if is_due {
                take(&mut self.replies)
            } else {
                pushes
            };
        }
        self.pushed_at = Some(Instant::now());
        let mut frames = take(&mut self.replies);
        frames.extend(pushes);
        frames
    }

    /// Waits until there is something to do: the client sent something, the mailbox has something
    /// for it, or it is time. One timer is enough for whatever is due next, and is set again only
    /// where that is sooner: most of what is due later moves before it comes.
    async fn wait(
        &mut self,
        mailbox: &Mailbox<Payload>,
        socket: &mut Websocket,
        mut timer: Pin<&mut Sleep>,
    ) -> Result<(), Over> {
        let mut woken = pin!(mailbox.wake.notified());
        if self.next_due() < timer.deadline() {
            timer.as_mut().reset(self.next_due());
        }
        poll_fn(|cx| {
            let read = self.poll_read(socket, cx);
            if read.is_ready() {
                return read;
            }
            if woken.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            while timer.as_mut().poll(cx).is_ready() {
                let now = Instant::now();
                if self.silent_until <= now {
                    if self.asked {
                        return Poll::Ready(Err(Over::Unfit("it gave no sign of life")));
                    }
                    (self.silent_until, self.asked) = (now + self.silence, true);
                    self.reply("2::".to_owned(), now);
                }
                timer.as_mut().reset(self.next_due());
                if !self.replies.is_empty() && self.replies_due <= now {
                    return Poll::Ready(Ok(()));
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Reads what has come, at most [`FRAMES_PER_TURN`]; ready when anything has.
    fn poll_read(
        &mut self,
        socket: &mut Websocket,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Over>> {
        let mut frames = 0;
        while frames < FRAMES_PER_TURN {
            let Poll::Ready(received) = socket.poll_next(cx) else {
                break;
            };
            frames += 1;
            match received {
                Some(Ok(message)) => self.read(&message)?,
                Some(Err(error)) => return Poll::Ready(Err(broken(&error))),
                None => return Poll::Ready(Err(Over::Gone)),
            }
        }
        if frames == 0 {
            return Poll::Pending;
        }
        let now = Instant::now();
        (self.silent_until, self.asked) = (now + self.silence, false);
        Poll::Ready(Ok(()))
    }

    /// Notes what a frame of the client comes to; or the end.
    fn read(&mut self, message: &Message) -> Result<(), Over> {
        let Message::Text(text) = message else {
            // Pings are answered below; data other than text is none of this protocol.
            return match message {
                Message::Ping(_) | Message::Pong(_) => Ok(()),
                Message::Close(_) => Err(Over::Closed),
                _ => Err(Over::Unfit("a frame was no text")),
            };
        };
        match ClientFrame::parse(text.as_str()) {
            Some(ClientFrame::Event(Some(ack))) => {
                let now = Instant::now();
                let follows_push = self.pushed_at.is_some_and(|at| now < at + ACK_DELAY);
                let due = if follows_push { now + ACK_DELAY } else { now };
                self.reply(format!("6:::{ack}+[]"), due);
                Ok(())
            }
            Some(ClientFrame::Answer(id)) => {
                self.answered.push(id);
                Ok(())
            }
            Some(ClientFrame::Disconnect) => Err(Over::Stopped),
            Some(_) => Ok(()),
            None => Err(Over::Unfit("a frame was none of the protocol")),
        }
    }

    fn reply(&mut self, words: String, due: Instant) {
        let is_first = self.replies.is_empty();
        // Many of them take memory.
        let due = if self.replies.len() < FRAMES_PER_TURN {
            due
        } else {
            Instant::now()
        };
        if is_first || due < self.replies_due {
            self.replies_due = due;
        }
        self.replies.push(words);
    }

    fn next_due(&self) -> Instant {
        if self.replies.is_empty() {
            self.silent_until
        } else {
            self.replies_due.min(self.silent_until)
        }
    }
}

/// What an error of reading means. A connection that was cut is nobody's fault.
fn broken(error: &WebsocketError) -> Over {
    match error {
        WebsocketError::Capacity(_) => Over::Unfit("a frame was too long"),
        WebsocketError::Utf8(_) => Over::Unfit("a frame was not UTF-8"),
        WebsocketError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Over::Gone,
        WebsocketError::Protocol(_) => Over::Unfit("a frame was none of a websocket"),
        _ => Over::Gone,
    }
}

fn could_not_resume(error: &Error) -> Over {
    tracing::warn!(%error, "cannot read what a websocket is owed");
    Over::Ended(TRY_AGAIN)
}

fn last_words(end: End) -> &'static str {
    match end {
        End::Unauthorized => UNAUTHORIZED,
        End::Replaced => "0:::dup",
        End::Overflow => "0:::too slow",
        End::Stopped => "0::",
    }
}

/// Writes frames, unless the websocket is to end meanwhile: a client that does not read must not
/// hold up its own end. Says whether the mailbox has got something meanwhile.
async fn write_or_end(
    mailbox: &Mailbox<Payload>,
    serial: u64,
    socket: &mut Websocket,
    frames: &[String],
) -> Result<bool, ()> {
    let mut writing = pin!(socket.write(frames));
    let mut woken = false;
    loop {
        tokio::select! {
            biased;
            written = writing.as_mut() => return written.map(|()| woken).map_err(drop),
            () = mailbox.wake.notified() => {
                woken = true;
                if mailbox.has_ended(serial) {
                    return Err(());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn ping(client: &mut Client) {
        let ping = Message::text("5:1+::{\"name\":\"ping\"}");
        assert!(client.read(&ping).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn an_acknowledgement_behind_a_push_waits_for_the_next_one_a_quarter_of_a_second_at_most()
    {
        const ACK: &str = "6:::1+[]";
        let push = || vec!["3:::{}".to_owned()];
        let mut client = Client::new(Duration::from_mins(1));
        ping(&mut client);
        assert_eq!(client.with_replies(Vec::new()), [ACK], "behind no push");
        client.with_replies(push());
        ping(&mut client);
        assert!(client.with_replies(Vec::new()).is_empty());
        assert_eq!(client.with_replies(push()), [ACK, "3:::{}"]);
        ping(&mut client);
        advance(Duration::from_millis(249)).await;
        assert!(client.with_replies(Vec::new()).is_empty());
        assert_eq!(client.next_due(), Instant::now() + Duration::from_millis(1));
        advance(Duration::from_millis(1)).await;
        assert_eq!(client.with_replies(Vec::new()), [ACK]);
    }
}
