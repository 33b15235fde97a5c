//! The permission matrix: every operation by every kind of caller in every shape, with the status
//! that each cell must have. A refused write must also change nothing.

use axum::http::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Chat, Dialect, Options, TestServer, User};

/// Who asks. The thread has one participant who wrote `old`, later `new`; everybody is somebody
/// else.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Role {
    Participant,
    Removed,
    NoHistory,
    PartOfHistory,
    AllHistory,
    Stranger,
    Deleted,
    Revoked,
    OnlyVoip,
    ChatJoin,
    ChatJoinLimited,
    OtherServer,
    NoToken,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Operation {
    CreateThread,
    ListThreads,
    GetThread,
    UpdateThread,
    DeleteThread,
    SendMessage,
    ListMessages,
    GetOldMessage,
    GetNewMessage,
    UpdateOwnMessage,
    UpdateOthersMessage,
    DeleteOwnMessage,
    DeleteOthersMessage,
    ListPeople,
    AddPerson,
    RemovePerson,
    SendReceipt,
    ListReceipts,
    SendTyping,
}

use Operation as Op;

const ROLES: [Role; 13] = [
    Role::Participant,
    Role::Removed,
    Role::NoHistory,
    Role::PartOfHistory,
    Role::AllHistory,
    Role::Stranger,
    Role::Deleted,
    Role::Revoked,
    Role::OnlyVoip,
    Role::ChatJoin,
    Role::ChatJoinLimited,
    Role::OtherServer,
    Role::NoToken,
];

/// The expected statuses in GA, one row per operation, one column per role in the order of
/// [`ROLES`]. `ok` is 0 and stands for the operation's own success.
#[rustfmt::skip]
const MATRIX: [(Op, [u16; 13]); 19] = [
    //                        part rem  none part all  str  del  rev  voip join lim  othr none
    (Op::CreateThread,        [0,   0,   0,   0,   0,   0, 401, 401, 403, 403, 403, 401, 401]),
    (Op::ListThreads,         [0,   0,   0,   0,   0,   0, 401, 401, 403,   0,   0, 401, 401]),
    (Op::GetThread,           [0, 403,   0,   0,   0, 403, 401, 401, 403,   0,   0, 401, 401]),
    (Op::UpdateThread,        [0, 403,   0,   0,   0, 403, 401, 401, 403, 403, 403, 401, 401]),
    (Op::DeleteThread,        [0, 403,   0,   0,   0, 403, 401, 401, 403, 403, 403, 401, 401]),
    (Op::SendMessage,         [0, 403,   0,   0,   0, 403, 401, 401, 403,   0,   0, 401, 401]),
    (Op::ListMessages,        [0,   0,   0,   0,   0, 403, 401, 401, 403,   0,   0, 401, 401]),
    (Op::GetOldMessage,       [0,   0, 404, 404,   0, 403, 401, 401, 403,   0,   0, 401, 401]),
    (Op::GetNewMessage,       [0, 403, 404,   0,   0, 403, 401, 401, 403,   0,   0, 401, 401]),
    (Op::UpdateOwnMessage,    [0, 403,   0,   0,   0, 403, 401, 401, 403,   0,   0, 401, 401]),
    (Op::UpdateOthersMessage, [403, 403, 404, 403, 403, 403, 401, 401, 403, 403, 403, 401, 401]),
    (Op::DeleteOwnMessage,    [0, 403,   0,   0,   0, 403, 401, 401, 403,   0,   0, 401, 401]),
    (Op::DeleteOthersMessage, [403, 403, 404, 403, 403, 403, 401, 401, 403, 403, 403, 401, 401]),
    (Op::ListPeople,          [0, 403,   0,   0,   0, 403, 401, 401, 403,   0,   0, 401, 401]),
    (Op::AddPerson,           [0, 403,   0,   0,   0, 403, 401, 401, 403,   0, 403, 401, 401]),
    (Op::RemovePerson,        [0, 403,   0,   0,   0, 403, 401, 401, 403,   0, 403, 401, 401]),
    (Op::SendReceipt,         [0, 403, 404,   0,   0, 403, 401, 401, 403,   0,   0, 401, 401]),
    (Op::ListReceipts,        [0, 403,   0,   0,   0, 403, 401, 401, 403,   0,   0, 401, 401]),
    (Op::SendTyping,          [0, 403,   0,   0,   0, 403, 401, 401, 403,   0,   0, 401, 401]),
];

