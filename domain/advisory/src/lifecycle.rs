//! Until when distributions care for their releases. After that day nobody looks for what is wrong with them, and
//! that no advisory speaks of a package says nothing.

use model::Distro;

use crate::Ecosystem;

/// The last day of updates for everyone, without paying: Debian's is that of its long-term support, Ubuntu's that of
/// its standard support. From the distributions' own tables (Debian's `distro-info-data`, their release pages).
const ENDS: [(&str, &[(&str, &str)]); 7] = [
    ("almalinux", &[("8", "2029-03-01"), ("9", "2032-05-31"), ("10", "2035-05-31")]),
    (
        "alpine",
        &[
            ("v3.10", "2021-05-01"),
            ("v3.11", "2021-11-01"),
            ("v3.12", "2022-05-01"),
            ("v3.13", "2022-11-01"),
            ("v3.14", "2023-05-01"),
            ("v3.15", "2023-11-01"),
            ("v3.16", "2024-05-23"),
            ("v3.17", "2024-11-22"),
            ("v3.18", "2025-05-09"),
            ("v3.19", "2025-11-01"),
            ("v3.20", "2026-04-01"),
            ("v3.21", "2026-11-01"),
            ("v3.22", "2027-05-01"),
        ],
    ),
    ("centos", &[("6", "2020-11-30"), ("7", "2024-06-30"), ("8", "2021-12-31")]),
    (
        "debian",
        &[
            ("7", "2018-05-31"),
            ("8", "2020-06-30"),
            ("9", "2022-06-30"),
            ("10", "2024-06-30"),
            ("11", "2026-08-31"),
            ("12", "2028-06-30"),
            ("13", "2030-06-30"),
        ],
    ),
    ("rhel", &[("6", "2020-11-30"), ("7", "2024-06-30"), ("8", "2029-05-31"), ("9", "2032-05-31")]),
    ("rocky", &[("8", "2029-05-31"), ("9", "2032-05-31"), ("10", "2035-05-31")]),
    (
        "ubuntu",
        &[
            ("14.04", "2019-04-25"),
            ("16.04", "2021-04-30"),
            ("18.04", "2023-05-31"),
            ("18.10", "2019-07-18"),
            ("19.04", "2020-01-23"),
            ("19.10", "2020-07-17"),
            ("20.04", "2025-05-29"),
            ("20.10", "2021-07-22"),
            ("21.04", "2022-01-20"),
            ("21.10", "2022-07-14"),
            ("22.04", "2027-06-01"),
            ("22.10", "2023-07-20"),
            ("23.04", "2024-01-25"),
            ("23.10", "2024-07-11"),
            ("24.04", "2029-05-31"),
            ("24.10", "2025-07-10"),
            ("25.04", "2026-01-15"),
            ("25.10", "2026-07-09"),
            ("26.04", "2031-05-29"),
        ],
    ),
];

/// The last day (`2026-08-31`) on which the distribution's release is cared for; `None` where that is not known.
pub fn end_of_life(distro: &Distro) -> Option<&'static str> {
    let (_, ends) = ENDS.iter().find(|(id, _)| *id == distro.id)?;
    let release = Ecosystem::of_distro(distro).and_then(|ecosystem| ecosystem.release);
    let major = || distro.version.split('.').next().unwrap_or_default().to_owned();
    let release = release.unwrap_or_else(major);
    ends.iter().find(|(known, _)| *known == release).map(|(_, day)| *day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(id: &str, version: &str, day: Option<&str>) {
        let distro = Distro { id: id.to_owned(), version: version.to_owned(), codename: None };
        assert_eq!(end_of_life(&distro), day, "{id} {version}");
    }

    #[test]
    fn a_release_is_found_as_advisories_call_it() {
        check("debian", "11", Some("2026-08-31"));
        check("alpine", "3.19.4", Some("2025-11-01"));
        check("rhel", "7.9", Some("2024-06-30"));
        check("centos", "7", Some("2024-06-30"));
        check("ubuntu", "22.04", Some("2027-06-01"));
        check("debian", "", None);
        check("alpine", "edge", None);
        check("wolfi", "20230201", None);
    }

    #[test]
    fn days_are_written_so_that_they_sort() {
        for (_, day) in ENDS.iter().flat_map(|(_, ends)| *ends) {
            let parts: Vec<usize> = day.split('-').map(str::len).collect();
            assert_eq!(parts, [4, 2, 2], "{day}");
        }
    }
}
