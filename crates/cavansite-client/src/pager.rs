//! Lists that come in pages, as streams of their items.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::Stream;
use futures_util::future::BoxFuture;
use http::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use crate::limits::EMPTY_PAGES_MAX;
use crate::pipeline::{Call, Pipeline};
use crate::{Error, Response, Result};

/// A list as a stream of its items, which asks for a page when the one before is used up.
///
/// It ends after an error; [`Pager::continuation`] then says where to go on. Dropping it, or a call
/// of `next` that waits, loses nothing.
///
/// ```no_run
/// use futures_util::TryStreamExt as _;
///
/// # use cavansite_client::{ChatThreadClient, Result};
/// # async fn example(thread: ChatThreadClient) -> Result<()> {
/// let mut messages = thread.list_messages(None)?;
/// while let Some(message) = messages.try_next().await? {
///     println!("{:?}", message.content.message);
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "a list asks for nothing until it is polled"]
pub struct Pager<T> {
    pages: Pages<T>,
    items: std::vec::IntoIter<T>,
    /// Where the page came from whose items are being given out.
    current: Option<Url>,
}

impl<T> Pager<T> {
    pub(crate) fn new(
        pipeline: Arc<Pipeline>,
        operation: &'static str,
        first: Url,
        timeout: Option<Duration>,
    ) -> Self {
        Self {
            pages: Pages {
                pipeline,
                operation,
                timeout,
                seen: Seen::new(&first),
                next: Some(first),
                failed: false,
                in_flight: None,
                empty: 0,
            },
            items: Vec::new().into_iter(),
            current: None,
        }
    }

    /// The pages themselves. Items of a page that was begun are left out.
    ///
    /// ```no_run
    /// # use cavansite_client::{ChatThreadClient, Result};
    /// # async fn example(thread: ChatThreadClient) -> Result<()> {
    /// let pages = thread.list_messages(None)?.into_pages();
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_pages(self) -> Pages<T> {
        self.pages
    }

    /// Where a list made later, with this in its options, goes on: at the page whose items are
    /// being given out, so that some may come again and none is missed. `None` when all were given
    /// out.
    ///
    /// ```no_run
    /// use cavansite_client::ListByTimeOptions;
    /// use futures_util::TryStreamExt as _;
    ///
    /// # use cavansite_client::{ChatThreadClient, Result};
    /// # async fn example(thread: ChatThreadClient) -> Result<()> {
    /// let mut messages = thread.list_messages(None)?;
    /// messages.try_next().await?;
    /// if let Some(place) = messages.continuation() {
    ///     let rest = ListByTimeOptions::default().with_continuation(place);
    ///     let mut messages = thread.list_messages(Some(rest))?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn continuation(&self) -> Option<String> {
        let begun = self.current.as_ref().filter(|_| self.items.len() > 0);
        begun.map_or_else(|| self.pages.continuation(), |url| Some(url.to_string()))
    }
}

impl<T> Unpin for Pager<T> {}

impl<T: DeserializeOwned + Send + 'static> Stream for Pager<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        let this = &mut *self;
        loop {
            if let Some(item) = this.items.next() {
                return Poll::Ready(Some(Ok(item)));
            }
            let asked = this.pages.next.clone();
            match ready!(Pin::new(&mut this.pages).poll_next(cx)) {
                Some(Ok(page)) => {
                    this.items = page.items.into_iter();
                    this.current = asked;
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl<T> fmt::Debug for Pager<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pager")
            .field("operation", &self.pages.operation)
            .finish_non_exhaustive()
    }
}

/// A page of a list.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Page<T> {
    /// Its items.
    pub items: Vec<T>,
    /// Where the next page is; `None` on the last one.
    pub continuation: Option<String>,
    /// The id of the request that brought it.
    pub request_id: String,
}

