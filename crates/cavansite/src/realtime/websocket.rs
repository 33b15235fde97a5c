//! The frames of a websocket: those of the client are read by tungstenite; those of the server,
//! which are a head and a text, are gathered and written at once.
//!
//! tungstenite would gather them too, in a buffer that it keeps for as long as the connection
//! lives. Here none is held while nothing is written.

use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::{Request, Response};
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, FrameHeader};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::limits::{CONTROL_BYTES_MAX, READ_BUFFER_BYTES};

/// The head of a frame of the server, in bytes.
const HEAD_BYTES_MAX: usize = 10;

/// The frames of an open websocket.
pub(crate) struct Websocket {
    stream: WebSocketStream<TokioIo<Upgraded>>,
    /// Whether a write was begun and given up: nothing can be said inside a frame.
    is_torn: bool,
}

/// The answer to a request for a websocket, and what becomes one when it was sent; `None` for a
/// request that is no such.
pub(crate) fn accept<B>(request: &mut Request<B>) -> Option<(Response<Body>, OnUpgrade)> {
    let response = create_response_with_body(request, Body::empty).ok()?;
    let upgrade = request.extensions_mut().remove::<OnUpgrade>()?;
    Some((response, upgrade))
}

impl Websocket {
    /// Over a connection that has left HTTP. A message of a client has at most so many bytes.
    pub(crate) async fn open(upgraded: Upgraded, message_bytes_max: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(CONTROL_BYTES_MAX)
            .max_message_size(Some(message_bytes_max))
            .max_frame_size(Some(message_bytes_max));
        let stream = TokioIo::new(upgraded);
        Self {
            stream: WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await,
            is_torn: false,
        }
    }

    /// The next message of the client; `None` at the end.
    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Message, Error>>> {
        self.stream.poll_next_unpin(cx)
    }

    /// Writes texts, each in a frame, all at once.
    pub(super) async fn write(&mut self, texts: &[String]) -> Result<(), Error> {
        // First what tungstenite itself has to say: a client's ping is answered there.
        self.stream.flush().await?;
        let head = FrameHeader {
            opcode: OpCode::Data(Data::Text),
            ..FrameHeader::default()
        };
        let bytes = texts.iter().map(|text| text.len() + HEAD_BYTES_MAX);
        let mut buffer = Vec::with_capacity(bytes.sum());
        for text in texts {
            head.format(text.len() as u64, &mut buffer)?;
            buffer.extend_from_slice(text.as_bytes());
        }
        let stream = self.stream.get_mut();
        self.is_torn = true;
        stream.write_all(&buffer).await?;
        stream.flush().await?;
        self.is_torn = false;
        Ok(())
    }

    /// Answers the client's close frame, as RFC 6455 (5.5.1) wants; browsers report an unclean end
    /// otherwise. tungstenite has the answer ready since that frame was read.
    pub(super) async fn answer_close(&mut self) -> Result<(), Error> {
        if self.is_torn {
            return Ok(());
        }
        self.stream.flush().await
    }

    /// Says some last words and closes it.
    pub(super) async fn close(&mut self, words: &str) -> Result<(), Error> {
        if self.is_torn {
            return Ok(());
        }
        self.stream.feed(Message::text(words)).await?;
        let close = CloseFrame {
            code: CloseCode::Away,
            reason: "".into(),
        };
        self.stream.send(Message::Close(Some(close))).await
    }
}
