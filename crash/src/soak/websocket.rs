//! A client of real-time notifications as the official one is: allocation, handshake, websocket,
//! registration; it answers each push, pings after it, and brings back what it was given to keep.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::Method;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::device::{Device, LOOK, Mischief, mischief, next_mischief, pause};
use super::event;
use super::world::{World, count};
use crate::http::Connection;

/// How long the steps up to the websocket may take, all in all, as the official client has it.
const CONNECT: Duration = Duration::from_secs(20);
/// Pings, where no push is answered.
const PING: Duration = Duration::from_secs(20);

type Socket = WebSocketStream<TcpStream>;

/// What a client keeps between its connections.
#[derive(Default)]
struct Kept {
    /// What it echoes, as it stands in a query.
    connectparams: String,
    attempts: u64,
}

/// How a connection ended.
enum Over {
    /// It is to come back at once.
    Lost,
    /// It comes back after a while.
    Away,
    /// It has stopped.
    Stopped,
}

/// Lives to the end of all; who stops comes back under another identity.
pub(super) async fn live(world: &World, mut device: Rc<Device>, rng: &mut Rng) {
    let mut kept = Kept::default();
    while !world.is_over.get() {
        let is_away = match connect(world, &device, &mut kept).await {
            Ok(socket) => match converse(world, &device, &mut kept, socket, rng).await {
                Over::Lost => false,
                Over::Away => true,
                Over::Stopped => {
                    count(&world.counts.new_identities);
                    device.has_stopped.set(true);
                    device = successor(world, &device);
                    kept = Kept::default();
                    false
                }
            },
            Err(_) => false,
        };
        device.interrupted();
        pause(world, is_away, rng).await;
    }
}

fn successor(world: &World, device: &Device) -> Rc<Device> {
    let epid = format!("e{}", world.number());
    let next = Rc::new(Device::new(device.user, device.kind, device.temper, epid));
    world.devices.borrow_mut().push(Rc::clone(&next));
    next
}

/// Up to the websocket.
async fn connect(world: &World, device: &Device, kept: &mut Kept) -> anyhow::Result<Socket> {
    timeout(CONNECT, steps(world, device, kept)).await?
}

async fn steps(world: &World, device: &Device, kept: &mut Kept) -> anyhow::Result<Socket> {
    kept.attempts += 1;
    let token = world.token(device.user);
    let mut connection = Connection::open(world.address, &token).await?;
    let epid = &device.epid;
    let about = format!("cor_id=c&con_num=1_{}&epid={epid}", kept.attempts);
    let with_token = [("x-skypetoken", token.as_str())];
    let target = format!("/v4/a?{about}{}", kept.connectparams);
    let asked = connection.exchange(Method::POST, &target, Bytes::new(), &with_token);
    let (status, allocation) = asked.await?;
    if status == 401 {
        world.renew(device.user, &token).await;
    }
    anyhow::ensure!(status == 200, "an allocation was answered with {status}");
    let allocation: Value = serde_json::from_slice(&allocation)?;
    kept.connectparams.clear();
    for (name, value) in allocation["connectparams"]
        .as_object()
        .into_iter()
        .flatten()
    {
        let value = value.as_str().unwrap_or_default();
        for piece in ["&", name, "=", value] {
            kept.connectparams.push_str(piece);
        }
    }
    let query = format!(
        "v=v4&timeout=40&auth=true&{about}&ccid={}{}",
        allocation["ccid"].as_str().unwrap_or_default(),
        kept.connectparams
    );
    let target = format!("/socket.io/1/?{query}&t=1");
    let asked = connection.exchange(Method::GET, &target, Bytes::new(), &with_token);
    let (status, answer) = asked.await?;
    anyhow::ensure!(status == 200, "a handshake was answered with {status}");
    let answer = String::from_utf8(answer.to_vec())?;
    let id = answer.split(':').next().unwrap_or_default();
    let url = format!("ws://{}/socket.io/1/websocket/{id}?{query}", world.address);
    let (mut socket, _) = client_async(url, device.dial(world).await?).await?;
    let activity = r#"5:1+::{"name":"user.activity","args":[{"state":"active","cv":"x"}]}"#;
    socket.send(Message::text(activity)).await?;
    let registration = serde_json::json!({
        "clientDescription": { "appId": "AcsWeb", "templateKey": "AcsWeb_Chat_2.1" },
        "registrationId": epid,
        "nodeId": "",
        "transports": { "TROUTER": [{ "context": "", "path": allocation["surl"], "ttl": 7200 }] },
    });
    let headers = [with_token[0], ("content-type", "application/json")];
    let body = Bytes::from(registration.to_string());
    connection
        .exchange(Method::POST, "/v3/registrations", body, &headers)
        .await?;
    Ok(socket)
}

/// What a conversation is about to send, and how it goes on.
struct Talk {
    socket: Socket,
    events: u64,
    /// Until when it does not answer, and what it owes.
    silent_until: Option<Instant>,
    unanswered: Vec<u64>,
}

impl Talk {
    fn over(socket: Socket) -> Self {
        Self {
            socket,
            events: 1,
            silent_until: None,
            unanswered: Vec::new(),
        }
    }
}

