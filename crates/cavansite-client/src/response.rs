//! What a method returns when it went well.

use std::fmt;

use http::{HeaderMap, StatusCode};

use crate::transport::RawResponse;

/// A model, and what came along with it. `Debug` leaves the headers out.
///
/// ```no_run
/// # use cavansite_client::{ChatThreadClient, Result};
/// # async fn example(thread: ChatThreadClient) -> Result<()> {
/// let response = thread.get_properties(None).await?;
/// println!("request {}", response.request_id());
/// let properties = response.into_model();
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Response<T> {
    status: StatusCode,
    headers: HeaderMap,
    request_id: String,
    model: T,
}

impl<T> Response<T> {
    pub(crate) fn new(raw: RawResponse, request_id: String, model: T) -> Self {
        Self {
            status: raw.status,
            headers: raw.headers,
            request_id,
            model,
        }
    }

    /// The same with another model.
    pub(crate) fn map<U>(self, with: impl FnOnce(T) -> U) -> Response<U> {
        Response {
            status: self.status,
            headers: self.headers,
            request_id: self.request_id,
            model: with(self.model),
        }
    }

    /// The model.
    ///
    /// ```no_run
    /// # use cavansite_client::{ChatThreadClient, Result};
    /// # async fn example(thread: ChatThreadClient) -> Result<()> {
    /// let topic = thread.get_properties(None).await?.into_model().topic;
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_model(self) -> T {
        self.model
    }

    /// The model, without taking it.
    ///
    /// ```no_run
    /// # use cavansite_client::{ChatThreadClient, Result};
    /// # async fn example(thread: ChatThreadClient) -> Result<()> {
    /// let response = thread.get_properties(None).await?;
    /// println!("{} in request {}", response.model().topic, response.request_id());
    /// # Ok(())
    /// # }
    /// ```
    pub fn model(&self) -> &T {
        &self.model
    }

    /// The id that the request had in `x-ms-client-request-id`: a UUID, the same in all attempts,
    /// by which the service's log finds it.
    ///
    /// ```no_run
    /// # use cavansite_client::{ChatThreadClient, Result};
    /// # async fn example(thread: ChatThreadClient) -> Result<()> {
    /// let sent = thread.send_message("hello", None).await?;
    /// println!("request {}", sent.request_id());
    /// # Ok(())
    /// # }
    /// ```
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// The HTTP status, one of success.
    ///
    /// ```no_run
    /// # use cavansite_client::{ChatThreadClient, Result};
    /// # async fn example(thread: ChatThreadClient) -> Result<()> {
    /// let sent = thread.send_message("hello", None).await?;
    /// assert_eq!(sent.status(), 201);
    /// # Ok(())
    /// # }
    /// ```
    pub fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// The headers of the answer.
    ///
    /// ```no_run
    /// # use cavansite_client::{ChatThreadClient, Result};
    /// # async fn example(thread: ChatThreadClient) -> Result<()> {
    /// let sent = thread.send_message("hello", None).await?;
    /// println!("{:?}", sent.headers().get("ms-cv"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }
}

impl<T: fmt::Debug> fmt::Debug for Response<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("request_id", &self.request_id)
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}
