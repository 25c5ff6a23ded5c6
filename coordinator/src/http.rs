//! What is not gRPC on the same port: probes for the orchestrator, metrics for the collector, events of aggregators.

mod events;
mod problem;

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use cluster::streams::Windows;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use store::Store;

use crate::config::Webhooks;

/// Tells whether the node may be sent calls.
pub trait Readiness: Send + Sync + 'static {
    /// Each check's name and what is wrong, if anything.
    fn checks(&self) -> impl Future<Output = Vec<Check>> + Send;
}

/// One thing that must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What is checked.
    pub name: &'static str,
    /// What is wrong; `None` when nothing is.
    pub fault: Option<String>,
}

/// `/livez`, `/readyz` and `/metrics`.
pub fn routes<R: Readiness>(readiness: Arc<R>, metrics: PrometheusHandle) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready::<R>).with_state(readiness))
        .route("/metrics", get(|| async move { render(&metrics) }))
}

/// `/events/…` of the webhooks that are enabled.
pub fn events(webhooks: &Webhooks, store: &Store, windows: &Windows) -> Router {
    events::routes(webhooks, store, windows)
}

async fn ready<R: Readiness>(State(readiness): State<Arc<R>>, RawQuery(query): RawQuery) -> Response {
    answer(&readiness.checks().await, query.as_deref() == Some("verbose"))
}

fn answer(checks: &[Check], verbose: bool) -> Response {
    let good = checks.iter().all(|check| check.fault.is_none());
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut text = String::new();
    for check in checks.iter().filter(|check| verbose || check.fault.is_some()) {
        text.push_str(&format!("{}: {}\n", check.name, check.fault.as_deref().unwrap_or("ok")));
    }
    text.push_str(if good { "ok\n" } else { "not ready\n" });
    (status, text).into_response()
}

fn render(metrics: &PrometheusHandle) -> Response {
    metrics.run_upkeep();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], metrics.render()).into_response()
}

/// Collects metrics of this process, from the first call on. Histograms of lengths of time get buckets from 1 ms to a
/// minute.
pub fn collect_metrics() -> anyhow::Result<PrometheusHandle> {
    const SECONDS: [f64; 14] =
        [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 60.0];
    let builder = PrometheusBuilder::new();
    let builder = builder.set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?;
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    // Several nodes in one process, as in tests, share the recorder of the first.
    static FIRST: std::sync::OnceLock<PrometheusHandle> = std::sync::OnceLock::new();
    if metrics::set_global_recorder(recorder).is_ok() {
        actors::metrics::describe();
        return Ok(FIRST.get_or_init(|| handle).clone());
    }
    Ok(FIRST.get().cloned().unwrap_or(handle))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn said(checks: &[Check], verbose: bool) -> (u16, String) {
        let response = answer(checks, verbose);
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn readiness_names_what_is_wrong() {
        let good = Check { name: "database", fault: None };
        let bad = Check { name: "cluster", fault: Some("not joined".to_owned()) };
        assert_eq!(said(std::slice::from_ref(&good), false).await, (200, "ok\n".to_owned()));
        let both = [good, bad];
        assert_eq!(said(&both, false).await, (503, "cluster: not joined\nnot ready\n".to_owned()));
        assert_eq!(said(&both, true).await.1, "database: ok\ncluster: not joined\nnot ready\n");
    }

    #[tokio::test]
    async fn metrics_are_rendered_as_prometheus_reads_them() {
        let handle = collect_metrics().unwrap();
        metrics::histogram!("starling_test_seconds").record(0.003);
        let body = axum::body::to_bytes(render(&handle).into_body(), 1 << 20).await.unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert!(text.contains("starling_test_seconds_bucket{le=\"0.005\"} 1"), "{text}");
    }
}
