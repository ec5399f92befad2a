//! Traces over the admin port: `GET /trace?of=sip:alice@example.com&secs=60` is answered with a
//! line of JSON for each message, until the time is over.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use http_body::Frame;
use serde_json::json;
use tokio::time::Sleep;

use super::{Trace, Wanted};
use crate::admin::port::Lasting;
use crate::driver::{Control, TraceError};

/// Serves `/trace` of the pool of `control`, at an admin port that listens at `address`.
pub(crate) fn router(control: Control, address: Option<SocketAddr>) -> Router {
    Router::new()
        .route("/trace", get(trace))
        .with_state((control, address))
}

/// Messages are private, and nobody is asked for a password here: so only this machine is served.
async fn trace(
    State((control, address)): State<(Control, Option<SocketAddr>)>,
    Extension(lasting): Extension<Lasting>,
    RawQuery(query): RawQuery,
) -> Response {
    if !address.is_some_and(|address| address.ip().is_loopback()) {
        let address = address.map_or_else(String::new, |address| format!(" {address}"));
        let text = format!("traces are served on loopback only, and this admin port is{address}\n");
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    let Some((wanted, span)) = read(&query.unwrap_or_default()) else {
        let text = format!("ask for /trace?of=AOR-OR-CALL-ID&secs=1..{SECS_MAX}\n");
        return (StatusCode::BAD_REQUEST, text).into_response();
    };
    match control.trace(wanted, span).await {
        Ok(trace) => {
            lasting.set(span);
            let lines = Lines {
                trace,
                over: Box::pin(tokio::time::sleep(span)),
                is_over: false,
            };
            let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
            (kind, Body::new(lines)).into_response()
        }
        Err(error @ (TraceError::Stuck | TraceError::TooMany)) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response()
        }
    }
}

/// What a query asks for.
fn read(query: &str) -> Option<(Wanted, Duration)> {
    let (mut wanted, mut secs) = (None, SECS_MAX);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=')? {
            ("of", value) => wanted = Some(unescape(value).filter(|text| !text.is_empty())?),
            ("secs", value) => secs = value.parse().ok()?,
            _ => return None,
        }
    }
    let span = (1..=SECS_MAX)
        .contains(&secs)
        .then(|| Duration::from_secs(secs));
    Some((Wanted::read(&wanted?), span?))
}

/// Reads `%41` as `A` (RFC 3986 §2.1).
fn unescape(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

/// The body of an answer: it grows while messages pass.
struct Lines {
    trace: Trace,
    over: Pin<Box<Sleep>>,
    is_over: bool,
}

impl http_body::Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = |text: String| Poll::Ready(Some(Ok(Frame::data(text.into()))));
        if self.is_over {
            return Poll::Ready(None);
        }
        match self.trace.poll_next(context) {
            Poll::Ready(Some(passed)) => return frame(passed.line()),
            // The process ends: without the last line, so that it is known for no common end.
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => {}
        }
        if self.over.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        self.is_over = true;
        let line = json!({"ended": true, "missed": self.trace.missed()});
        frame(format!("{line}\n"))
    }
}

/// A trace that was forgotten ends by itself.
const SECS_MAX: u64 = 3_600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_or_refused() {
        let of = |text: &str, secs| Some((Wanted::read(text), Duration::from_secs(secs)));
        for (query, expected) in [
            (
                "of=sip:alice@example.com",
                of("sip:alice@example.com", SECS_MAX),
            ),
            (
                "of=sip%3Aalice%40example.com&secs=5",
                of("sip:alice@example.com", 5),
            ),
            ("secs=5&of=a%26b%3dc@h", of("a&b=c@h", 5)),
            ("of=%C3%A4", of("ä", SECS_MAX)),
            ("", None),
            ("of=", None),
            ("of=%4", None),
            ("of=%zz", None),
            ("of=%ff", None),
            ("of=a&secs=0", None),
            ("of=a&secs=3601", None),
            ("of=a&secs=x", None),
            ("of=a&for=5", None),
            ("of", None),
        ] {
            assert_eq!(read(query), expected, "{query}");
        }
    }
}
