use time::Duration;

use super::*;
use crate::signature::tests::ed25519;

const T0: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

fn at(minutes: i64) -> OffsetDateTime {
    T0 + Duration::minutes(minutes)
}

fn key() -> Key {
    Key::parse(&ed25519().1).expect("a key")
}

fn change(issuer: &str, kind: IssuerChangeKind, minute: i64) -> IssuerChange {
    IssuerChange { issuer: issuer.to_owned(), kind, at: at(minute) }
}

fn created(issuer: &str, authors: &[&str], tier: Tier) -> IssuerChange {
    let authors = authors.iter().map(|author| (*author).to_owned()).collect();
    change(issuer, IssuerChangeKind::Created { name: issuer.to_uppercase(), authors, tier }, 0)
}

fn added(issuer: &str, key: &Key, replaces: Option<&Key>, minute: i64) -> IssuerChange {
    let replaces = replaces.map(|key| key.id().to_owned());
    change(issuer, IssuerChangeKind::KeyAdded { key: key.clone(), replaces }, minute)
}

fn revoked(issuer: &str, key: &Key, since: i64, minute: i64) -> IssuerChange {
    change(issuer, IssuerChangeKind::KeyRevoked { key: key.id().to_owned(), since: at(since) }, minute)
}

fn trusted(issuer: &str, tier: Option<Tier>) -> IssuerChange {
    change(issuer, IssuerChangeKind::Trusted { tier }, 5)
}

fn retired(issuer: &str) -> IssuerChange {
    change(issuer, IssuerChangeKind::Retired, 6)
}

fn policy(accepts_unknown: bool, accepts_unsigned: bool) -> IssuerChange {
    change("", IssuerChangeKind::Policy { accepts_unknown, accepts_unsigned }, 7)
}

fn renamed(issuer: &str, name: &str) -> IssuerChange {
    let kind = IssuerChangeKind::Changed { name: Some(name.to_owned()), authors: None, tier: None };
    change(issuer, kind, 3)
}

/// Each issuer of the directory with its tier.
fn tiers(directory: &Directory) -> Vec<(&str, Tier)> {
    directory.issuers.iter().map(|issuer| (issuer.id.as_str(), issuer.tier)).collect()
}

#[track_caller]
fn refused(register: &Register, scope: Scope, change: &IssuerChange, why: &str) {
    let error = register.may(scope, change).expect_err(why);
    assert!(error.to_string().contains(why), "{error}");
}

#[test]
fn without_a_change_nobody_is_known_and_everybody_counts() {
    assert_eq!(fold(&[], &[]), Directory::default());
}

#[test]
fn a_tenant_has_everybodys_issuers_and_its_own() {
    let global = [created("vendor", &["Vendor Inc."], Tier::Second)];
    let own = [created("us", &["Us"], Tier::First)];
    assert_eq!(tiers(&fold(&global, &own)), [("us", Tier::First), ("vendor", Tier::Second)]);
    assert_eq!(tiers(&fold(&global, &[])), [("vendor", Tier::Second)]);
}

#[test]
fn a_tenants_trust_is_its_own_and_can_be_taken_back() {
    let global = [created("vendor", &[], Tier::Second)];
    let distrusts = trusted("vendor", Some(Tier::Untrusted));
    assert_eq!(tiers(&fold(&global, std::slice::from_ref(&distrusts))), [("vendor", Tier::Untrusted)]);
    assert_eq!(tiers(&fold(&global, &[distrusts, trusted("vendor", None)])), [("vendor", Tier::Second)]);
    assert_eq!(tiers(&fold(&[], &[trusted("vendor", Some(Tier::First))])), [], "there is none to trust");
}

#[test]
fn everybodys_tier_may_change_under_a_tenants_trust() {
    let lower = IssuerChangeKind::Changed { name: None, authors: None, tier: Some(Tier::Third) };
    let global = [created("vendor", &[], Tier::Second), change("vendor", lower, 1)];
    let own = [trusted("vendor", Some(Tier::First))];
    assert_eq!(tiers(&fold(&global, &own)), [("vendor", Tier::First)]);
    assert_eq!(tiers(&fold(&global, &[])), [("vendor", Tier::Third)]);
}

