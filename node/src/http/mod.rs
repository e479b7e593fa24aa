//! The page, the API, the probes and the metrics.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;
use serde_json::json;
use sonode_conformance::StudyInstanceUid;
use sonode_pipeline::{CommandError, Timestamp};

use crate::node::Node;
use crate::scu;

type Shared = State<Arc<Node>>;

/// Every route of the contract.
pub(crate) fn router(node: Arc<Node>) -> Router {
    Router::new()
        .route("/", get(async || Html(include_str!("page.html"))))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/api/v1/health", get(health))
        .route("/api/v1/studies", get(studies))
        .route("/api/v1/studies/{uid}", get(study))
        .route("/api/v1/studies/{uid}/retry", post(retry))
        .route("/api/v1/studies/{uid}/close", post(close))
        .route("/api/v1/studies/{uid}/discard", post(discard))
        .route("/api/v1/unsorted", get(unsorted))
        .route("/api/v1/refused", get(refused))
        .route("/api/v1/peers", get(peers))
        .route("/api/v1/peers/{name}/echo", post(echo))
        .with_state(node)
}

/// Makes an answer in a thread of its own. The pipeline's answer may have to wait for the disk, and the listener, which
/// takes carts' connections, runs on the same few threads of the runtime as the handlers.
async fn answer(ask: impl FnOnce() -> Response + Send + 'static) -> Response {
    let answer = tokio::task::spawn_blocking(ask).await;
    answer.unwrap_or_else(|error| problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()))
}

async fn ready(State(node): Shared) -> Response {
    answer(move || {
        let health = node.health();
        if health.ready {
            "ready\n".into_response()
        } else {
            let reasons = health
                .problems
                .iter()
                .fold(String::new(), |text, line| text + line + "\n");
            (StatusCode::SERVICE_UNAVAILABLE, reasons).into_response()
        }
    })
    .await
}

async fn health(State(node): Shared) -> Response {
    answer(move || Json(node.health()).into_response()).await
}

async fn metrics(State(node): Shared) -> Response {
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    answer(move || ([(header::CONTENT_TYPE, content_type)], node.metrics_text()).into_response())
        .await
}

async fn studies(State(node): Shared) -> Response {
    answer(move || Json(node.pipeline().studies()).into_response()).await
}

async fn refused(State(node): Shared) -> Response {
    Json(node.refused().list()).into_response()
}

async fn unsorted(State(node): Shared) -> Response {
    answer(move || Json(node.pipeline().unsorted()).into_response()).await
}

async fn study(State(node): Shared, Path(uid): Path<String>) -> Response {
    with_study(uid, move |uid| match node.pipeline().study(uid) {
        Some(detail) => Json(detail).into_response(),
        None => problem(StatusCode::NOT_FOUND, "there is no such study"),
    })
    .await
}

async fn retry(State(node): Shared, Path(uid): Path<String>) -> Response {
    with_study(uid, move |uid| done(node.pipeline().retry(uid))).await
}

async fn close(State(node): Shared, Path(uid): Path<String>) -> Response {
    with_study(uid, move |uid| done(node.pipeline().close(uid))).await
}

async fn discard(State(node): Shared, Path(uid): Path<String>) -> Response {
    with_study(uid, move |uid| done(node.pipeline().discard(uid))).await
}

async fn with_study(
    uid: String,
    act: impl FnOnce(&StudyInstanceUid) -> Response + Send + 'static,
) -> Response {
    answer(move || match uid.parse() {
        Ok(uid) => act(&uid),
        Err(error) => problem(
            StatusCode::BAD_REQUEST,
            &format!("{uid:?} is no Study Instance UID: {error}"),
        ),
    })
    .await
}

fn done(outcome: Result<(), CommandError>) -> Response {
    match outcome {
        Ok(()) => Json(json!({ "ok": true })).into_response(),
        Err(error @ CommandError::NoSuchStudy(_)) => {
            problem(StatusCode::NOT_FOUND, &error.to_string())
        }
        Err(error) => problem(StatusCode::CONFLICT, &error.to_string()),
    }
}

#[derive(Serialize)]
struct PeerView {
    name: String,
    ae_title: String,
    address: Option<String>,
    allow_from: Vec<String>,
    /// When it last opened an association with this node; null before it has since the start.
    last_call: Option<Timestamp>,
    /// Its associations that stand.
    associations: usize,
    delivery: Option<sonode_pipeline::PeerHealth>,
}

async fn peers(State(node): Shared) -> Response {
    answer(move || Json(peer_views(&node)).into_response()).await
}

fn peer_views(node: &Node) -> Vec<PeerView> {
    let mut health = node.pipeline().health().peers;
    let config = node.config();
    config
        .peers
        .iter()
        .map(|peer| PeerView {
            name: peer.name.clone(),
            ae_title: peer.ae_title.to_string(),
            address: peer.address.as_ref().map(ToString::to_string),
            allow_from: peer.allow_from.iter().map(ToString::to_string).collect(),
            last_call: node.last_call(&peer.name),
            associations: node.associations_of(&peer.name),
            delivery: health
                .iter()
                .position(|state| state.name == peer.name)
                .map(|found| health.swap_remove(found)),
        })
        .collect()
}

async fn echo(State(node): Shared, Path(name): Path<String>) -> Response {
    let config = node.config();
    let Some(peer) = config.peer(&name) else {
        return problem(StatusCode::NOT_FOUND, "there is no such peer");
    };
    let Some(address) = peer.address.clone() else {
        return problem(
            StatusCode::CONFLICT,
            "the peer has no host and port in the configuration",
        );
    };
    let (own, title) = (config.node.ae_title.clone(), peer.ae_title.clone());
    let timeouts = scu::Timeouts::from(&config.limits);
    let answer =
        tokio::task::spawn_blocking(move || scu::echo(&own, &title, &address, &timeouts)).await;
    match answer {
        Ok(Ok(echo)) => Json(json!({
            "ok": echo.status == sonode_conformance::DimseStatus::SUCCESS,
            "status": echo.status.to_string(),
            "milliseconds": u64::try_from(echo.elapsed.as_millis()).unwrap_or(u64::MAX),
            "implementation": echo.implementation,
        }))
        .into_response(),
        Ok(Err(error)) => Json(json!({ "ok": false, "error": error.to_string() })).into_response(),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn problem(status: StatusCode, what: &str) -> Response {
    (status, Json(json!({ "error": what }))).into_response()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_answer_that_waits_keeps_no_thread_of_the_runtime() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let (engine, waiting) = mpsc::channel();
        let answer = answer(move || {
            let told = waiting.recv_timeout(Duration::from_secs(20));
            told.unwrap_or("nobody else came on the runtime")
                .into_response()
        });
        let others = async { engine.send("answered").unwrap() };
        let (answer, ()) = runtime.block_on(async { tokio::join!(answer, others) });
        let body = runtime.block_on(axum::body::to_bytes(answer.into_body(), 100));
        assert_eq!(body.unwrap(), "answered");
    }
}
