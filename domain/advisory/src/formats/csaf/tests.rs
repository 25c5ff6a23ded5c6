use super::*;

/// A document of these parts of its tree, and of what it says of one vulnerability.
fn document(branches: &str, relationships: &str, vulnerability: &str) -> String {
    format!(
        r#"{{"document":{{"category":"csaf_vex","csaf_version":"2.0","aggregate_severity":{{"text":"Important"}},
             "tracking":{{"id":"CVE-2024-1","status":"final","initial_release_date":"2024-01-01T00:00:00Z",
                          "current_release_date":"2024-02-01T00:00:00Z"}}}},
            "product_tree":{{"branches":[{{"category":"vendor","name":"Red Hat","branches":[{branches}]}}],
                             "relationships":[{relationships}]}},
            "vulnerabilities":[{{"cve":"CVE-2024-1",{vulnerability}}}]}}"#
    )
}

fn product(id: &str, helper: &str) -> String {
    format!(
        r#"{{"category":"x","name":"{id}","product":{{"name":"{id}","product_id":"{id}","product_identification_helper":{{{helper}}}}}}}"#
    )
}

fn part(part: &str, whole: &str) -> String {
    format!(
        r#"{{"category":"default_component_of","full_product_name":{{"name":"x","product_id":"{whole}:{part}"}},
            "product_reference":"{part}","relates_to_product_reference":"{whole}"}}"#
    )
}

