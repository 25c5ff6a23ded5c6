//! The trace that a call is part of (W3C Trace Context, level 1, "traceparent").

use http::HeaderMap;
use model::TraceId;
use uuid::Uuid;

/// The trace in these headers. One that cannot be read is as good as none, says the specification.
pub(super) fn in_headers(headers: &HeaderMap) -> Option<TraceId> {
    parse(headers.get("traceparent")?.to_str().ok()?)
}

/// The trace of a request that went through [`observe`](super::observe::observe).
pub(super) fn trace_of<T>(request: &tonic::Request<T>) -> Option<TraceId> {
    request.extensions().get().copied()
}

/// `version-trace id-parent id-flags`, all lowercase hexadecimal; ids of zeros mean nothing.
fn parse(text: &str) -> Option<TraceId> {
    let mut parts = text.split('-');
    let [version, trace, parent, flags] = [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
    let hex =
        |part: &str, len| part.len() == len && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let named = |part: &str| part.bytes().any(|b| b != b'0');
    let shaped = hex(version, 2) && hex(trace, 32) && hex(parent, 16) && hex(flags, 2);
    let last = version != "00" || parts.next().is_none();
    if !(shaped && last && version != "ff" && named(parent)) {
        return None;
    }
    TraceId::from_uuid(Uuid::from_u128(u128::from_str_radix(trace, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_specification_allows_is_taken() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(parse(good).unwrap().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(parse(&good.replace("00-4", "01-4").replace("-01", "-01-more")).is_some());
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
