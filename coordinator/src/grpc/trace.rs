//! The W3C trace context of a call (Trace Context, level 1, "traceparent").

use http::HeaderMap;

/// A valid `traceparent`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traceparent(String);

impl Traceparent {
    /// The one in these headers. One that cannot be read is as good as none, says the specification.
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        Self::parse(headers.get("traceparent")?.to_str().ok()?)
    }

    /// `version-trace id-parent id-flags`, all lowercase hexadecimal; ids of zeros mean nothing.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let [version, trace, parent, flags] = [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
        let hex = |part: &str, len| {
            part.len() == len && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        let named = |part: &str| part.bytes().any(|b| b != b'0');
        let shaped = hex(version, 2) && hex(trace, 32) && hex(parent, 16) && hex(flags, 2);
        let last = version != "00" || parts.next().is_none();
        (shaped && last && version != "ff" && named(trace) && named(parent)).then(|| Self(text.to_owned()))
    }

    /// The whole of it, to be passed on.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The trace's id, 32 hexadecimal digits.
    pub fn trace_id(&self) -> &str {
        &self.0[3..35]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_specification_allows_is_taken() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(Traceparent::parse(good).unwrap().trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(Traceparent::parse(&good.replace("00-4", "01-4").replace("-01", "-01-more")).is_some());
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        ] {
            assert_eq!(Traceparent::parse(bad), None, "{bad}");
        }
    }
}