/// A list as a stream of its pages.
///
/// ```no_run
/// use futures_util::TryStreamExt as _;
///
/// # use cavansite_client::{ChatThreadClient, Result};
/// # async fn example(thread: ChatThreadClient) -> Result<()> {
/// let mut pages = thread.list_messages(None)?.into_pages();
/// while let Some(page) = pages.try_next().await? {
///     println!("{} messages", page.items.len());
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "a list asks for nothing until it is polled"]
pub struct Pages<T> {
    pipeline: Arc<Pipeline>,
    operation: &'static str,
    timeout: Option<Duration>,
    /// Where the page is that comes next, or is on its way.
    next: Option<Url>,
    /// Whether the stream ended with an error.
    failed: bool,
    in_flight: Option<BoxFuture<'static, Result<Response<Collection<T>>>>>,
    seen: Seen,
    /// Pages without an item since the last that had some.
    empty: u32,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", bound = "T: DeserializeOwned")]
struct Collection<T> {
    value: Vec<T>,
    next_link: Option<String>,
}

impl<T> Pages<T> {
    /// Where a list made later, with this in its options, goes on: at the page that comes next.
    /// `None` when there is none.
    ///
    /// ```no_run
    /// # use cavansite_client::{ChatThreadClient, Result};
    /// # async fn example(thread: ChatThreadClient) -> Result<()> {
    /// let pages = thread.list_messages(None)?.into_pages();
    /// println!("to begin with: {:?}", pages.continuation());
    /// # Ok(())
    /// # }
    /// ```
    pub fn continuation(&self) -> Option<String> {
        self.next.as_ref().map(Url::to_string)
    }

    /// What an answer means for the list.
    fn turn(&mut self, base: &Url, answer: Response<Collection<T>>) -> Result<Page<T>> {
        let request_id = answer.request_id().to_owned();
        let Collection { value, next_link } = answer.into_model();
        let next = next_link
            .filter(|link| !link.is_empty())
            .map(|link| self.pipeline.link(base, &link))
            .transpose()?;
        self.empty = if value.is_empty() { self.empty + 1 } else { 0 };
        if let Some(next) = &next {
            if self.empty >= EMPTY_PAGES_MAX {
                return Err(Error::data("a list goes on and on without items"));
            }
            self.seen.another(next)?;
        }
        self.next = next;
        Ok(Page {
            items: value,
            continuation: self.continuation(),
            request_id,
        })
    }
}

impl<T> Unpin for Pages<T> {}

impl<T: DeserializeOwned + Send + 'static> Stream for Pages<T> {
    type Item = Result<Page<T>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(url) = this.next.clone().filter(|_| !this.failed) else {
            return Poll::Ready(None);
        };
        let in_flight = this.in_flight.get_or_insert_with(|| {
            let call = Call::new(this.operation, Method::GET, url.clone()).timeout(this.timeout);
            let pipeline = this.pipeline.clone();
            Box::pin(async move { pipeline.model(call).await })
        });
        let answer = ready!(in_flight.as_mut().poll(cx));
        this.in_flight = None;
        let page = answer.and_then(|answer| this.turn(&url, answer));
        this.failed = page.is_err();
        Poll::Ready(Some(page))
    }
}

impl<T> fmt::Debug for Pages<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages")
            .field("operation", &self.operation)
            .finish_non_exhaustive()
    }
}

/// Finds links that lead in a circle, remembering one of them (Brent's method): each circle is
/// found within a few times its length.
#[derive(Debug)]
struct Seen {
    url: Url,
    steps: u64,
    until: u64,
}

impl Seen {
    fn new(first: &Url) -> Self {
        Self {
            url: first.clone(),
            steps: 0,
            until: 1,
        }
    }

    fn another(&mut self, next: &Url) -> Result<()> {
        if *next == self.url {
            return Err(Error::data("the pages of a list lead in a circle"));
        }
        self.steps += 1;
        if self.steps == self.until {
            self.url = next.clone();
            self.steps = 0;
            self.until *= 2;
        }
        Ok(())
    }
}
