//! The registration of a connection at the registrar, which hosted services want.

use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, StatusCode};
use serde_json::json;
use tokio::time::sleep;
use url::Url;

use super::backoff::Backoff;
use super::limits::{REGISTRATION_REFUSED, REGISTRATION_RENEWAL, REGISTRATION_TTL_SECONDS};
use super::open::{Opener, ask, authorised, below};
use crate::Result;
use crate::pipeline::Pipeline;
use crate::transport::Request;

/// The application whose templates a service writes its events by.
const APPLICATION: &str = "AcsWeb";
/// The template of the events that are read here.
const TEMPLATE: &str = "AcsWeb_Chat_2.1";

/// A connection's registration.
#[derive(Clone)]
pub(super) struct Registration {
    pipeline: Arc<Pipeline>,
    registrar: Url,
    epid: String,
    address: String,
    ttl: u64,
}

impl Registration {
    /// Of a connection with that address and so many seconds to live.
    pub(super) fn new(opener: &Opener, address: &str, ttl: u64) -> Self {
        Self {
            pipeline: opener.pipeline(),
            registrar: opener.registrar.clone(),
            epid: opener.epid.clone(),
            address: address.to_owned(),
            ttl,
        }
    }

    /// Registers, once.
    pub(super) async fn register(&self) -> Result<()> {
        let url = below(&self.registrar, &["v3", "registrations"])?;
        let ttl = self.ttl.min(REGISTRATION_TTL_SECONDS);
        let body = json!({
            "clientDescription": {
                "appId": APPLICATION, "aesKey": "", "languageId": "en-US", "platform": "SPOOL",
                "templateKey": TEMPLATE, "platformUIVersion": "0.0.0",
            },
            "registrationId": self.epid,
            "nodeId": "",
            "transports": { "TROUTER": [{ "context": "", "path": self.address, "ttl": ttl }] },
        });
        let token = self.pipeline.token().await?;
        let mut request = authorised(Request::new(Method::POST, url), &token)?;
        let json = HeaderValue::from_static("application/json");
        request.headers.insert(CONTENT_TYPE, json);
        request.body = body.to_string().into();
        let outcome = ask(&self.pipeline, request).await;
        if outcome
            .as_ref()
            .is_err_and(|error| error.is_status(StatusCode::UNAUTHORIZED))
        {
            self.pipeline.refused(&token);
        }
        outcome.map(drop)
    }

    /// Keeps the connection registered for as long as it is polled.
    pub(super) async fn keep(self, mut backoff: Backoff) {
        loop {
            let pause = match self.register().await {
                Ok(()) if self.ttl > REGISTRATION_TTL_SECONDS => {
                    backoff.reset();
                    REGISTRATION_RENEWAL
                }
                Ok(()) => return std::future::pending().await,
                Err(error) => {
                    tracing::debug!(%error, "not registered");
                    match error.status() {
                        None | Some(401 | 500..) => backoff.next(),
                        Some(_) => REGISTRATION_REFUSED,
                    }
                }
            };
            sleep(pause).await;
        }
    }

    /// Tells the registrar that the client has gone for good.
    pub(super) async fn unregister(&self) -> Result<()> {
        let url = below(&self.registrar, &["v3", "registrations", &self.epid])?;
        let token = self.pipeline.token().await?;
        let request = authorised(Request::new(Method::DELETE, url), &token)?;
        ask(&self.pipeline, request).await.map(drop)
    }
}
