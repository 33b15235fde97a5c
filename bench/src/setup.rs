//! Users, tokens and threads, made once through the identity and chat APIs.

use anyhow::Context as _;
use bytes::Bytes;
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::json;

use crate::client::{self, Connection, Target};
use crate::server::Ready;

/// The identity version of the newest SDKs.
const IDENTITY_VERSION: &str = "2023-10-01";
/// The chat version of the 2020 quickstart.
pub(crate) const CHAT_VERSION: &str = "2020-09-21-preview2";
/// Members that one request may add.
const MEMBERS_PER_CALL: usize = 200;

/// A user and the threads that it sends to.
#[derive(Debug, Clone)]
pub(crate) struct Sender {
    pub(crate) id: String,
    /// The value of the Authorization header.
    pub(crate) authorization: String,
    pub(crate) threads: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreatedUser {
    identity: Identity,
    access_token: AccessToken,
}

#[derive(Debug, Deserialize)]
struct Identity {
    id: String,
}

#[derive(Debug, Deserialize)]
struct AccessToken {
    token: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreatedThread {
    multiple_status: Vec<Status>,
}

#[derive(Debug, Deserialize)]
struct Status {
    id: String,
    #[serde(rename = "type")]
    kind: String,
}

/// Users with tokens, in no thread yet.
pub(crate) async fn users(
    target: &Target,
    ready: &Ready,
    count: usize,
) -> anyhow::Result<Vec<Sender>> {
    let mut connection = target.connect().await?;
    let key = client::access_key(&ready.connection_string)?;
    let mut users = Vec::with_capacity(count);
    for _ in 0..count {
        users.push(create_user(&mut connection, target, &key).await?);
    }
    Ok(users)
}

/// Makes the users and the threads. With fewer threads than users everybody is a member of each
/// and sends to all of them; otherwise each user has an equal share of threads of its own.
pub(crate) async fn senders(
    target: &Target,
    ready: &Ready,
    users: usize,
    threads: usize,
) -> anyhow::Result<Vec<Sender>> {
    let mut senders = self::users(target, ready, users).await?;
    let mut connection = target.connect().await?;
    if threads < users {
        let members: Vec<String> = senders.iter().map(|sender| sender.id.clone()).collect();
        anyhow::ensure!(users <= MEMBERS_PER_CALL, "too many users for one thread");
        for _ in 0..threads {
            let thread = create_thread(&mut connection, target, &senders[0], &members).await?;
            for sender in &mut senders {
                sender.threads.push(thread.clone());
            }
        }
    } else {
        for number in 0..threads {
            let sender = &mut senders[number % users];
            let members = [sender.id.clone()];
            let thread = create_thread(&mut connection, target, sender, &members).await?;
            sender.threads.push(thread);
        }
    }
    Ok(senders)
}

/// A thread of all these users, which the first of them makes.
pub(crate) async fn thread_of(target: &Target, users: &mut [Sender]) -> anyhow::Result<()> {
    let members: Vec<String> = users.iter().map(|user| user.id.clone()).collect();
    let (creator, _) = users.split_first().context("a thread of nobody")?;
    let mut connection = target.connect().await?;
    let mut calls = members.chunks(MEMBERS_PER_CALL);
    let first = calls.next().unwrap_or_default();
    let thread = create_thread(&mut connection, target, creator, first).await?;
    for members in calls {
        let path = format!("/chat/threads/{thread}/members?api-version={CHAT_VERSION}");
        let members: Vec<_> = members.iter().map(|id| json!({ "id": id })).collect();
        let body = json!({ "members": members }).to_string();
        let headers = [("authorization", creator.authorization.as_str())];
        let request = client::post(&target.host(), &path, body.into(), &headers)?;
        let answer = connection.expect(request, StatusCode::MULTI_STATUS).await;
        answer.context("adding people to a thread")?;
    }
    for user in users {
        user.threads.push(thread.clone());
    }
    Ok(())
}

async fn create_user(
    connection: &mut Connection,
    target: &Target,
    key: &[u8],
) -> anyhow::Result<Sender> {
    let path = format!("/identities?api-version={IDENTITY_VERSION}");
    let body = Bytes::from(json!({ "createTokenWithScopes": ["chat"] }).to_string());
    let request = client::signed_post(&target.host(), &path, body, key)?;
    let answer = connection.expect(request, StatusCode::CREATED).await;
    let created: CreatedUser = serde_json::from_slice(&answer.context("creating a user")?)?;
    Ok(Sender {
        id: created.identity.id,
        authorization: format!("Bearer {}", created.access_token.token),
        threads: Vec::new(),
    })
}

async fn create_thread(
    connection: &mut Connection,
    target: &Target,
    creator: &Sender,
    members: &[String],
) -> anyhow::Result<String> {
    let path = format!("/chat/threads?api-version={CHAT_VERSION}");
    let members: Vec<_> = members.iter().map(|id| json!({ "id": id })).collect();
    let body = json!({ "topic": "measurement", "members": members });
    let headers = [("authorization", creator.authorization.as_str())];
    let request = client::post(&target.host(), &path, body.to_string().into(), &headers)?;
    let answer = connection.expect(request, StatusCode::MULTI_STATUS).await;
    let created: CreatedThread = serde_json::from_slice(&answer.context("creating a thread")?)?;
    let mut statuses = created.multiple_status.into_iter();
    let thread = statuses.find(|status| status.kind == "Thread");
    Ok(thread.context("no thread in the answer")?.id)
}
