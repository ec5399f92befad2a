//! The connections of an admin port, the pool's or an nlb's: so many at once, one request each, and
//! none for ever.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::serve::Listener;
use axum::{Extension, Router};
use hyper::server::conn::http1::Builder;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Serves `router` for ever. 64 connections are open at once, and further ones wait in the
/// system's listen queue. One has 10 s for the head of its request, and is closed with the answer,
/// or 30 s after it came: who reads no answer gets no more of it.
pub(crate) async fn serve(listener: TcpListener, router: Router) -> Infallible {
    serve_within(LIMITS, listener, router).await
}

/// An answer's word that it takes longer than others, given as an extension of its request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lasting(Arc<OnceLock<Duration>>);

impl Lasting {
    /// The connection stays open for so much longer at the most.
    pub(crate) fn set(&self, span: Duration) {
        // There is one request of a connection, and one answer.
        let _ = self.0.set(span);
    }
}

#[derive(Clone, Copy)]
struct Limits {
    connections: usize,
    head_within: Duration,
    answered_within: Duration,
}

async fn serve_within(limits: Limits, mut listener: TcpListener, router: Router) -> Infallible {
    let places = Arc::new(Semaphore::new(limits.connections));
    loop {
        let place = Arc::clone(&places).acquire_owned().await;
        // Waits when the system has no more files.
        let (stream, _) = Listener::accept(&mut listener).await;
        let router = router.clone();
        tokio::spawn(async move {
            answer(limits, stream, router).await;
            drop(place);
        });
    }
}

/// Answers one request. What goes wrong concerns nobody but who asked.
async fn answer(limits: Limits, stream: TcpStream, router: Router) {
    let lasting = Lasting::default();
    let service = TowerToHyperService::new(router.layer(Extension(lasting.clone())));
    let connection = Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_within)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let answered = timeout(limits.answered_within, connection.as_mut()).await;
    if let (Err(_), Some(span)) = (answered, lasting.0.get()) {
        let _ = timeout(*span, connection).await;
    }
}

/// A pool's /trace is the only answer that lasts, and four run at a time (`TRACES_MAX`): also with
/// those whose reader stands still, which stay 30 s longer, they leave places for /healthz.
const LIMITS: Limits = Limits {
    connections: 64,
    head_within: Duration::from_secs(10),
    answered_within: Duration::from_secs(30),
};

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::pin::Pin;
    use std::task::{Context, Poll, ready};

    use axum::body::{Body, Bytes};
    use axum::routing::get;
    use http_body::Frame;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::{Sleep, sleep};

    use super::*;

    /// Serves answers that are short, that last, and that nobody can read to their end.
    async fn open(limits: Limits) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let last = move |Extension(lasting): Extension<Lasting>| async move {
            lasting.set(limits.answered_within * 20);
            Body::new(Late(Some(Box::pin(sleep(limits.answered_within * 2)))))
        };
        let router = Router::new()
            .route("/short", get(|| async { "short\n" }))
            .route("/lasting", get(last))
            .route("/long", get(|| async { vec![b'x'; 16 << 20] }));
        tokio::spawn(serve_within(limits, listener, router));
        address
    }

    /// One word, after a while.
    struct Late(Option<Pin<Box<Sleep>>>);

    impl http_body::Body for Late {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let Some(sleep) = &mut self.0 else {
                return Poll::Ready(None);
            };
            ready!(sleep.as_mut().poll(context));
            self.0 = None;
            Poll::Ready(Some(Ok(Frame::data("at last\n".into()))))
        }
    }

    /// A connection that asks for `path`.
    async fn ask(address: SocketAddr, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// All that comes until the connection is closed.
    async fn heard(mut stream: TcpStream) -> String {
        let mut text = String::new();
        let read = stream.read_to_string(&mut text);
        let _ = timeout(BOUND, read).await.expect("it is closed");
        text
    }

    #[tokio::test]
    async fn connections_that_say_nothing_give_their_places_to_who_waits() {
        let address = open(Limits {
            connections: 2,
            head_within: Duration::from_millis(200),
            answered_within: BOUND * 2,
        })
        .await;
        let silent = [
            TcpStream::connect(address).await.unwrap(),
            TcpStream::connect(address).await.unwrap(),
        ];
        let mut waiting = ask(address, "/short").await;
        let early = timeout(Duration::from_millis(50), waiting.read(&mut [0])).await;
        assert!(early.is_err(), "there is no place for it");
        assert!(heard(waiting).await.ends_with("short\n"));
        for stream in silent {
            heard(stream).await;
        }
    }

    #[tokio::test]
    async fn an_answer_that_nobody_reads_is_cut_and_one_that_lasts_is_not() {
        let address = open(Limits {
            connections: 1,
            head_within: BOUND,
            answered_within: Duration::from_millis(100),
        })
        .await;
        let unread = ask(address, "/long").await;
        assert!(
            heard(ask(address, "/short").await)
                .await
                .ends_with("short\n")
        );
        drop(unread);
        let lasting = heard(ask(address, "/lasting").await).await;
        assert!(lasting.contains("at last\n"), "{lasting}");
    }

    const BOUND: Duration = Duration::from_secs(10);
}
