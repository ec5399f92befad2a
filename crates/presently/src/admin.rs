//! The admin port: metrics, health and traces over HTTP.

pub(crate) mod port;

use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::{Control, trace};

/// The admin port, open and not yet served.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
}

impl Admin {
    /// Opens the port.
    ///
    /// # Errors
    ///
    /// It is taken, or not of this machine.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Self { listener })
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// The system does not say.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Answers `/metrics`, `/healthz` and `/readyz` about the pool of `control`, for ever.
///
/// `/healthz` is 200 while the loop turns, `/readyz` while the store also confirms the beats of
/// every member of the process. `/trace` shows messages as they pass, on loopback only.
///
/// # Errors
///
/// The port broke.
pub async fn serve_admin(admin: Admin, control: Control) -> io::Result<()> {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(health))
        .route("/readyz", get(readiness))
        .with_state(control.clone())
        .merge(trace::router(control, admin.local_address().ok()));
    match port::serve(admin.listener, router).await {}
}

async fn metrics(State(control): State<Control>) -> (StatusCode, String) {
    match control.snapshot().await {
        Some(snapshot) => (StatusCode::OK, snapshot.encode()),
        None => stuck(),
    }
}

async fn health(State(control): State<Control>) -> (StatusCode, String) {
    match control.snapshot().await {
        Some(_) => (StatusCode::OK, "ok\n".to_owned()),
        None => stuck(),
    }
}

async fn readiness(State(control): State<Control>) -> (StatusCode, String) {
    match control.snapshot().await {
        Some(snapshot) if snapshot.is_ready => (StatusCode::OK, "ready\n".to_owned()),
        Some(_) => {
            let text = "the store does not confirm the beats\n".to_owned();
            (StatusCode::SERVICE_UNAVAILABLE, text)
        }
        None => stuck(),
    }
}

fn stuck() -> (StatusCode, String) {
    let text = "the loop does not answer\n".to_owned();
    (StatusCode::SERVICE_UNAVAILABLE, text)
}
