//! Image configs (image-spec `config.md`): which uncompressed layers, for which platform, made how.

use model::Digest;
use serde::Deserialize;

use crate::error::DocumentError;
use crate::index::Platform;
use crate::manifest::{check_count, malformed, parse, unsupported};

/// What of an image's config matters here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageConfig {
    /// The sha256 of each uncompressed layer, lowest first.
    pub diff_ids: Vec<Digest>,
    /// What the image runs on, when that is said.
    pub platform: Option<Platform>,
    /// How the layers came about, oldest first; may be missing or incomplete.
    pub history: Vec<HistoryEntry>,
}

/// One step of the build.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HistoryEntry {
    /// The command, as the builder put it down.
    pub created_by: String,
    /// Whether the step made no layer.
    pub empty_layer: bool,
}

impl ImageConfig {
    /// Reads a config of at most [`Limits::document_bytes`](crate::Limits).
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        const WHAT: &str = "image config";
        let raw: RawConfig = parse(WHAT, bytes)?;
        if raw.rootfs.kind != "layers" {
            return Err(unsupported(WHAT, format!("rootfs type {:?} is not \"layers\"", raw.rootfs.kind)));
        }
        let ids = raw.rootfs.diff_ids.unwrap_or_default();
        check_count(WHAT, "diff ids", ids.len())?;
        let digest =
            |id: String| id.parse().map_err(|e: model::InvalidDigest| malformed(WHAT, e.to_string()));
        let diff_ids = ids.into_iter().map(digest).collect::<Result<_, _>>()?;
        let history = raw.history.unwrap_or_default().into_iter().map(HistoryEntry::from).collect();
        Ok(Self { diff_ids, platform: platform(raw.os, raw.architecture, raw.variant), history })
    }

    /// The build step that made a layer, by the layer's index.
    pub fn created_by(&self, layer: usize) -> Option<&str> {
        let makers = self.history.iter().filter(|step| !step.empty_layer);
        if makers.clone().count() != self.diff_ids.len() {
            return None; // Squashed or hand-made: a wrong command is worse than none.
        }
        makers.clone().nth(layer).map(|step| step.created_by.as_str())
    }
}

/// Steps that say what the image runs. They make no layer, and whoever builds on the image says it anew.
const RUNS: [&str; 2] = ["CMD", "ENTRYPOINT"];

impl ImageConfig {
    /// How many of the lowest layers are those of the image that this one was built from; `None` when the history does
    /// not tell. A guess, as nothing records it: the layers below the last step that says what an image runs and that
    /// has own layers after it.
    pub fn base_layers(&self) -> Option<u32> {
        let layers = self.history.iter().filter(|step| !step.empty_layer).count();
        if layers != self.diff_ids.len() {
            return None;
        }
        let (mut below, mut base) = (0, None);
        for step in &self.history {
            if !step.empty_layer {
                below += 1;
            } else if RUNS.contains(&step.instruction()) && (1..layers).contains(&below) {
                base = u32::try_from(below).ok();
            }
        }
        base
    }
}

impl HistoryEntry {
    /// The instruction of a Dockerfile: `CMD` of `/bin/sh -c #(nop)  CMD ["bash"]` and of `CMD ["bash"]`.
    fn instruction(&self) -> &str {
        let step = self.created_by.split_once("#(nop)").map_or(self.created_by.as_str(), |(_, step)| step);
        step.split_whitespace().next().unwrap_or_default()
    }
}

fn platform(os: Option<String>, architecture: Option<String>, variant: Option<String>) -> Option<Platform> {
    let said = |text: Option<String>| text.filter(|t| !t.is_empty());
    Some(Platform { os: said(os)?, architecture: said(architecture)?, variant: said(variant) })
}

#[derive(Deserialize)]
struct RawConfig {
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
    rootfs: RawRootfs,
    history: Option<Vec<RawHistory>>,
}