/// A thread with its history, and somebody in that role.
struct Scene {
    thread: String,
    old: String,
    new: String,
    /// A message of the caller, where they ever could send one; else one that is not theirs.
    own: String,
    caller: User,
}

async fn set_the_scene(
    server: &TestServer,
    other: &TestServer,
    dialect: Dialect,
    role: Role,
    author: &User,
    third: &User,
) -> Scene {
    let chat = server.chat(dialect, author);
    let caller = match role {
        Role::OtherServer => other.user().await,
        Role::OnlyVoip => server.user_with_scopes(&["voip"]).await,
        Role::ChatJoin => server.user_with_scopes(&["chat.join"]).await,
        Role::ChatJoinLimited => server.user_with_scopes(&["chat.join.limited"]).await,
        _ => server.user().await,
    };
    let from_the_start = !matches!(
        role,
        Role::NoHistory
            | Role::PartOfHistory
            | Role::AllHistory
            | Role::Stranger
            | Role::OtherServer
    );
    let thread = if from_the_start {
        chat.thread_with(&[third, &caller]).await
    } else {
        chat.thread_with(&[third]).await
    };
    let old = chat.say(&thread, "old").await;
    let may_send = from_the_start && role != Role::OnlyVoip;
    let mut own = if may_send {
        server.chat(dialect, &caller).say(&thread, "own").await
    } else {
        old.clone()
    };
    server.clock.advance_ms(10_000);
    let middle = server.clock_text(0);
    if role == Role::Removed {
        chat.remove(&thread, &caller).await.expect(204);
    }
    let new = chat.say(&thread, "new").await;
    server.clock.advance_ms(10_000);
    let history = match role {
        Role::NoHistory => Some(server.clock_text(0)),
        Role::PartOfHistory => Some(middle),
        Role::AllHistory => Some("1970-01-01T00:00:00Z".to_owned()),
        _ => None,
    };
    if let Some(time) = history {
        chat.add(&thread, &caller, &json!({ "shareHistoryTime": time }))
            .await;
        own = server.chat(dialect, &caller).say(&thread, "own").await;
    }
    let mut caller = caller;
    match role {
        Role::Deleted => server.delete_user(&caller).await,
        Role::Revoked => server.revoke(&caller).await,
        Role::NoToken => caller.token = String::new(),
        _ => {}
    }
    Scene {
        thread,
        old,
        new,
        own,
        caller,
    }
}

async fn perform(chat: &Chat<'_>, scene: &Scene, third: &User, fourth: &User, op: Op) -> Answer {
    let dialect = chat.dialect;
    let thread = &scene.thread;
    let message = |id: &str| format!("{thread}/messages/{id}");
    let edit = json!({ "content": "edited" });
    match op {
        Op::CreateThread => {
            let body = json!({ "topic": "t", dialect.people(): [] });
            chat.post("/chat/threads", &body).await
        }
        Op::ListThreads => chat.get("/chat/threads").await,
        Op::GetThread => chat.get(thread).await,
        Op::UpdateThread => chat.patch(thread, &json!({ "topic": "changed" })).await,
        Op::DeleteThread => chat.delete(thread).await,
        Op::SendMessage => {
            chat.post(&format!("{thread}/messages"), &json!({ "content": "x" }))
                .await
        }
        Op::ListMessages => chat.get(&format!("{thread}/messages")).await,
        Op::GetOldMessage => chat.get(&message(&scene.old)).await,
        Op::GetNewMessage => chat.get(&message(&scene.new)).await,
        Op::UpdateOwnMessage => chat.patch(&message(&scene.own), &edit).await,
        Op::UpdateOthersMessage => chat.patch(&message(&scene.new), &edit).await,
        Op::DeleteOwnMessage => chat.delete(&message(&scene.own)).await,
        Op::DeleteOthersMessage => chat.delete(&message(&scene.new)).await,
        Op::ListPeople => chat.get(&format!("{thread}/{}", dialect.people())).await,
        Op::AddPerson => chat.try_add(thread, fourth, &Value::Null).await,
        Op::RemovePerson => chat.remove(thread, third).await,
        Op::SendReceipt => {
            let body = json!({ "chatMessageId": scene.new });
            chat.post(&format!("{thread}/readReceipts"), &body).await
        }
        Op::ListReceipts => chat.get(&format!("{thread}/readReceipts")).await,
        Op::SendTyping => {
            let request = chat.request(Method::POST, &format!("{thread}/typing"), String::new());
            chat.server.send(request).await
        }
    }
}