#[test]
fn an_own_issuer_stands_before_everybodys_of_the_same_id() {
    let global = [created("vendor", &["Vendor"], Tier::Second)];
    let own = [created("vendor", &["Our vendor"], Tier::First)];
    let directory = fold(&global, &own);
    assert_eq!(tiers(&directory), [("vendor", Tier::First)]);
    assert_eq!(directory.issuers[0].authors, ["Our vendor"]);
    let gone = [own[0].clone(), retired("vendor")];
    assert_eq!(tiers(&fold(&global, &gone)), [("vendor", Tier::Second)], "everybody's is there again");
}

#[test]
fn who_is_retired_is_not_known_and_stays_in_the_register() {
    let global = [created("vendor", &["Vendor"], Tier::Second), retired("vendor")];
    assert_eq!(fold(&global, &[]), Directory::default());
    let register = Register::of(&global, &[]);
    assert_eq!(register.get("vendor").and_then(|entry| entry.retired_at), Some(at(6)));
}

#[test]
fn a_replaced_key_is_over_from_then_on_and_the_new_one_is_good() {
    let (old, new) = (key(), key());
    let own =
        [created("us", &[], Tier::First), added("us", &old, None, 1), added("us", &new, Some(&old), 10)];
    let directory = fold(&[], &own);
    let good = |minute| {
        let keys = directory.keys_at(at(minute)).map(|(_, key)| key.id());
        keys.collect::<Vec<_>>()
    };
    assert_eq!(good(9), [old.id(), new.id()], "what the old one signed before stays good");
    assert_eq!(good(11), [new.id()]);
}

#[test]
fn a_revoked_key_is_bad_since_the_earliest_moment_that_was_said() {
    let key = key();
    let history = [
        created("us", &[], Tier::First),
        added("us", &key, None, 1),
        revoked("us", &key, 20, 20),
        revoked("us", &key, 10, 30),
    ];
    let since = |changes: &[IssuerChange]| fold(&[], changes).issuers[0].keys[0].revoked_at;
    assert_eq!(since(&history[..2]), None);
    assert_eq!(since(&history[..3]), Some(at(20)));
    assert_eq!(since(&history), Some(at(10)));
}

#[test]
fn the_policy_is_the_last_one_and_a_tenants_before_everybodys() {
    let told = |global: &[IssuerChange], own: &[IssuerChange]| {
        let directory = fold(global, own);
        (directory.accepts_unknown, directory.accepts_unsigned)
    };
    assert_eq!(told(&[policy(false, false)], &[]), (false, false));
    assert_eq!(told(&[policy(false, false), policy(false, true)], &[]), (false, true));
    assert_eq!(told(&[policy(false, false)], &[policy(true, false)]), (true, false));
}

#[test]
fn changes_of_what_is_not_there_do_nothing() {
    let key = key();
    let changes = [renamed("x", "X"), added("x", &key, None, 1), revoked("x", &key, 1, 1), retired("x")];
    assert_eq!(fold(&changes, &changes), Directory::default());
}

#[test]
fn an_id_is_given_once_and_is_a_plain_word() {
    let register = Register::of(&[created("vendor", &[], Tier::First), retired("vendor")], &[]);
    refused(&register, Scope::Own, &created("vendor", &[], Tier::First), "given already");
    for id in ["", "-a", "A", "a b", &"a".repeat(65)] {
        refused(&register, Scope::Own, &created(id, &[], Tier::First), "an issuer's id is");
    }
    assert_eq!(register.may(Scope::Own, &created("a.b-9", &["x"], Tier::First)), Ok(()));
}

#[test]
fn two_that_are_known_are_not_called_alike() {
    let register = Register::of(&[created("vendor", &["Vendor"], Tier::First)], &[]);
    refused(&register, Scope::Own, &created("us", &["Vendor"], Tier::First), "is vendor's");
    refused(&register, Scope::Own, &created("us", &["a", "a"], Tier::First), "twice");
    refused(&register, Scope::Own, &created("us", &[""], Tier::First), "an author is");
    let keeps = IssuerChangeKind::Changed {
        name: None,
        authors: Some(vec!["Vendor".to_owned(), "Vendor Inc.".to_owned()]),
        tier: None,
    };
    assert_eq!(register.may(Scope::Global, &change("vendor", keeps, 1)), Ok(()), "its own name is its own");
}

