//! What every request shares: the services, and what the server knows of its own addresses.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::HOST;
use axum::http::uri::Uri;
use cavansite_core::Result;
use cavansite_core::chat::{ChatOptions, ChatService, RECEIPTS_AND_TYPING_PARTICIPANTS_MAX};
use cavansite_core::clock::{Clock, Randomness};
use cavansite_core::events::EventSink;
use cavansite_core::identity::{IdentityOptions, IdentityService, REVOCATION_GRACE_MS};
use cavansite_core::limits::Limits;
use cavansite_core::model::Installation;
use cavansite_core::store::Store;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::http::{ConnectionInfo, Scheme};
use crate::realtime::{Hub, HubOptions, Realtime, RealtimeLimits};

/// How closely the hosted service's own choices are followed where they are no use to people who
/// run their own server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Deleted users are out at once; receipts and typing work in threads of any size; errors have
    /// the published shape.
    #[default]
    Open,
    /// As the hosted service: tokens of a deleted user live on for 15 minutes, no receipts or
    /// typing above 20 people, errors in the shape that it really sends.
    Azure,
}

/// The shape of chat errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ErrorShape {
    /// As the published documents say, by api-version.
    Published,
    /// As the hosted service sends them: `{"CommunicationError":{…}}`.
    Hosted,
}

/// What an [`AppState`] is made from.
pub struct StateOptions {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where ids come from.
    pub randomness: Arc<dyn Randomness>,
    /// The bounds.
    pub limits: Limits,
    /// The bounds of real-time notifications.
    pub realtime: RealtimeLimits,
    /// Whose ways are followed.
    pub profile: Profile,
    /// The keys to begin with, where the store holds none yet.
    pub proposed_installation: Installation,
    /// The names and addresses in the certificate, in lower case.
    pub hosts: Vec<String>,
    /// Where clients outside reach this server, such as `https://chat.example.com`.
    pub public_url: Option<Uri>,
    /// How far the date of a signed request may be off, in milliseconds.
    pub date_skew_ms: i64,
    /// The longest body that a request may have, in bytes.
    pub body_bytes_max: usize,
    /// Refuse requests to hosts other than loopback, `hosts` and the public URL's: for the
    /// emulator, whose key everybody knows, so that no web page reaches it under a name of its
    /// own.
    pub own_hosts_only: bool,
    /// The shape of chat errors; `None` leaves it to the profile.
    pub error_shape: Option<ErrorShape>,
}

/// The state shared by all requests.
pub struct AppState {
    /// Identities and tokens.
    pub identity: IdentityService,
    /// Chat.
    pub chat: ChatService,
    /// Real-time notifications.
    pub realtime: Realtime,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The shape of chat errors.
    pub error_shape: ErrorShape,
    /// How far the date of a signed request may be off, in milliseconds.
    pub date_skew_ms: i64,
    /// The longest body that a request may have, in bytes.
    pub body_bytes_max: usize,
    hosts: Vec<String>,
    own_hosts_only: bool,
    public_url: Option<Uri>,
}

