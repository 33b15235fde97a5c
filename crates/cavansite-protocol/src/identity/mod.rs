//! The identity API, one module per family of api-versions.

pub mod ga;
pub mod preview2;
