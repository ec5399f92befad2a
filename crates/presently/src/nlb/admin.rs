//! The admin port of an nlb: metrics, health and sessions over HTTP.

use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use super::Control;

/// Answers `/metrics`, `/healthz`, `/readyz` and `/sessions` about the nlb of `control`, for ever.
///
/// `/healthz` is 200 while the loop turns, `/readyz` while users are given access. `/sessions`
/// names people, so it is served on loopback only.
pub(super) async fn serve(listener: TcpListener, control: Control) -> io::Result<()> {
    let address = listener.local_addr()?;
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(health))
        .route("/readyz", get(readiness))
        .with_state(control.clone())
        .route("/sessions", get(sessions))
        .with_state((control, address));
    axum::serve(listener, router).await
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
        Some(snapshot) => {
            let text = if snapshot.is_reachable {
                "no application server is up\n"
            } else {
                "the presence server does not answer\n"
            };
            (StatusCode::SERVICE_UNAVAILABLE, text.to_owned())
        }
        None => stuck(),
    }
}

async fn sessions(
    State((control, address)): State<(Control, SocketAddr)>,
    RawQuery(query): RawQuery,
) -> Response {
    if !address.ip().is_loopback() {
        let text = format!("sessions are shown on loopback only, and this port is {address}\n");
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    let query = query.unwrap_or_default();
    let Some(part) = query
        .strip_prefix("user=")
        .or(Some("").filter(|_| query.is_empty()))
    else {
        let text = "ask for /sessions or /sessions?user=PART-OF-THE-ADDRESS\n";
        return (StatusCode::BAD_REQUEST, text).into_response();
    };
    match control.sessions(part).await {
        Some(list) => {
            let kind = [(header::CONTENT_TYPE, "application/json")];
            let text = serde_json::to_string(&list).expect("every row can be written");
            (kind, text).into_response()
        }
        None => stuck().into_response(),
    }
}

fn stuck() -> (StatusCode, String) {
    let text = "the loop does not answer\n".to_owned();
    (StatusCode::SERVICE_UNAVAILABLE, text)
}
