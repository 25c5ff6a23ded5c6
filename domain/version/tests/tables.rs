//! Every line of the public comparison tables holds: `A < B`, `A = B`, `A > B`.

use std::cmp::Ordering;
use std::path::Path;

use version::{Scheme, compare};

fn check_table(scheme: Scheme, name: &str) {
    check_table_but(scheme, name, &[]);
}

/// `but` are lines that cannot hold together with others.
#[expect(clippy::print_stdout, reason = "a test that is skipped says so")]
fn check_table_but(scheme: Scheme, name: &str, but: &[&str]) {
    let folder = Path::new("../../../shared/data/versions");
    let Ok(table) = std::fs::read_to_string(folder.join(name)) else {
        return println!("skipped: {name} is not there, as the shared data are not part of the project");
    };
    let lines = table.lines().filter(|line| !line.is_empty() && !line.starts_with("//"));
    let wrong: Vec<_> = lines.clone().filter(|line| holds(scheme, line) == but.contains(line)).collect();
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
fn apk_tables_hold() {
    check_table(Scheme::Apk, "alpine-versions.txt");
    check_table(Scheme::Apk, "alpine-versions-generated.txt");
}

#[test]
fn cran_tables_hold() {
    check_table(Scheme::Cran, "cran-versions.txt");
    check_table(Scheme::Cran, "cran-versions-generated.txt");
}

#[test]
fn hackage_table_holds() {
    check_table(Scheme::Hackage, "hackage-versions.txt");
}

#[test]
fn maven_tables_hold() {
    check_table(Scheme::Maven, "maven-versions.txt");
    // A circle: the second is below 1.0.0, as release candidates are, and the first above, as unknown words are.
    let circle = ["1.0.0-gradle-rework-beta3 < 1.0.0.RC7-3"];
    check_table_but(Scheme::Maven, "maven-versions-generated.txt", &circle);
}

#[test]
fn nuget_table_holds() {
    check_table(Scheme::NuGet, "nuget-versions.txt");
}

#[test]
fn packagist_tables_hold() {
    check_table(Scheme::Packagist, "packagist-versions.txt");
    check_table(Scheme::Packagist, "packagist-versions-generated.txt");
}

#[test]
fn pub_table_holds() {
    check_table(Scheme::Pub, "pub-versions.txt");
}

#[test]
fn rpm_table_holds() {
    check_table(Scheme::Rpm, "redhat-versions.txt");
}

#[test]
fn rubygems_tables_hold() {
    check_table(Scheme::RubyGems, "rubygems-versions.txt");
    check_table(Scheme::RubyGems, "rubygems-versions-generated.txt");
}

#[test]
fn semver_table_holds() {
    check_table(Scheme::Semver, "semver-versions.txt");
}

#[test]
fn python_tables_hold() {
    check_table(Scheme::Pep440, "pypi-versions.txt");
    check_table(Scheme::Pep440, "pypi-versions-generated.txt");
}
