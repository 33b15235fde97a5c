//! How connections that are pushed to are opened.

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, StatusCode, header};
use serde::Deserialize;
use tokio::time::{Duration, timeout};

use crate::client::{Connection, Target};
use crate::fan_floor;
use crate::receiver::{Came, Receiver, Way};
use crate::setup::Sender;

/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
struct Allocation {
    connectparams: ConnectParams,
}

#[derive(Deserialize)]
struct ConnectParams {
    mark: String,
}

/// Opens the receiver of that number. `http` is for what a client asks before and beside.
pub(crate) async fn open(
    way: Way,
    target: &Target,
    http: &mut Connection,
    user: &Sender,
    number: usize,
) -> anyhow::Result<Receiver> {
    let opened = async {
        match way {
            Way::Websocket => websocket(target, http, user, number).await,
            Way::EventStream => event_stream(target, user).await,
            Way::Floor => anyhow::bail!("the floor has no users"),
        }
    };
    timeout(PATIENCE, opened).await.context("opening")?
}

/// The conversation of the official client up to its first acknowledgement: allocation, handshake,
/// websocket, registration.
async fn websocket(
    target: &Target,
    http: &mut Connection,
    user: &Sender,
    number: usize,
) -> anyhow::Result<Receiver> {
    let epid = format!("00000000-0000-4000-8000-{number:012}");
    let common = format!("epid={epid}&cor_id={epid}&con_num=1_1");
    let allocated = ask(target, user, Method::POST, &format!("/v4/a?{common}"), "")?;
    let allocated = http.expect(allocated, StatusCode::OK).await?;
    let allocated: Allocation = serde_json::from_slice(&allocated)?;
    let mark = allocated.connectparams.mark;
    let common = format!("mark={mark}&v=v4&timeout=40&auth=true&{common}&ccid={epid}");
    let path = format!("/socket.io/1/?{common}&t=1");
    let handshake = ask(target, user, Method::GET, &path, "")?;
    let handshake = http.expect(handshake, StatusCode::OK).await?;
    let handshake = String::from_utf8(handshake.into())?;
    let (id, _) = handshake.split_once(':').context("the handshake")?;

    let mut receiver = Receiver::new(target.open().await?, Way::Websocket);
    let upgrade = format!(
        "GET /socket.io/1/websocket/{id}?{common} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n",
        target.host(),
    );
    receiver.say(upgrade.as_bytes()).await?;
    receiver.expect_head("101").await?;
    let active = "{\"name\":\"user.activity\",\"args\":[{\"state\":\"active\",\"cv\":\"1\"}]}";
    receiver.ask(active).await?;
    receiver.until(Came::Acknowledged).await?;

    let address = format!("https://{}/v4/f/{epid}/", target.host());
    let registration = serde_json::json!({
        "clientDescription": { "appId": "AcsWeb", "templateKey": "AcsWeb_Chat_2.1" },
        "registrationId": epid,
        "nodeId": "",
        "transports": { "TROUTER": [{ "context": "", "path": address, "ttl": 7200 }] },
    });
    let registration = registration.to_string();
    let register = ask(
        target,
        user,
        Method::POST,
        "/v3/registrations",
        &registration,
    )?;
    http.expect(register, StatusCode::ACCEPTED).await?;
    Ok(receiver)
}

fn ask(
    target: &Target,
    user: &Sender,
    method: Method,
    path: &str,
    body: &str,
) -> anyhow::Result<Request<Full<Bytes>>> {
    let token = user.authorization.trim_start_matches("Bearer ");
    Ok(Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, target.host())
        .header(header::CONTENT_TYPE, "application/json")
        .header("x-skypetoken", token)
        .body(Full::new(Bytes::from(body.to_owned())))?)
}

async fn event_stream(target: &Target, user: &Sender) -> anyhow::Result<Receiver> {
    let mut receiver = Receiver::new(target.open().await?, Way::EventStream);
    let request = format!(
        "GET /cavansite/v1/events HTTP/1.1\r\nHost: {}\r\nAuthorization: {}\r\n\
         Accept: text/event-stream\r\n\r\n",
        target.host(),
        user.authorization,
    );
    receiver.say(request.as_bytes()).await?;
    receiver.expect_head("200").await?;
    // A comment says that it is open.
    receiver.until(Came::Other).await?;
    Ok(receiver)
}

/// Opens a receiver of the fan-out floor.
pub(crate) async fn floor(target: &Target) -> anyhow::Result<Receiver> {
    let mut receiver = Receiver::new(target.open().await?, Way::Floor);
    receiver.say(&[fan_floor::RECEIVER]).await?;
    receiver.expect_byte(fan_floor::RECEIVER).await?;
    Ok(receiver)
}