async fn converse(
    world: &World,
    device: &Device,
    kept: &mut Kept,
    socket: Socket,
    rng: &mut Rng,
) -> Over {
    let mut talk = Talk::over(socket);
    let mut next = next_mischief(rng);
    let mut ping_at = Instant::now() + PING;
    while !world.is_over.get() {
        let due = tokio::select! {
            frame = talk.socket.next() => {
                let Some(Ok(frame)) = frame else {
                    return Over::Lost;
                };
                if talk.take(world, device, frame).await.is_err() {
                    return Over::Lost;
                }
                continue;
            }
            () = sleep(LOOK), if talk.silent_until.is_some() => {
                let until = talk.silent_until.filter(|until| *until > Instant::now());
                if until.is_none() || world.is_quiet.get() {
                    talk.silent_until = None;
                    if talk.answer_all().await.is_err() {
                        return Over::Lost;
                    }
                }
                continue;
            }
            due = mischief(world, device.temper, next, rng) => due,
            () = sleep_until(ping_at) => {
                ping_at = Instant::now() + PING;
                if talk.ping().await.is_err() {
                    return Over::Lost;
                }
                continue;
            }
        };
        next = next_mischief(rng);
        if let Some(over) = talk.misbehave(world, device, kept, (due, next), rng).await {
            return over;
        }
    }
    Over::Lost
}

async fn unregister(world: &World, device: &Device) {
    let token = world.token(device.user);
    let target = format!("/v3/registrations/{}", device.epid);
    let asked = async {
        let mut connection = Connection::open(world.address, &token).await?;
        let headers = [("x-skypetoken", token.as_str())];
        let asked = connection.exchange(Method::DELETE, &target, Bytes::new(), &headers);
        asked.await
    };
    // What is not unregistered is let go by and by.
    let _ = timeout(CONNECT, asked).await;
}

impl Talk {
    /// Does what is due; says how the connection ended, if it did. `next`: when it is over.
    async fn misbehave(
        &mut self,
        world: &World,
        device: &Device,
        kept: &mut Kept,
        (due, next): (Mischief, Instant),
        rng: &mut Rng,
    ) -> Option<Over> {
        match due {
            Mischief::Reset | Mischief::Away => {
                count(&world.counts.cuts);
                // An error: it is gone already.
                let _ = self.socket.get_ref().set_zero_linger();
                let is_away = matches!(due, Mischief::Away);
                return Some(if is_away { Over::Away } else { Over::Lost });
            }
            Mischief::Stall => device.stall(world, rng).await,
            Mischief::Silence => {
                count(&world.counts.stalls);
                self.silent_until = Some(next);
            }
            Mischief::Stop => {
                // An error: it is gone already.
                let _ = self.socket.send(Message::text("0::")).await;
                unregister(world, device).await;
                return Some(Over::Stopped);
            }
            Mischief::Replace => {
                count(&world.counts.replaced);
                if let Ok(another) = connect(world, device, kept).await {
                    self.drain(world, device).await;
                    *self = Self::over(another);
                }
            }
        }
        None
    }

    /// Takes a frame.
    async fn take(&mut self, world: &World, device: &Device, frame: Message) -> anyhow::Result<()> {
        let text = match &frame {
            Message::Text(text) => text.as_str(),
            Message::Close(_) => anyhow::bail!("closed"),
            _ => return Ok(()),
        };
        if let Some(request) = text.strip_prefix("3:::") {
            return self.pushed(world, device, request).await;
        }
        if text.starts_with("5:::{\"name\":\"trouter.connected\"") {
            device.connected();
        } else if text.starts_with("2::") {
            self.socket.send(Message::text("2::")).await?;
        } else if let Some(reason) = text.strip_prefix("0::") {
            if reason.contains("too slow") {
                count(&world.counts.overflows);
            } else if reason.contains("unauthorized") {
                let token = world.token(device.user);
                world.renew(device.user, &token).await;
            }
            anyhow::bail!("ended");
        }
        Ok(())
    }

    async fn pushed(
        &mut self,
        world: &World,
        device: &Device,
        request: &str,
    ) -> anyhow::Result<()> {
        let request: Value = serde_json::from_str(request)?;
        let body = request["body"].as_str().unwrap_or_default();
        let user = &world.accounts[device.user].id;
        match event::of_push(body, user, &world.names) {
            Some((thread, told)) => {
                for told in told {
                    device.tell(world, thread, told);
                }
            }
            None => world.fault(format!("{} cannot read {body}", device.name())),
        }
        self.unanswered
            .push(request["id"].as_u64().unwrap_or_default());
        if self.silent_until.is_some() {
            return Ok(());
        }
        self.answer_all().await
    }

    /// Answers what it was pushed.
    async fn answer_all(&mut self) -> anyhow::Result<()> {
        for id in std::mem::take(&mut self.unanswered) {
            let answer = format!(
                "3:::{{\"id\":{id},\"status\":200,\
                 \"headers\":{{\"trouter-client\":\"{{}}\"}},\"body\":\"\"}}"
            );
            self.socket.feed(Message::text(answer)).await?;
        }
        self.ping().await
    }

    async fn ping(&mut self) -> anyhow::Result<()> {
        self.events += 1;
        let ping = format!("5:{}+::{{\"name\":\"ping\"}}", self.events);
        self.socket.send(Message::text(ping)).await?;
        Ok(())
    }

    /// Reads what is still on its way.
    async fn drain(&mut self, world: &World, device: &Device) {
        let is_connected = device.is_connected.get();
        let until = sleep(Duration::from_millis(500));
        tokio::pin!(until);
        loop {
            tokio::select! {
                frame = self.socket.next() => {
                    let Some(Ok(frame)) = frame else { break };
                    if self.take(world, device, frame).await.is_err() {
                        break;
                    }
                }
                () = &mut until => break,
            }
        }
        device.is_connected.set(is_connected);
    }
}
