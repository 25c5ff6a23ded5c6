//! Which system and processors an image is for, by what is in it, and what holds on others only.
//!
//! An image with a distribution's packages is for Linux, and for the processors that they are built for. Of one without
//! nothing is known, and then everything holds: nothing is left out on a guess.

use std::collections::BTreeSet;

use advisory::Targets;
use model::Sbom;

use crate::index::Entry;

const LINUX: &str = "linux";

/// How distributions call processors, and how Rust does.
const PROCESSORS: [(&str, &str); 21] = [
    ("amd64", "x86_64"),
    ("x86_64", "x86_64"),
    ("i386", "x86"),
    ("i486", "x86"),
    ("i586", "x86"),
    ("i686", "x86"),
    ("x86", "x86"),
    ("arm64", "aarch64"),
    ("aarch64", "aarch64"),
    ("armel", "arm"),
    ("armhf", "arm"),
    ("armv7", "arm"),
    ("armv7hl", "arm"),
    ("ppc64el", "powerpc64"),
    ("ppc64le", "powerpc64"),
    ("riscv64", "riscv64"),
    ("s390x", "s390x"),
    ("loong64", "loongarch64"),
    ("loongarch64", "loongarch64"),
    ("mips64el", "mips64"),
    ("mipsel", "mips"),
];

/// What an image runs on.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Machine {
    is_linux: bool,
    /// None: it is not known.
    processors: BTreeSet<&'static str>,
}

impl Machine {
    /// By the distribution's packages. Where one is for a processor that is not known, none is.
    pub(crate) fn of(sbom: &Sbom) -> Self {
        let own = || sbom.components.iter().filter(|component| component.kind.is_of_distro());
        let is_linux = sbom.distro.is_some() || own().next().is_some();
        let of_all = |word: &&str| ["all", "noarch", "any"].contains(word);
        let said = own().filter_map(|component| component.architecture.as_deref()).filter(|w| !of_all(w));
        let rust = |word| PROCESSORS.iter().find(|(known, _)| *known == word).map(|(_, rust)| *rust);
        let processors = said.collect::<BTreeSet<_>>().into_iter().map(rust).collect::<Option<_>>();
        Self { is_linux, processors: processors.unwrap_or_default() }
    }

    /// Whether what is said holds only where this image does not run.
    pub(crate) fn is_none_of(&self, entry: &Entry) -> bool {
        self.why_not(entry).is_some()
    }

    /// Why what is said does not hold here, for people; `None` where it does, or may.
    pub(crate) fn why_not(&self, entry: &Entry) -> Option<String> {
        let Targets { systems, processors } = entry.targets.as_deref()?;
        let is_linux_among = systems.is_empty() || systems.iter().any(|system| system == LINUX);
        if self.is_linux && !is_linux_among {
            return Some(format!("it holds on {} only, and the image is for {LINUX}", systems.join(", ")));
        }
        let here = &self.processors;
        if here.is_empty() || processors.is_empty() || processors.iter().any(|p| here.contains(p.as_str())) {
            return None;
        }
        let own: Vec<&str> = here.iter().copied().collect();
        Some(format!("it holds on {} only, and the image is for {}", processors.join(", "), own.join(", ")))
    }
}
