//! Health and metrics over HTTP, and what the service manager is told. Reads only.
//!
//! | path | answer |
//! |---|---|
//! | `/healthz` | 200 while the process lives |
//! | `/readyz` | 200 when every pipeline takes events or stands by, 503 otherwise; where each stands, as JSON |
//! | `/metrics` | OpenMetrics text; needs the token when one is set |

mod guard;
mod metrics;
pub mod service;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use prometheus_client::registry::Registry;
use secrecy::SecretString;
use serde_json::json;
use tokio::net::TcpListener;

use crate::flow::context::{Context, Phase};
use crate::spec::program::Admin;

/// Listens, and answers nothing yet.
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    token: Option<SecretString>,
}

struct Shared {
    revision: Arc<str>,
    pipelines: Vec<Arc<Context>>,
    registry: Registry,
    token: Option<SecretString>,
}

impl Bound {
    pub async fn bind(admin: &Admin) -> std::io::Result<Self> {
        let listener = TcpListener::bind(admin.listen).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, token: admin.token.clone() })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until it is dropped.
    pub async fn serve(self, revision: Arc<str>, pipelines: Vec<Arc<Context>>) -> std::io::Result<()> {
        let registry = metrics::registry(&pipelines);
        let shared = Arc::new(Shared { revision, pipelines, registry, token: self.token });
        let router = Router::new()
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(readyz))
            .route("/metrics", get(scrape))
            .layer(middleware::from_fn_with_state(self.address, guard::host))
            .with_state(shared);
        axum::serve(self.listener, router).await
    }
}

/// Every pipeline with its phase, looked at once.
fn standing(pipelines: &[Arc<Context>]) -> Vec<(&str, Phase)> {
    pipelines.iter().map(|context| (&*context.pipeline.name, context.phase.borrow().clone())).collect()
}

fn all_ready(standing: &[(&str, Phase)]) -> bool {
    standing.iter().all(|(_, phase)| phase.ready())
}

async fn readyz(State(shared): State<Arc<Shared>>) -> Response {
    let standing = standing(&shared.pipelines);
    let all = all_ready(&standing);
    let pipelines: Vec<_> = standing
        .iter()
        .map(|(name, phase)| json!({ "pipeline": name, "ready": phase.ready(), "phase": phase.to_string() }))
        .collect();
    let status = if all { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": all, "revision": &*shared.revision, "pipelines": pipelines }))).into_response()
}

async fn scrape(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    if !guard::bears(shared.token.as_ref(), &headers) {
        return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], "a token is needed\n")
            .into_response();
    }
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &shared.registry) {
        Ok(()) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
