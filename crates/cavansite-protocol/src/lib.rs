//! What crosses the network between ACS SDKs and the server: the wire types of Chat and Identity.
//!
//! One module per *family* of api-versions, that is per shape: [`chat::preview2`]
//! (2020-09-21-preview2), [`chat::ga`] (2021-03-07 and later), [`identity::preview2`]
//! (2020-07-20-preview2), [`identity::ga`] (2021-03-07 and later). The dated versions inside a
//! family differ by added fields, which [`chat::since`] dates. The families know nothing of each
//! other: the server converts each straight to and from its own model. Nothing in here does IO.
//!
//! Names are those of the published OpenAPI documents.

pub mod admin;
pub mod chat;
pub mod error;
pub mod identity;
pub mod paging;
pub mod realtime;
pub mod text;
pub mod time;
pub mod version;
