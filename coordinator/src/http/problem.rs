//! Refusals of the plain HTTP routes: `application/problem+json` (RFC 9457, before it RFC 7807).

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// What is wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// The status.
    pub(super) status: StatusCode,
    /// A name for programs; part of the problem's type.
    pub(super) name: &'static str,
    /// For people: what is wrong with this request.
    pub(super) detail: String,
    /// When to try again.
    pub(super) retry_after: Option<Duration>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, name: &'static str, detail: impl Into<String>) -> Self {
        Self { status, name, detail: detail.into(), retry_after: None }
    }

    pub(super) fn retry_after(self, time: Duration) -> Self {
        Self { retry_after: Some(time), ..self }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = json!({
            "type": format!("urn:starling:problem:{}", self.name),
            "title": self.status.canonical_reason().unwrap_or_default(),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        let content = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (self.status, content, body.to_string()).into_response();
        if let Some(time) = self.retry_after {
            // Whole seconds, and never too early.
            let seconds = time.as_millis().div_ceil(1000).max(1).to_string();
            let seconds = HeaderValue::from_str(&seconds).expect("a number is a header's value");
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}
