//! What [`CavansiteAdminClient`](crate::CavansiteAdminClient) takes and gives.

pub use cavansite_protocol::admin::KeyType;

use crate::Secret;

/// Both access keys of a server, as they are now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccessKeys {
    /// The primary access key, in base64.
    pub primary_key: Secret,
    /// The secondary access key, in base64.
    pub secondary_key: Secret,
    /// A connection string with the primary key.
    pub primary_connection_string: Secret,
    /// A connection string with the secondary key.
    pub secondary_connection_string: Secret,
}

impl From<cavansite_protocol::admin::AccessKeys> for AccessKeys {
    fn from(keys: cavansite_protocol::admin::AccessKeys) -> Self {
        Self {
            primary_key: keys.primary_key.into(),
            secondary_key: keys.secondary_key.into(),
            primary_connection_string: keys.primary_connection_string.into(),
            secondary_connection_string: keys.secondary_connection_string.into(),
        }
    }
}