fn success(dialect: Dialect, op: Op) -> u16 {
    match op {
        Op::CreateThread | Op::AddPerson => dialect.created(),
        Op::UpdateThread | Op::UpdateOwnMessage | Op::UpdateOthersMessage => dialect.changed(),
        Op::SendMessage => 201,
        Op::SendReceipt => dialect.receipt_sent(),
        Op::DeleteThread | Op::DeleteOwnMessage | Op::DeleteOthersMessage | Op::RemovePerson => 204,
        _ => 200,
    }
}

/// All that the thread's author can see of it.
async fn state_of(chat: &Chat<'_>, thread: &str) -> Vec<Value> {
    let mut state = vec![chat.get(thread).await.json];
    for list in ["messages", chat.dialect.people(), "readReceipts"] {
        state.extend(chat.all(&format!("{thread}/{list}")).await);
    }
    state
}

#[tokio::test]
async fn every_operation_by_every_kind_of_caller_has_the_status_of_the_matrix() {
    let other = TestServer::with(Options {
        resource: 77,
        ..Options::default()
    })
    .await;
    let mut cells = 0;
    let mut wrong = Vec::new();
    for dialect in Dialect::ALL {
        let server = TestServer::start().await;
        let (author, third, fourth) = (
            server.user().await,
            server.user().await,
            server.user().await,
        );
        let author_chat = server.chat(dialect, &author);
        for (op, statuses) in MATRIX {
            for (role, expected) in ROLES.into_iter().zip(statuses) {
                let scene = set_the_scene(&server, &other, dialect, role, &author, &third).await;
                let before = state_of(&author_chat, &scene.thread).await;
                let chat = server.chat(dialect, &scene.caller);
                let answer = perform(&chat, &scene, &third, &fourth, op).await;
                let expected = if expected == 0 {
                    success(dialect, op)
                } else {
                    expected
                };
                cells += 1;
                if answer.status != expected {
                    wrong.push(format!(
                        "{dialect:?} {op:?} by {role:?}: {} in place of {expected}: {}",
                        answer.status, answer.text
                    ));
                } else if expected >= 400 {
                    let after = state_of(&author_chat, &scene.thread).await;
                    assert_eq!(
                        after, before,
                        "{dialect:?} {op:?} by {role:?} changed something"
                    );
                    check_refusal(&answer, dialect);
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {cells} cells:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert_eq!(cells, Dialect::ALL.len() * 19 * 13);
}

/// A refusal has its version's shape, and says nothing of what is refused.
fn check_refusal(answer: &Answer, dialect: Dialect) {
    let error = if dialect.has_participants() {
        &answer.json["error"]
    } else {
        &answer.json
    };
    assert!(
        error["code"].is_string() && error["message"].is_string(),
        "{}",
        answer.text
    );
    assert!(
        !answer.text.contains("old") && !answer.text.contains("new"),
        "{}",
        answer.text
    );
}

#[tokio::test]
async fn a_deleted_user_keeps_their_rights_for_the_grace_of_azure() {
    let server = TestServer::azure().await;
    for dialect in Dialect::ALL {
        let a = server.user().await;
        let chat = server.chat(dialect, &a);
        let thread = chat.thread("t", &[]).await;
        server.delete_user(&a).await;
        chat.say(&thread, "still here").await;
        // As the official tests of 2020 tear down: the user first, then the thread.
        chat.delete(&thread).await.expect(204);
        chat.delete(&thread).await.expect(204);
    }
}
