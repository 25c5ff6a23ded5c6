use super::*;

/// Reads `a < b = c < d` and holds every pair of it, in both directions.
fn check_order(scheme: Scheme, chain: &str) {
    let words: Vec<&str> = chain.split_whitespace().collect();
    let mut rank = 0;
    let mut ranked = vec![(0, Version::parse(scheme, words[0]).unwrap())];
    for step in words[1..].chunks_exact(2) {
        rank += usize::from(step[0] == "<");
        ranked.push((rank, Version::parse(scheme, step[1]).unwrap()));
    }
    for (i, a) in &ranked {
        for (j, b) in &ranked {
            assert_eq!(a.cmp(b), i.cmp(j), "{a} and {b} by {scheme}");
        }
    }
}

fn check_refused(scheme: Scheme, text: &str, message: &str) {
    assert_eq!(Version::parse(scheme, text).map_err(|e| e.to_string()), Err(message.to_owned()));
}

#[test]
fn debian_tilde_sorts_before_release_and_epoch_beats_all() {
    check_order(Scheme::Debian, "1.0~~ < 1.0~rc1 < 1.0 < 1.0-1 < 1.0-1+b1 < 1.0+b1 < 1.10 < 1:0.9 < 10:0.1");
}

#[test]
fn debian_letters_sort_before_signs_and_a_missing_number_is_zero() {
    check_order(Scheme::Debian, "1.0a = 1.0a0 < 1.0b < 1.0+ < 1.0.0 < 1.1 = 1.01 = 0:1.1-0 < 1.1-1");
    check_order(Scheme::Debian, "0~ < 0 = 0-0 < 0-1 < 0a < 1");
}

