//! `requirements.txt`: only lines that say one version, `NAME==VERSION`. The others say what could be installed.
//!
//! For which system a line is (`; sys_platform == "win32"`) is not looked at, as it is not in other lock files.

use crate::ecosystems::listing::{self, Lines};

/// A line for each exact version.
pub(super) fn lines(text: &str) -> Lines {
    let mut lines = Lines::default();
    for line in text.lines() {
        lines.add(pin(line).map(|(name, version)| listing::package(name, version)));
    }
    lines
}

fn pin(line: &str) -> Option<(&str, &str)> {
    let requirement = line.split([';', '#', '\\']).next()?.split(" --").next()?;
    let (name, version) = requirement.split_once("==")?;
    let name = name.split_once('[').map_or(name, |(name, _extras)| name);
    let (name, version) = (name.trim(), version.trim());
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let is_version = |c: char| is_name(c) || matches!(c, '!' | '+');
    let begins = |text: &str| text.starts_with(|c: char| c.is_ascii_alphanumeric());
    let fits =
        begins(name) && begins(version) && name.chars().all(is_name) && version.chars().all(is_version);
    fits.then_some((name, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_versions_count() {
        for (line, expected) in [
            ("Django==3.2.5", Some(("Django", "3.2.5"))),
            ("  a.b_c-d == 1!2.0+local.1  # why", Some(("a.b_c-d", "1!2.0+local.1"))),
            ("a[x,y]==1.0; python_version >= '3'", Some(("a", "1.0"))),
            ("a==1.0 --hash=sha256:00 \\", Some(("a", "1.0"))),
            ("a==1.0 \\", Some(("a", "1.0"))),
            ("a", None),
            ("a>=1.0", None),
            ("a==1.*", None),
            ("a==1.0,!=1.1", None),
            ("a===1.0", None),
            ("a @ https://x.example/a==1.0.zip", None),
            ("-e git+https://x.example/a==1", None),
            ("--hash=sha256:a==1", None),
            ("# a==1.0", None),
            ("-r other.txt", None),
            ("==1.0", None),
            ("a==", None),
        ] {
            assert_eq!(pin(line), expected, "{line}");
        }
    }
}