#[test]
fn a_tenant_changes_its_own_issuers_only_and_trusts_others() {
    let key = key();
    let register = Register::of(&[created("vendor", &[], Tier::Second)], &[created("us", &[], Tier::First)]);
    for change in [renamed("vendor", "X"), added("vendor", &key, None, 1), retired("vendor")] {
        refused(&register, Scope::Own, &change, "no issuer vendor");
    }
    refused(&register, Scope::Own, &trusted("us", Some(Tier::Third)), "no issuer us");
    refused(&register, Scope::Global, &trusted("vendor", Some(Tier::Third)), "is its tier");
    assert_eq!(register.may(Scope::Own, &trusted("vendor", Some(Tier::Third))), Ok(()));
    refused(&register, Scope::Own, &trusted("vendor", None), "so already");
    assert_eq!(register.may(Scope::Own, &renamed("us", "X")), Ok(()));
    refused(&register, Scope::Own, &renamed("us", "US"), "so already");
    refused(&register, Scope::Own, &renamed("us", " "), "a name is");
}

#[test]
fn a_key_is_one_issuers_and_one_that_was_revoked_is_nobodys_again() {
    let (first, second) = (key(), key());
    let global = [created("vendor", &[], Tier::Second), added("vendor", &first, None, 1)];
    let own = [created("us", &[], Tier::First), added("us", &second, None, 1)];
    let register = Register::of(&global, &own);
    refused(&register, Scope::Own, &added("us", &first, None, 2), "is or was vendor's");
    refused(&register, Scope::Own, &added("us", &second, None, 2), "is or was us's");
    let left =
        |more: &[IssuerChange]| Register::of(&[&global[..], more, &[retired("vendor")]].concat(), &own);
    assert_eq!(left(&[]).may(Scope::Own, &added("us", &first, None, 9)), Ok(()));
    let revoked = left(&[revoked("vendor", &first, 2, 2)]);
    refused(&revoked, Scope::Own, &added("us", &first, None, 9), "is or was vendor's");
}

#[test]
fn a_key_that_is_over_is_not_added_nor_replaced() {
    let (old, mut over) = (key(), key());
    over.valid_until = Some(at(1));
    let changes = [created("us", &[], Tier::First), added("us", &old, None, 1), revoked("us", &old, 2, 2)];
    let register = Register::of(&[], &changes);
    refused(&register, Scope::Own, &added("us", &over, None, 2), "over already");
    refused(&register, Scope::Own, &added("us", &key(), Some(&old), 3), "to be replaced is over");
    refused(&register, Scope::Own, &added("us", &key(), Some(&over), 3), "has no key");
    assert_eq!(register.may(Scope::Own, &added("us", &over, None, 1)), Ok(()), "it was good until then");
}

#[test]
fn a_revocation_reaches_back_and_never_forward() {
    let key = key();
    let changes = [created("us", &[], Tier::First), added("us", &key, None, 1), revoked("us", &key, 5, 5)];
    let register = Register::of(&[], &changes);
    refused(&register, Scope::Own, &revoked("us", &key, 7, 6), "since now or earlier");
    refused(&register, Scope::Own, &revoked("us", &key, 5, 6), "revoked already");
    assert_eq!(register.may(Scope::Own, &revoked("us", &key, 3, 6)), Ok(()));
}

#[test]
fn a_policy_is_of_nobody_and_changes_something() {
    let register = Register::default();
    refused(&register, Scope::Own, &policy(true, true), "so already");
    assert_eq!(register.may(Scope::Own, &policy(true, false)), Ok(()));
    let of_one = IssuerChange { issuer: "us".to_owned(), ..policy(true, false) };
    refused(&register, Scope::Own, &of_one, "of no issuer");
}

#[test]
fn each_kind_has_its_word() {
    let key = key();
    let all = [
        created("a", &[], Tier::First),
        renamed("a", "b"),
        added("a", &key, None, 1),
        revoked("a", &key, 1, 1),
        trusted("a", None),
        retired("a"),
        policy(true, true),
    ];
    assert_eq!(all.map(|change| change.kind.as_str()), IssuerChangeKind::WORDS);
}