#[test]
fn debian_refuses_what_dpkg_refuses() {
    check_refused(Scheme::Debian, "", r#""" is not a debian version: it is empty"#);
    check_refused(Scheme::Debian, "a:1", r#""a:1" is not a debian version: its epoch is not a number"#);
    check_refused(Scheme::Debian, "1:-1", r#""1:-1" is not a debian version: it has no upstream version"#);
    assert!(Version::parse(Scheme::Debian, "1 2").is_err());
}

#[test]
fn semver_pre_releases_sort_before_the_release_numbers_before_words() {
    check_order(
        Scheme::Semver,
        "1.0.0-1 < 1.0.0-2 < 1.0.0-10 < 1.0.0-alpha < 1.0.0-alpha.1 < 1.0.0-alpha.beta < 1.0.0-beta.2 \
         < 1.0.0-beta.11 < 1.0.0-rc.1 < 1.0.0 = 1.0.0+build = v1.0.0 < 1.0.1-0 < 1.0.1",
    );
}

#[test]
fn semver_reads_what_advisories_write() {
    check_order(
        Scheme::Semver,
        "0 < 1.0.0.beta.3 < 1 = 1.0 = 1.0.0 < 1.6.0 < 1.6.0.2 < 1.9.0b1 = 1.9.0-b1 < 1.9.0",
    );
    check_order(
        Scheme::Semver,
        "3.0.RC3 = 3.0.0-RC3 < 3.0.0 < 18446744073709551616.0.0 < 99999999999999999999999.1.0",
    );
}

#[test]
fn semver_refuses_words_and_empty_parts() {
    check_refused(
        Scheme::Semver,
        "latest",
        r#""latest" is not a semver version: it does not start with a number"#,
    );
    check_refused(
        Scheme::Semver,
        "1.0.0-",
        r#""1.0.0-" is not a semver version: a part of its pre-release is empty"#,
    );
    for bad in ["1.0.0-a..b", "1.0.0-ä", "1.0.*", "^1.0.0", ".1"] {
        assert!(Version::parse(Scheme::Semver, bad).is_err(), "{bad} was taken");
    }
}

#[test]
fn pep440_runs_from_development_to_post_release() {
    check_order(
        Scheme::Pep440,
        "1.0.dev1 < 1.0a1.dev1 < 1.0a1 < 1.0a1.post1.dev1 < 1.0a1.post1 < 1.0b1 < 1.0rc1 = 1.0c1 < 1.0 = 1 = v1.0.0 \
         < 1.0+abc < 1.0+abc.5 < 1.0+5 < 1.0.post1.dev1 < 1.0.post1 = 1.0-1 < 1.0.1 < 1!0.1",
    );
}

#[test]
fn pep440_keeps_the_old_versions_below_all_others() {
    check_order(Scheme::Pep440, "0.3m1 < 0.3m2 < 1.0-bulbasaur < 1.0-charmander < 2004d < 0.dev0 < 0");
    assert!(Version::parse(Scheme::Pep440, "not a version").is_err());
}

#[test]
fn go_modules_and_toolchains_are_semantic_versions() {
    check_order(
        Scheme::Go,
        "v0.0.0-20190101000000-abcdefabcdef < v0.0.0-20210101000000-000000000000 < 0.1.0 \
         < v1.2.3-pre.0.20210101000000-abcdefabcdef < v1.2.3 = 1.2.3 < v1.2.4-0.20210101000000-abcdefabcdef \
         < v1.2.4 < v2.0.0+incompatible = v2.0.0 < v10.0.0",
    );
    check_order(
        Scheme::Go,
        "go1.21.4 = 1.21.4 = go1.21.4-vendor < 1.22.0-0 < go1.22beta1 < 1.22rc1 = 1.22.0-rc.1 < go1.22rc2 \
         < go1.22rc10 < go1.22 = 1.22.0 < go1.22.1",
    );
    assert_eq!(compare(Scheme::Go, "go1.21.4 X:boringcrypto", "1.21.4"), Ok(Ordering::Equal));
    for bad in ["(devel)", "go", "devel +abc", "unknown", "gov", "v1.2.3 x"] {
        assert!(Version::parse(Scheme::Go, bad).is_err(), "{bad} was taken");
    }
}

#[test]
fn rpm_epoch_is_zero_tilde_below_and_caret_above() {
    check_order(
        Scheme::Rpm,
        "1.2.3~rc1-1 < 1.2.3 < 1.2.3-4.el8 < 0:1.2.3-4.el9 = 1.2.3-4.el9 < 1.2.3-10.el9 < 1.2.3^git1-1 < 1.2.3a-1 \
         < 1.2.3.1-1 < 1.2.10-1 < 1:0-1 < 10:0-1",
    );
}

#[test]
fn apk_suffixes_stand_around_the_release_and_revisions_count() {
    check_order(
        Scheme::Apk,
        "1.0_alpha < 1.0_alpha2 < 1.0_beta < 1.0_pre < 1.0_rc1-r5 < 1.0 < 1.0-r0 = 1.0~abc123-r0 < 1.0-r10 \
         < 1.0_git20200101 < 1.0_p1-r0 < 1.0a < 1.0b < 1.0.0 < 1.01 < 1.1",
    );
}

#[test]
fn maven_drops_what_means_nothing_and_knows_its_words() {
    check_order(
        Scheme::Maven,
        "1-alpha-1 = 1.0a1 < 1-beta-2 < 1-m3 < 1-rc-1 = 1.0cr1 < 1-SNAPSHOT < 1 = 1.0.0 = 1.0.Final = 1-ga < 1-sp \
         < 1-jre < 1-1 < 1.0.0.1 < 1.0.1.RC1 < 1.0.1.RELEASE = 1.0.1 < 1.1",
    );
    check_order(Scheme::Maven, "1.0.0.RC7 < 1.0.0 < 1.0.0-patched < 1.0.0-patched-1");
}

#[test]
fn gem_words_are_pre_releases_and_zeros_go_on_for_ever() {
    check_order(
        Scheme::RubyGems,
        "0.9 < 1.0.a.0.b < 1.0.a < 1.0.a.1 < 1.0.b < 1-1 = 1.0.pre.1 < 1.rc1 < 1 = 1.0 = 1.0.0 < 1.0.1 < 1.1.rc < 1.1",
    );
    assert!(Version::parse(Scheme::RubyGems, "a1").is_err());
}

#[test]
fn php_knows_the_words_around_a_release() {
    check_order(
        Scheme::Packagist,
        "dev-main < 1.0-foo < 1.0-dev < 1.0-alpha1 = v1.0a1 < 1.0-beta < 1.0-RC1 = 1.0rc1 < 1.0 < 1.0.0 < 1.0pl1 < 1.1",
    );
}

#[test]
fn numbers_alone_are_lists() {
    check_order(Scheme::Cran, "0.9 < 0.75 < 1.0 < 1.0-0 = 1.0.0 < 1.0-1 < 1.0-10");
    check_order(Scheme::Hackage, "0.9 < 0.10 < 1.0 < 1.0.0 < 1.0.1 < 2");
    check_refused(Scheme::Cran, "1.", r#""1." is not a cran version: a part of it is not a number"#);
    assert!(Version::parse(Scheme::Hackage, "1-2").is_err());
}

#[test]
fn nuget_has_four_numbers_and_pub_orders_builds() {
    check_order(
        Scheme::NuGet,
        "1.0.0-Alpha = 1.0-alpha < 1.0.0-BETA.2 < 1.0.0-beta.10 < 1.0 = 1.0.0.0+x < 1.0.0.1",
    );
    check_order(
        Scheme::Pub,
        "1.0.0-a < 1.0.0-a+1 < 1.0.0 < 1.0.0+1 < 1.0.0+1.1 < 1.0.0+2 < 1.0.0+10 < 1.0.0+a < 1.0.1",
    );
    check_order(Scheme::Hex, "1.0.0-rc.1 < 1.0.0 = 1.0.0+build < 1.0.1");
}

#[test]
fn every_scheme_has_its_word() {
    let words: Vec<_> = Scheme::ALL.map(Scheme::as_str).into();
    assert!(words.is_sorted() && words.windows(2).all(|pair| pair[0] != pair[1]), "{words:?}");
    for scheme in Scheme::ALL {
        assert_eq!(Scheme::from_word(scheme.as_str()), Some(scheme));
    }
    assert_eq!(Scheme::from_word("npm"), None);
}

#[test]
fn too_long_is_refused_and_the_message_stays_short() {
    let longest = "1".repeat(VERSION_BYTES_MAX);
    for scheme in Scheme::ALL {
        assert_eq!(Version::parse(scheme, &longest).unwrap().text(), longest);
        let error = Version::parse(scheme, &format!("{longest}1")).unwrap_err();
        assert_eq!((error.reason, error.text.len()), ("it is longer than 255 bytes", 100));
    }
}

#[test]
fn a_local_build_counts_as_the_version_it_was_built_from() {
    let version = |text| Version::parse(Scheme::Pep440, text).unwrap();
    assert!(version("2.0+cpu").is_meant_by(&version("2.0")));
    assert!(version("2.0.0+cpu").is_meant_by(&version("2.0")));
    assert!(!version("2.0").is_meant_by(&version("2.0+cpu")));
    assert!(!version("2.0+cpu").is_meant_by(&version("2.0+cu118")));
    assert!(!version("2.0+cpu.1").is_meant_by(&version("2.0+cpu")));
    assert!(!version("2.0.post1+cpu").is_meant_by(&version("2.0")));
    assert!(!version("2.0+cpu").is_after(&version("2.0")));
    assert!(version("2.0.post1").is_after(&version("2.0")));
}

#[test]
fn compare_answers_or_says_which_text_is_wrong() {
    assert_eq!(compare(Scheme::Semver, "1.2.3", "1.10.0"), Ok(Ordering::Less));
    assert_eq!(compare(Scheme::Semver, "1.2.3", "x").map_err(|e| e.text), Err("x".to_owned()));
}

mod ranges {
    use super::*;

    /// `i` introduced, `f` fixed, `l` last affected, `m` limit.
    fn events(words: &str) -> Vec<Event> {
        let event = |word: &str| {
            let (kind, version) = word.split_once(':').unwrap();
            let version = version.to_owned();
            match kind {
                "i" => Event::Introduced(version),
                "f" => Event::Fixed(version),
                "l" => Event::LastAffected(version),
                _ => Event::Limit(version),
            }
        };
        words.split_whitespace().map(event).collect()
    }

    fn check_intervals(words: &str, expected: &str) {
        let range = Range::parse(Scheme::Semver, &events(words)).unwrap();
        let shown: Vec<String> = range.intervals().iter().map(ToString::to_string).collect();
        assert_eq!(shown.join(" "), expected, "of {words}");
    }

    #[test]
    fn events_become_intervals_in_any_order() {
        check_intervals("i:0 f:1.2.0", "[0, 1.2.0)");
        check_intervals("f:3.1.0 i:3.0.0 f:1.2.0 i:0", "[0, 1.2.0) [3.0.0, 3.1.0)");
        check_intervals("i:1.0.0 l:1.2.0", "[1.0.0, 1.2.0]");
        check_intervals("i:1.0.0", "[1.0.0, *)");
        check_intervals("i:0 f:1.0.0 i:2.0.0", "[0, 1.0.0) [2.0.0, *)");
        check_intervals("i:0 f:1.0.0 f:2.0.0", "[0, 1.0.0)");
    }

    #[test]
    fn events_at_one_version_take_effect_in_their_order() {
        check_intervals("i:0 f:1.0.0 i:1.0.0 f:2.0.0", "[0, 2.0.0)");
        check_intervals("i:1.0.0 f:1.0.0", "");
        check_intervals("i:1.0.0 l:1.0.0", "[1.0.0, 1.0.0]");
        check_intervals("i:0 l:1.0.0 i:1.0.0 l:2.0.0", "[0, 2.0.0]");
        check_intervals("i:0 l:1.0.0 f:1.0.0", "[0, 1.0.0)");
    }

    #[test]
    fn the_highest_limit_cuts() {
        check_intervals("i:0 m:1.0.0 m:1.5.0", "[0, 1.5.0)");
        check_intervals("i:0 f:1.0.0 i:2.0.0 m:1.5.0", "[0, 1.0.0)");
        check_intervals("i:1.0.0 l:2.0.0 m:2.0.0", "[1.0.0, 2.0.0)");
        check_intervals("i:0 m:1.0.0 m:*", "[0, *)");
    }

    #[test]
    fn a_range_answers_with_the_interval_and_the_fixes_that_are_ahead() {
        let range =
            Range::parse(Scheme::Semver, &events("i:2.0.0 f:2.0.3 i:0 f:1.2.5 i:3.0.0-rc.1")).unwrap();
        let ask = |text| {
            let version = Version::parse(Scheme::Semver, text).unwrap();
            let fixed: Vec<_> = range.fixed_after(&version).map(Version::text).collect();
            (range.contains(&version).map(ToString::to_string), fixed.join(" "))
        };
        assert_eq!(ask("1.2.4"), (Some("[0, 1.2.5)".to_owned()), "1.2.5 2.0.3".to_owned()));
        assert_eq!(ask("1.2.5"), (None, "2.0.3".to_owned()));
        assert_eq!(ask("2.0.0"), (Some("[2.0.0, 2.0.3)".to_owned()), "2.0.3".to_owned()));
        assert_eq!(ask("3.0.0-beta"), (None, String::new()));
        assert_eq!(ask("3.0.0"), (Some("[3.0.0-rc.1, *)".to_owned()), String::new()));
    }

    #[test]
    fn zero_stands_before_every_version() {
        let range = Range::parse(Scheme::Pep440, &events("i:0 f:0.1")).unwrap();
        assert!(range.contains(&Version::parse(Scheme::Pep440, "0.dev0").unwrap()).is_some());
    }

    #[test]
    fn a_last_affected_version_takes_its_local_builds_along_until_an_event_among_them() {
        let affected = |words, version| {
            let range = Range::parse(Scheme::Pep440, &events(words)).unwrap();
            range.contains(&Version::parse(Scheme::Pep440, version).unwrap()).map(ToString::to_string)
        };
        assert_eq!(affected("i:0 l:5", "5+cpu").as_deref(), Some("[0, 5]"));
        assert_eq!(affected("i:0 l:5 f:5+cpu", "5+abc").as_deref(), Some("[0, 5+cpu)"));
        assert_eq!(affected("i:0 l:5 f:5+cpu", "5+cpu"), None);
        assert_eq!(affected("i:0 l:5 i:5+cpu f:6", "5.post1").as_deref(), Some("[0, 6)"));
        assert_eq!(affected("i:0 l:5 m:5+cpu", "5+cpu"), None);
    }

    #[test]
    fn a_range_that_cannot_be_read_says_why() {
        let message = |words| Range::parse(Scheme::Semver, &events(words)).unwrap_err().to_string();
        assert_eq!(message("f:1.0.0"), "the range has no introduced event");
        assert_eq!(
            message("i:0 f:next"),
            r#""next" is not a semver version: it does not start with a number"#
        );
    }
}
