//! The routes of real-time notifications, up to the websocket. They have no api-version, but for
//! the first; the user's token comes in a header of its own.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, RawQuery, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use cavansite_core::Error;
use cavansite_core::caller::Capability;
use cavansite_core::identity::Session;
use cavansite_protocol::realtime::{Allocation, Configuration, ConnectParams, Registration};

use super::auth::{ChatCall, IN_PROCESS};
use super::body::{Body, json};
use super::convert::Json;
use super::error::{ApiError, ApiResult};
use super::target::parameter;
use crate::realtime::{self, TTL_SECONDS, Websocket};
use crate::state::{AppState, request_authority};

/// The query parameter in which clients bring back the mark of their connection identity.
const MARK: &str = ConnectParams::MARK;

/// A request whose token, in `X-Skypetoken`, is good.
pub(super) struct RealtimeCall {
    session: Session,
    base_url: String,
}

impl FromRequestParts<Arc<AppState>> for RealtimeCall {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<AppState>) -> ApiResult<Self> {
        let token = parts.headers.get("x-skypetoken");
        let token = token.and_then(|token| token.to_str().ok());
        let token = token.ok_or(Error::Unauthorized)?;
        let (caller, session) = app.identity.open_session(token).await?;
        caller.require(Capability::TakePart)?;
        let connection = parts.extensions.get().copied().unwrap_or(IN_PROCESS);
        let authority = request_authority(&parts.uri, &parts.headers);
        Ok(Self {
            session,
            base_url: app.base_url(authority, connection),
        })
    }
}

/// `GET /chat/config/realTimeNotifications`.
pub(super) async fn configuration(call: ChatCall) -> ApiResult<Response> {
    call.caller.require(Capability::TakePart)?;
    let configuration = Configuration {
        trouter_service_url: &call.base_url,
        registrar_service_url: &call.base_url,
        cloud_type: "Public",
    };
    Ok(Json::new(StatusCode::OK, &configuration).into_response())
}

/// `POST /v4/a`.
pub(super) async fn allocate(
    State(app): State<Arc<AppState>>,
    call: RealtimeCall,
    RawQuery(query): RawQuery,
) -> ApiResult<Response> {
    let epid = epid_of(query.as_deref())?;
    let brought = parameter(query.as_deref(), MARK)?;
    let user = &call.session.user;
    let mark = app.realtime.mark(user, &epid, brought.as_deref());
    let url = format!("{}/v4/f/{epid}/", call.base_url);
    let allocation = Allocation {
        socketio: format!("{}/", call.base_url),
        connectparams: ConnectParams { mark },
        surl: url.clone(),
        url,
        ccid: epid,
        ttl: TTL_SECONDS.to_string(),
    };
    Ok(Json::new(StatusCode::OK, &allocation).into_response())
}

/// `GET /socket.io/1/`.
pub(super) async fn handshake(
    State(app): State<Arc<AppState>>,
    call: RealtimeCall,
    RawQuery(query): RawQuery,
) -> ApiResult<Response> {
    let epid = epid_of(query.as_deref())?;
    let mark = parameter(query.as_deref(), MARK)?;
    let id = app.realtime.open(call.session, epid, mark.as_deref());
    // The client adds two seconds and counts any frame; it pings each 40 s.
    Ok(format!("{id}:180:180:websocket").into_response())
}

/// `GET /socket.io/1/websocket/{id}`.
pub(super) async fn websocket(
    State(app): State<Arc<AppState>>,
    Path(id): Path<String>,
    mut request: Request,
) -> ApiResult<Response> {
    let (response, upgrade) = realtime::accept(&mut request)
        .ok_or_else(|| ApiError::invalid(None, "This is the address of a websocket."))?;
    let ticket = app.realtime.admit(&id).ok_or(Error::Unauthorized)?;
    let lease = request.extensions_mut().remove().unwrap_or_default();
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else {
            tracing::debug!("a connection ended before it became a websocket");
            return;
        };
        let frame_bytes_max = app.realtime.hub().limits().frame_bytes_max;
        let socket = Websocket::open(upgraded, frame_bytes_max).await;
        let serving = app.realtime.serve(&app.identity, ticket, socket, lease);
        serving.await;
    });
    Ok(response)
}

/// `POST /v3/registrations`. Events flow without it; nothing of it is kept.
pub(super) async fn register(_: RealtimeCall, Body(body): Body) -> ApiResult<Response> {
    let registration: Registration = json(&body)?;
    realtime::epid(&registration.registration_id).ok_or_else(malformed_epid)?;
    Ok(StatusCode::ACCEPTED.into_response())
}

/// `DELETE /v3/registrations/{epid}`: the client stops.
pub(super) async fn unregister(
    State(app): State<Arc<AppState>>,
    call: RealtimeCall,
    Path(epid): Path<String>,
) -> ApiResult<Response> {
    app.realtime.hub().stop(&call.session.user, &epid);
    Ok(StatusCode::ACCEPTED.into_response())
}

/// `GET /`: clients that cannot connect ask whether this is the place.
pub(super) async fn probe() -> &'static str {
    "Trouter"
}

fn epid_of(query: Option<&str>) -> ApiResult<String> {
    let epid = parameter(query, "epid")?;
    epid.as_deref()
        .and_then(realtime::epid)
        .ok_or_else(malformed_epid)
}

fn malformed_epid() -> ApiError {
    ApiError::invalid(
        Some("epid"),
        "A connection's id has up to 64 letters, digits, - and _.",
    )
}
