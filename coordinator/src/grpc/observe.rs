//! What operators see of calls: a span with the trace's id, a count by outcome, and how long each took.

use std::time::Instant;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use model::TraceId;
use tonic::{Code, Status};
use tracing::Instrument as _;

use super::scopes::access;
use super::trace;

/// The layer around all others.
pub(super) async fn observe(mut request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let Some((service, method)) = known(&path) else { return next.run(request).await };
    let trace = trace::in_headers(request.headers()).unwrap_or_else(TraceId::random);
    let span = tracing::info_span!(
        "call",
        rpc.service = service,
        rpc.method = method,
        trace_id = %trace,
        tenant.id = tracing::field::Empty,
        job.id = tracing::field::Empty,
    );
    request.extensions_mut().insert(trace);
    let began = Instant::now();
    let response = next.run(request).instrument(span.clone()).await;
    let code = code(&response);
    let took = began.elapsed();
    span.in_scope(|| {
        tracing::debug!(code = code.description(), duration_ms = took.as_secs_f64() * 1000.0, "call")
    });
    let labels = [("service", service.to_owned()), ("method", method.to_owned())];
    metrics::histogram!("starling_grpc_server_handling_seconds", &labels).record(took.as_secs_f64());
    let code = format!("{code:?}");
    metrics::counter!("starling_grpc_server_handled_total", "service" => service.to_owned(), "method" => method.to_owned(), "code" => code).increment(1);
    response
}

/// Service and method of a path that is a method: anything else would let callers make up label values.
fn known(path: &str) -> Option<(&str, &str)> {
    access(path)?;
    path.strip_prefix('/')?.split_once('/')
}

/// The status of a response. A good one has it after its body, so none in front means that all is well.
fn code(response: &Response) -> Code {
    Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_methods_that_exist_become_labels() {
        let job = "/starling.job.v1.JobService/GetJob";
        assert_eq!(known(job), Some(("starling.job.v1.JobService", "GetJob")));
        assert_eq!(known("/starling.job.v1.JobService/Nope"), None);
        assert_eq!(known("/livez"), None);
    }

    #[test]
    fn the_code_is_read_from_the_front_where_there_is_one() {
        let refused: Response = Status::not_found("x").into_http();
        assert_eq!(code(&refused), Code::NotFound);
        assert_eq!(code(&Response::default()), Code::Ok);
    }
}
