//! The operator's routes. They are our own, with the names and shapes of the hosted service's
//! management API (Microsoft.Communication, `regenerateKey`).

use serde::{Deserialize, Serialize};

/// What `POST /cavansite/v1/admin/regenerateKey` is sent.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegenerateKey {
    /// Which access key is to be replaced.
    pub key_type: KeyType,
}

/// One of the two access keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyType {
    /// The first.
    Primary,
    /// The second.
    Secondary,
}

/// Both access keys as they are now. It cannot be printed, since it holds secrets.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessKeys {
    /// The primary access key, in base64.
    pub primary_key: String,
    /// The secondary access key, in base64.
    pub secondary_key: String,
    /// A connection string with the primary key.
    pub primary_connection_string: String,
    /// A connection string with the secondary key.
    pub secondary_connection_string: String,
}