#[derive(Deserialize)]
struct RawRootfs {
    #[serde(rename = "type")]
    kind: String,
    diff_ids: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct RawHistory {
    created_by: Option<String>,
    #[serde(default)]
    empty_layer: bool,
}

impl From<RawHistory> for HistoryEntry {
    fn from(raw: RawHistory) -> Self {
        Self { created_by: raw.created_by.unwrap_or_default(), empty_layer: raw.empty_layer }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(rootfs: &str) -> Result<ImageConfig, DocumentError> {
        let history =
            r#"[{"created_by":"base"},{"created_by":"ENV x","empty_layer":true},{"created_by":"apt"}]"#;
        let json =
            format!(r#"{{"os":"linux","architecture":"amd64","rootfs":{rootfs},"history":{history}}}"#);
        ImageConfig::parse(json.as_bytes())
    }

    #[test]
    fn diff_ids_platform_and_history_are_read() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let config = config(&format!(r#"{{"type":"layers","diff_ids":["{a}","{b}"]}}"#)).unwrap();
        assert_eq!(config.diff_ids, [a, b]);
        assert_eq!(config.platform, Some(Platform::linux_amd64()));
        assert_eq!([config.created_by(0), config.created_by(1)], [Some("base"), Some("apt")]);
        assert_eq!(config.created_by(2), None);
    }

    #[test]
    fn a_history_that_does_not_fit_says_nothing() {
        assert_eq!(config(r#"{"type":"layers","diff_ids":[]}"#).unwrap().created_by(0), None);
    }

    #[test]
    fn the_base_ends_where_it_says_what_it_runs() {
        let base = |steps: &[&str]| {
            let step = |step: &&str| match step.strip_suffix('!') {
                Some(text) => HistoryEntry { created_by: text.to_owned(), empty_layer: false },
                None => HistoryEntry { created_by: (*step).to_owned(), empty_layer: true },
            };
            let history: Vec<HistoryEntry> = steps.iter().map(step).collect();
            let layers = history.iter().filter(|step| !step.empty_layer).count();
            let diff_ids = vec![Digest::of(b""); layers];
            ImageConfig { diff_ids, history, platform: None }.base_layers()
        };
        let old = r#"/bin/sh -c #(nop)  CMD ["bash"]"#;
        assert_eq!(base(&["ADD rootfs!", old, "RUN apt!", "CMD [\"app\"]"]), Some(1));
        let twice = [
            "ADD rootfs!",
            "CMD [\"bash\"]",
            "RUN make!",
            "RUN x!",
            "ENTRYPOINT [\"py\"]",
            "COPY app!",
            "CMD x",
        ];
        assert_eq!(base(&twice), Some(3));
        assert_eq!(base(&["ADD rootfs!", old]), None, "it is no one's base but its own");
        assert_eq!(base(&["CMD x", "ADD rootfs!"]), None);
        assert_eq!(base(&["RUN CMDS!", "ENV CMD=1", "COPY x!"]), None);
        let mut squashed = config(r#"{"type":"layers","diff_ids":[]}"#).unwrap();
        squashed.history.push(HistoryEntry { created_by: old.to_owned(), empty_layer: true });
        assert_eq!(squashed.base_layers(), None, "the history does not fit the layers");
    }

    #[test]
    fn what_is_not_layers_is_refused() {
        assert!(matches!(config(r#"{"type":"tree"}"#), Err(DocumentError::Unsupported { .. })));
        let bad = config(r#"{"type":"layers","diff_ids":["sha256:00"]}"#);
        assert!(matches!(bad, Err(DocumentError::Malformed { .. })));
        let id = format!("\"{}\"", Digest::of(b""));
        let many = config(&format!(r#"{{"type":"layers","diff_ids":[{}]}}"#, vec![id; 513].join(",")));
        assert!(matches!(many, Err(DocumentError::TooLarge { actual: 513, .. })));
    }
}
