//! A client of the plain event stream: it reads, and goes on after the last event that it has.

use anyhow::Context as _;
use bytes::Bytes;
use fastrand::Rng;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;

use super::device::{Device, Mischief, Temper, mischief, next_mischief, pause};
use super::event;
use super::world::{World, count};

/// Lives to the end of all.
pub(super) async fn live(world: &World, device: &Device, rng: &mut Rng) {
    let mut last: Option<String> = None;
    while !world.is_over.get() {
        if last.is_none() {
            device.begin_anew();
        }
        let is_away = match open(world, device, last.as_deref()).await {
            Ok(body) => read(world, device, body, &mut last, rng).await,
            Err(_) => false,
        };
        device.interrupted();
        pause(world, is_away, rng).await;
    }
}

async fn open(world: &World, device: &Device, last: Option<&str>) -> anyhow::Result<Incoming> {
    let token = world.token(device.user);
    let stream = device.dial(world).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut request = Request::get("/cavansite/v1/events")
        .header(header::HOST, world.address.to_string())
        .header(header::AUTHORIZATION, format!("Bearer {token}"));
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let answer = sender
        .send_request(request.body(Empty::<Bytes>::new())?)
        .await?;
    match answer.status().as_u16() {
        200 => Ok(answer.into_body()),
        401 => {
            world.renew(device.user, &token).await;
            anyhow::bail!("a token has ended")
        }
        // The server is stopping.
        503 => anyhow::bail!("refused"),
        status => {
            let fault = format!("{} was answered with {status}", device.name());
            world.fault(fault);
            anyhow::bail!("refused")
        }
    }
}

/// Reads to the end of the connection; says whether to stay away for a while.
async fn read(
    world: &World,
    device: &Device,
    mut body: Incoming,
    last: &mut Option<String>,
    rng: &mut Rng,
) -> bool {
    let mut text = String::new();
    let mut next = next_mischief(rng);
    while !world.is_over.get() {
        if world.is_flooding.get() && device.temper == Temper::Slow {
            device.stall(world, rng).await;
        }
        let due = tokio::select! {
            frame = body.frame() => {
                let Some(Ok(frame)) = frame else {
                    return false;
                };
                let taken = frame.data_ref().context("no data").and_then(|bytes| {
                    text.push_str(std::str::from_utf8(bytes)?);
                    Ok(())
                });
                if taken.is_err() {
                    world.fault(format!("{} was sent no text", device.name()));
                    return false;
                }
                while let Some(end) = text.find("\n\n") {
                    take(world, device, &text[..end], last);
                    text.drain(..end + 2);
                }
                continue;
            }
            due = mischief(world, device.temper, next, rng) => due,
        };
        next = next_mischief(rng);
        match due {
            Mischief::Stall | Mischief::Silence => device.stall(world, rng).await,
            due => {
                count(&world.counts.cuts);
                return matches!(due, Mischief::Away);
            }
        }
    }
    false
}

/// Takes what stands up to a blank line.
fn take(world: &World, device: &Device, block: &str, last: &mut Option<String>) {
    for line in block.lines() {
        if line.starts_with(": connected") {
            device.connected();
        } else if line.starts_with(": more waited") {
            count(&world.counts.caught_up);
            device.overflowed();
        } else if let Some(id) = line.strip_prefix("id: ") {
            *last = Some(id.to_owned());
        } else if let Some(data) = line.strip_prefix("data: ") {
            let user = &world.accounts[device.user].id;
            match event::of_stream(data, user, &world.names) {
                Some((thread, told)) => device.tell(world, thread, told),
                None => world.fault(format!("{} cannot read {data}", device.name())),
            }
        }
    }
}
