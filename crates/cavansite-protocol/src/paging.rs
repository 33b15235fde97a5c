//! Pages of lists.

use serde::Serialize;

/// A page: `{"value":[…],"nextLink":"…"}`, without `nextLink` on the last one.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Collection<T> {
    /// The items.
    pub value: Vec<T>,
    /// The absolute URL of the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_link: Option<String>,
}
