//! The ACS protocol over HTTP, and our own routes: the whole route table, and what every request
//! passes through.
//!
//! `edge` is the way in and out: it tidies the path, settles the api-version, routes, and gives
//! a refusal the shape of its version. Handlers read a request through `convert`, call a
//! service and render its result through `convert`; they hold no rules.

mod admin;
mod auth;
mod body;
mod chat;
mod convert;
mod cors;
mod error;
mod events;
mod identity;
mod paging;
mod realtime;
mod target;
mod version;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{delete, get, post};
use tower::ServiceExt as _;

use self::error::{ApiError, render};
use crate::state::{AppState, request_authority};

/// The application as a router that takes every path.
pub fn router(state: Arc<AppState>) -> Router {
    let edge_state = EdgeState {
        app: Arc::clone(&state),
        routes: routes(state),
    };
    let cors = cors::layer(Arc::clone(&edge_state.app));
    Router::new()
        .fallback(edge)
        .with_state(edge_state)
        .layer(cors)
}

/// The route table. Which families of versions a route belongs to is checked by its handler.
fn routes(state: Arc<AppState>) -> Router {
    Router::new()
        // Before the routes: the literal `:add` would be taken for an older syntax, and panic.
        .without_v07_checks()
        .merge(identity_routes())
        .merge(chat_routes())
        .merge(realtime_routes())
        .merge(own_routes())
        .fallback(async || ApiError::no_such_resource())
        .method_not_allowed_fallback(async || ApiError::method_not_allowed())
        .with_state(state)
}

/// Identity, 2020-07-20-preview2 and GA.
fn identity_routes() -> Router<Arc<AppState>> {
    use self::identity::{identities, tokens};

    let identity = delete(identities::delete_identity).patch(tokens::revoke_tokens_by_update);
    Router::new()
        .without_v07_checks()
        .route("/identities", post(identities::create_identity))
        .route("/identities/{id}", identity)
        .route("/identities/{id}/token", post(tokens::issue_token))
        .route(
            "/identities/{id}/:issueAccessToken",
            post(tokens::issue_access_token),
        )
        .route(
            "/identities/{id}/:revokeAccessTokens",
            post(tokens::revoke_access_tokens),
        )
}

/// Chat: every family, but that preview2 has members where the others have participants.
fn chat_routes() -> Router<Arc<AppState>> {
    use self::chat::{messages, participants, receipts, threads, typing};

    let threads = post(threads::create_chat_thread).get(threads::list_chat_threads);
    let thread = get(threads::get_chat_thread)
        .patch(threads::update_chat_thread)
        .delete(threads::delete_chat_thread);
    let messages = post(messages::send_chat_message).get(messages::list_chat_messages);
    let message = get(messages::get_chat_message)
        .patch(messages::update_chat_message)
        .delete(messages::delete_chat_message);
    let receipts = post(receipts::send_chat_read_receipt).get(receipts::list_chat_read_receipts);
    let members = get(participants::list_chat_members).post(participants::add_chat_members);
    let member = delete(participants::remove_chat_member);
    let participants = get(participants::list_chat_participants);
    let add = post(participants::add_chat_participants);
    let participant = delete(participants::remove_chat_participant_by_path);
    let remove = post(participants::remove_chat_participant);
    Router::new()
        .without_v07_checks()
        .route("/chat/threads", threads)
        .route("/chat/threads/{thread}", thread)
        .route("/chat/threads/{thread}/messages", messages)
        .route("/chat/threads/{thread}/messages/{message}", message)
        .route(
            "/chat/threads/{thread}/typing",
            post(typing::send_typing_notification),
        )
        .route("/chat/threads/{thread}/readreceipts", receipts)
        .route("/chat/threads/{thread}/members", members)
        .route("/chat/threads/{thread}/members/{member}", member)
        .route("/chat/threads/{thread}/participants", participants)
        .route(
            "/chat/threads/{thread}/participants/{participant}",
            participant,
        )
        .route("/chat/threads/{thread}/participants/:add", add)
        .route("/chat/threads/{thread}/participants/:remove", remove)
}

/// Real-time notifications: one shape, whatever the version.
fn realtime_routes() -> Router<Arc<AppState>> {
    let registration = delete(realtime::unregister);
    Router::new()
        .without_v07_checks()
        .route("/", get(realtime::probe))
        .route(
            "/chat/config/realTimeNotifications",
            get(realtime::configuration),
        )
        .route("/v4/a", post(realtime::allocate))
        .route("/socket.io/1/", get(realtime::handshake))
        .route("/socket.io/1/websocket/{id}", get(realtime::websocket))
        .route("/v3/registrations", post(realtime::register))
        .route("/v3/registrations/{epid}", registration)
}

/// What the hosted service has not.
fn own_routes() -> Router<Arc<AppState>> {
    Router::new()
        .route("/cavansite/v1/events", get(events::stream))
        .route(
            "/cavansite/v1/admin/regenerateKey",
            post(admin::regenerate_key),
        )
}

#[derive(Clone)]
struct EdgeState {
    app: Arc<AppState>,
    routes: Router,
}

/// The way of every request in and out.
async fn edge(State(edge): State<EdgeState>, mut request: Request) -> Response {
    let original = request.uri().clone();
    let service = version::Service::of(original.path());
    let authority = request_authority(&original, request.headers());
    let served = if edge.app.serves(authority) {
        Ok(())
    } else {
        Err(ApiError::misdirected())
    };
    let version = match served.and_then(|()| target::tidy(&original)) {
        Ok(tidied) => {
            if let Some(uri) = tidied {
                *request.uri_mut() = uri;
            }
            version::settle(service, request.uri().query())
        }
        Err(refusal) => Err(refusal),
    };
    let shape = version::error_shape(version.as_ref().ok(), edge.app.error_shape);
    let mut response = match version {
        Err(refusal) => render(&refusal, service, shape),
        Ok(settled) => {
            request
                .extensions_mut()
                .insert(target::AsReceived(original));
            settled.insert_into(request.extensions_mut());
            let Ok(mut response) = edge.routes.oneshot(request).await;
            if let Some(refusal) = response.extensions_mut().remove::<ApiError>() {
                response = render(&refusal, service, shape);
            }
            settled.add_headers(response.headers_mut());
            response
        }
    };
    version::add_supported_versions(service, response.headers_mut());
    response
}
