//! Every line of the public comparison tables holds: `A < B`, `A = B`, `A > B`.

use std::cmp::Ordering;
use std::path::Path;

use version::{Scheme, compare};

#[expect(clippy::print_stdout, reason = "a test that is skipped says so")]
fn check_table(scheme: Scheme, name: &str) {
    let folder = Path::new("../../../shared/data/versions");
    let Ok(table) = std::fs::read_to_string(folder.join(name)) else {
        return println!("skipped: {name} is not there, as the shared data are not part of the project");
    };
    let lines = table.lines().filter(|line| !line.is_empty() && !line.starts_with("//"));
    let wrong: Vec<_> = lines.clone().filter(|line| !holds(scheme, line)).collect();
    assert!(wrong.is_empty(), "{} of {} lines of {name} do not hold: {wrong:#?}", wrong.len(), lines.count());
}

fn holds(scheme: Scheme, line: &str) -> bool {
    let words: Vec<&str> = line.split(' ').collect();
    let [a, sign, b] = words[..] else { panic!("not a comparison: {line}") };
    let order = match sign {
        "<" => Ordering::Less,
        "=" => Ordering::Equal,
        ">" => Ordering::Greater,
        _ => panic!("not a comparison: {line}"),
    };
    compare(scheme, a, b) == Ok(order) && compare(scheme, b, a) == Ok(order.reverse())
}

#[test]
fn debian_tables_hold() {
    check_table(Scheme::Debian, "debian-versions.txt");
    check_table(Scheme::Debian, "debian-versions-generated.txt");
}

#[test]
fn semver_table_holds() {
    check_table(Scheme::Npm, "semver-versions.txt");
}

#[test]
fn python_tables_hold() {
    check_table(Scheme::Pep440, "pypi-versions.txt");
    check_table(Scheme::Pep440, "pypi-versions-generated.txt");
}