impl AppState {
    /// The services over a store, with the keys that it holds or, in a new one, the proposed ones.
    pub async fn new(store: Arc<dyn Store>, options: StateOptions) -> Result<Self> {
        let installation = store
            .get_or_insert_installation(options.proposed_installation)
            .await?;
        let azure = options.profile == Profile::Azure;
        let revocation_grace_ms = if azure { REVOCATION_GRACE_MS } else { 0 };
        let clock = &options.clock;
        let hub = Arc::new(Hub::new(HubOptions {
            told_before: store.get_told_through().await?,
            clock: Arc::clone(clock),
            limits: options.realtime,
            revocation_grace_ms,
            installation: installation.clone(),
        }));
        store.send_events_to(Arc::clone(&hub) as Arc<dyn EventSink>);
        let identity = IdentityService::new(IdentityOptions {
            store: Arc::clone(&store),
            clock: Arc::clone(&options.clock),
            randomness: Arc::clone(&options.randomness),
            installation: installation.clone(),
            issued_through: store.get_issued_through().await?,
            limits: options.limits.clone(),
            revocation_grace_ms,
        });
        let chat = ChatService::new(ChatOptions {
            store: Arc::clone(&store),
            sink: Arc::clone(&hub) as Arc<dyn EventSink>,
            clock: Arc::clone(clock),
            randomness: Arc::clone(&options.randomness),
            installation: installation.clone(),
            limits: options.limits,
            receipts_and_typing_up_to: azure.then_some(RECEIPTS_AND_TYPING_PARTICIPANTS_MAX),
        });
        let randomness = options.randomness;
        let realtime = Realtime::new(hub, store, &installation, Arc::clone(clock), randomness);
        let by_profile = if azure {
            ErrorShape::Hosted
        } else {
            ErrorShape::Published
        };
        Ok(Self {
            identity,
            chat,
            realtime,
            clock: options.clock,
            error_shape: options.error_shape.unwrap_or(by_profile),
            date_skew_ms: options.date_skew_ms,
            body_bytes_max: options.body_bytes_max,
            hosts: options.hosts,
            own_hosts_only: options.own_hosts_only,
            public_url: options.public_url,
        })
    }

    /// The address that links in an answer begin with: the one that the request came to, when
    /// that is loopback or a name in the certificate; else the public URL. Never ends in a slash.
    pub fn base_url(&self, authority: &str, connection: ConnectionInfo) -> String {
        match &self.public_url {
            Some(url) if !self.is_own(host_of(authority)) => {
                url.to_string().trim_end_matches('/').to_owned()
            }
            _ => format!("{}://{authority}", scheme_name(connection.scheme)),
        }
    }

    /// The host and port of the public URL, which a proxy may have replaced in the request.
    pub fn public_authority(&self) -> Option<&str> {
        self.public_url
            .as_ref()?
            .authority()
            .map(axum::http::uri::Authority::as_str)
    }

    /// Whether a request to that authority is to be answered.
    pub fn serves(&self, authority: &str) -> bool {
        !self.own_hosts_only
            || self.is_own(host_of(authority))
            || self.public_authority() == Some(authority)
    }

    /// Whether a page from that host may talk to this server from a browser; `None` is a page from
    /// nowhere, such as a file.
    pub fn lets_in(&self, host: Option<&str>) -> bool {
        !self.own_hosts_only || host.is_some_and(|host| self.is_own(host))
    }

    fn is_own(&self, host: &str) -> bool {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost")
            || bare
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
            || self.hosts.iter().any(|own| own.eq_ignore_ascii_case(bare))
    }
}

/// The authority that a request was sent to: of its URL (HTTP/2), else of its `Host` header.
pub fn request_authority<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> &'a str {
    uri.authority()
        .map(axum::http::uri::Authority::as_str)
        .or_else(|| headers.get(HOST).and_then(|host| host.to_str().ok()))
        .unwrap_or("localhost")
}

fn scheme_name(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
    }
}

/// An authority without its port, which `@azure/communication-common` 2.0.0 to 2.4.0 name twice.
pub fn host_of(authority: &str) -> &str {
    let mut host = authority;
    while let Some((before, port)) = host.rsplit_once(':')
        && port.bytes().all(|c| c.is_ascii_digit())
    {
        host = before;
    }
    host
}

#[cfg(test)]
mod tests {
    use super::host_of;

    #[test]
    fn a_port_is_told_from_an_address() {
        for (authority, host) in [
            ("localhost:10010", "localhost"),
            ("localhost", "localhost"),
            ("localhost:10010:10010", "localhost"),
            ("[::1]:10010:10010", "[::1]"),
            ("[::1]:10010", "[::1]"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(host_of(authority), host);
        }
    }
}