/// A document in which everything of these is part of every platform: `id purl`, `id cpe`.
fn simple(packages: &[(&str, &str)], platforms: &[(&str, &str)], vulnerability: &str) -> String {
    let address = |(id, purl): &(&str, &str)| match *purl {
        "" => product(id, ""),
        purl => product(id, &format!(r#""purl":"{purl}""#)),
    };
    let names = platforms.iter().map(|(id, cpe)| product(id, &format!(r#""cpe":"{cpe}""#)));
    let branches: Vec<_> = packages.iter().map(address).chain(names).collect();
    let parts = platforms.iter().flat_map(|(whole, _)| packages.iter().map(|(id, _)| part(id, whole)));
    document(&branches.join(","), &parts.collect::<Vec<_>>().join(","), vulnerability)
}

fn read(document: &str) -> (Advisory, Vec<String>) {
    let (advisory, problems) = parse(document.as_bytes(), &Limits::default()).unwrap();
    (advisory, problems.into_iter().map(|p| format!("{}: {}", p.place, p.what)).collect())
}

/// `ecosystem package: events, no fix` of each entry.
fn said(advisory: &Advisory) -> Vec<String> {
    let event = |event: &Event| match event {
        Event::Introduced(at) => format!("from {at}"),
        Event::Fixed(at) => format!("before {at}"),
        other => format!("{other:?}"),
    };
    let show = |a: &Affected| {
        let source = if a.is_source { " source" } else { "" };
        let events: Vec<_> = a.ranges.iter().flat_map(|range| &range.events).map(event).collect();
        let no_fix = a.no_fix.map_or(String::new(), |reason| format!(", {}", reason.as_str()));
        format!("{}{source} {}: {}{no_fix}", a.ecosystem, a.package, events.join(" "))
    };
    advisory.affected.iter().map(show).collect()
}

const NINE: (&str, &str) = ("BaseOS-9", "cpe:/o:redhat:enterprise_linux:9::baseos");

#[test]
fn a_document_says_what_is_fixed_and_what_will_not_be() {
    let packages = [
        ("curl-7.x86_64", "pkg:rpm/redhat/curl@7-1.el9?arch=x86_64"),
        ("curl-7.s390x", "pkg:rpm/redhat/curl@7-1.el9?arch=s390x"),
        ("curl-7.src", "pkg:rpm/redhat/curl@7-1.el9?arch=src"),
        ("openssl", "pkg:rpm/redhat/openssl@3-1.el9?arch=x86_64&epoch=1"),
        ("mingw-curl.src", "pkg:rpm/redhat/mingw-curl?arch=src"),
        ("old", ""),
        ("quiet", "pkg:rpm/redhat/quiet"),
    ];
    let platforms =
        [NINE, ("eus", "cpe:/o:redhat:rhel_eus:9.0::baseos"), ("jboss", "cpe:/a:redhat:jboss:1::el9")];
    let vulnerability = r#""scores":[{"cvss_v3":{"vectorString":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:L/I:L/A:N"},"products":[]}],
        "product_status":{"fixed":["BaseOS-9:curl-7.x86_64","BaseOS-9:curl-7.s390x","BaseOS-9:curl-7.src","BaseOS-9:openssl",
                                   "eus:curl-7.x86_64","jboss:openssl","Text-Only"],
                          "known_affected":["BaseOS-9:mingw-curl.src","BaseOS-9:old","BaseOS-9:quiet","eus:old"],
                          "known_not_affected":["jboss:old"]},
        "remediations":[{"category":"no_fix_planned","details":"Out of support scope","product_ids":["BaseOS-9:old"]},
                        {"category":"no_fix_planned","details":"Will not fix","product_ids":["BaseOS-9:mingw-curl.src"]},
                        {"category":"none_available","details":"Affected","product_ids":["BaseOS-9:quiet"]},
                        {"category":"workaround","details":"…"}]"#;
    let (advisory, problems) = read(&simple(&packages, &platforms, vulnerability));
    assert_eq!(problems, [""; 0]);
    assert_eq!(
        said(&advisory),
        [
            "Red Hat:9 curl: from 0 before 7-1.el9",
            "Red Hat:9 source mingw-curl: from 0, will-not-fix",
            "Red Hat:9 source old: from 0, end-of-life",
            "Red Hat:9 openssl: from 0 before 1:3-1.el9",
            "Red Hat:9 quiet: from 0",
        ]
    );
    let Advisory { id, upstream, severity, published, modified, withdrawn, .. } = advisory;
    assert_eq!((&id[..], upstream, severity, withdrawn), ("CVE-2024-1", vec![], Severity::Medium, false));
    assert_eq!(published.as_deref(), Some("2024-01-01T00:00:00Z"));
    assert_eq!(modified.as_deref(), Some("2024-02-01T00:00:00Z"));
}

#[test]
fn minor_releases_have_lines_of_their_own() {
    let check = |fixed: &[&str], expected: &str| {
        let ranges = ranges(&fixed.iter().map(|v| (*v).to_owned()).collect()).unwrap();
        let range = |range: &AffectedRange| match &range.events[..] {
            [Event::Introduced(from), Event::Fixed(to)] => format!("[{from}, {to})"),
            [Event::Introduced(from)] => format!("[{from}, *)"),
            other => format!("{other:?}"),
        };
        assert_eq!(ranges.iter().map(range).collect::<Vec<_>>().join(" "), expected, "{fixed:?}");
    };
    check(&[], "[0, *)");
    check(&["1-26.el9_3.2", "1-23.el9_2.4"], "[0, 1-23.el9_2.4) [1-24, 1-26.el9_3.2)");
    check(&["1:1-284.40.1.el9_2", "1:1-362.8.el9_3"], "[0, 1:1-284.40.1.el9_2) [1:1-285, 1:1-362.8.el9_3)");
    // One line, or none: the later fix counts.
    check(&["1-23.el9_2.4", "1-23.el9_2.9"], "[0, 1-23.el9_2.9)");
    check(&["1-23.el9_2.4", "1-23.el9_3.1"], "[0, 1-23.el9_3.1)");
    check(&["1-5.el9", "1-9.el9"], "[0, 1-9.el9)");
    assert!(ranges(&BTreeSet::from([String::new()])).is_err());
}

#[test]
fn packages_of_modules_are_left_out_and_counted() {
    let branches = [
        product("AppStream-8", r#""cpe":"cpe:/a:redhat:enterprise_linux:8::appstream""#),
        product("nodejs:16", r#""purl":"pkg:rpmmod/redhat/nodejs@16:8060:abc""#),
        product("npm", r#""purl":"pkg:rpm/redhat/npm@8-1?arch=x86_64""#),
        product("go", r#""purl":"pkg:rpm/redhat/go@rhel8?arch=src&rpmmod=go:rhel8""#),
        product("npm-docs", r#""purl":"pkg:rpm/redhat/npm-docs@8-1.module%2Bel8?arch=noarch""#),
        product("bash", r#""purl":"pkg:rpm/redhat/bash?arch=src""#),
    ];
    let parts = [
        part("nodejs:16", "AppStream-8"),
        part("npm", "AppStream-8:nodejs:16"),
        part("go", "AppStream-8"),
        part("npm-docs", "AppStream-8"),
        part("bash", "AppStream-8"),
    ];
    let vulnerability = r#""product_status":{"fixed":["AppStream-8:nodejs:16:npm","AppStream-8:npm-docs"],
                                             "known_affected":["AppStream-8:go","AppStream-8:bash"]}"#;
    let (advisory, problems) = read(&document(&branches.join(","), &parts.join(","), vulnerability));
    assert_eq!(said(&advisory), ["Red Hat:8 source bash: from 0"]);
    assert_eq!(problems, ["CVE-2024-1 product_status: 3 packages of modules are left out"]);
    assert_eq!(advisory.severity, Severity::High, "by the publisher's own word");
}

#[test]
fn releases_are_those_of_the_distribution_itself() {
    for (cpe, release) in [
        ("cpe:/o:redhat:enterprise_linux:9::baseos", Some("9")),
        ("cpe:/a:redhat:enterprise_linux:10.1::crb", Some("10")),
        ("cpe:/o:redhat:enterprise_linux:7", Some("7")),
        ("cpe:2.3:o:redhat:enterprise_linux:8:*:baseos:*:*:*:*:*", Some("8")),
        ("cpe:/o:redhat:rhel_eus:9.0::baseos", None),
        ("cpe:/a:redhat:openshift:4.16::el9", None),
        ("cpe:/o:redhat:enterprise_linux:", None),
        ("cpe:/o:redhat:enterprise_linux:x", None),
        ("", None),
    ] {
        assert_eq!(release_of(cpe).as_deref(), release, "{cpe}");
    }
}

#[test]
fn a_wrong_entry_costs_itself() {
    let packages = [
        ("a", "pkg:rpm/redhat/a@1-1"),
        ("b", "pkg:rpm/redhat/b@?arch=x86_64"),
        ("c", "pkg:rpm/redhat/c@1-2"),
    ];
    let text = simple(&packages, &[NINE], r#""scores":[7,{"cvss_v3":{"vectorString":"CVSS:3.1/AV:N"}}],"remediations":{},
        "product_status":{"fixed":["BaseOS-9:a","BaseOS-9:b",7,"BaseOS-9:nowhere"],"known_affected":["BaseOS-9:c"]}"#)
        .replace(r#""relationships":["#, r#""relationships":[{"full_product_name":7},"#)
        .replace(r#""branches":[{"category":"vendor""#, r#""branches":[7,{"product":[]},{"category":"vendor""#);
    let (advisory, problems) = read(&text);
    assert_eq!(said(&advisory), ["Red Hat:9 a: from 0 before 1-1", "Red Hat:9 c: from 0"]);
    let places: Vec<_> = problems.iter().map(|p| p.split(':').next().unwrap_or_default()).collect();
    assert_eq!(
        places,
        [
            "CVE-2024-1 branches[0]",
            "CVE-2024-1 branches[1]",
            "CVE-2024-1 relationships[0]",
            "CVE-2024-1 scores[0]",
            "CVE-2024-1 remediations",
            "CVE-2024-1 fixed[2]",
            "CVE-2024-1 scores",
        ],
        "{problems:#?}"
    );
}

#[test]
fn what_was_taken_back_and_what_is_no_document() {
    let (advisory, _) = read(r#"{"document":{"tracking":{"id":"CVE-2024-1","status":"deleted"}}}"#);
    assert!(advisory.withdrawn);
    let refused = |text: &str, limits: &Limits| parse(text.as_bytes(), limits).unwrap_err();
    let limits = Limits::default();
    assert_eq!(refused("{}", &limits), Unreadable::NoId);
    assert!(matches!(refused("[]", &limits), Unreadable::NotJson(_)));
    let text =
        simple(&[("a", "pkg:rpm/redhat/a@1-1")], &[NINE], r#""product_status":{"fixed":["BaseOS-9:a"]}"#);
    let small = Limits { affected: 0, ..limits.clone() };
    assert_eq!(refused(&text, &small), Unreadable::TooMuch { what: "affected entries", limit: 0 });
    let small = Limits { record_bytes: 99, ..limits.clone() };
    assert_eq!(refused(&text, &small), Unreadable::TooMuch { what: "bytes", limit: 99 });
    let deep = format!("{}1{}", r#"[{"branches":"#.repeat(200), "}]".repeat(200));
    let text = format!(r#"{{"document":{{"tracking":{{"id":"X"}}}},"product_tree":{{"branches":{deep}}}}}"#);
    let (_, problems) = read(&text);
    assert!(problems[0].ends_with("it is deeper than is read"), "{problems:?}");
    // A product that is part of itself.
    let branches = product("a", r#""purl":"pkg:rpm/redhat/a""#);
    let circle = part("a", "b").replace("b:a", "b");
    let text = document(&branches, &circle, r#""product_status":{"fixed":["b"],"known_affected":["b"]}"#);
    assert_eq!(said(&read(&text).0), [""; 0]);
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_reading_panic(text in r#"\{"document":\{"tracking":\{"id":"X"\}\},"(product_tree|vulnerabilities)":[\[\]{}":,a-z0-9 ]{0,60}\}"#) {
        let _ = parse(text.as_bytes(), &Limits::default());
    }
}
