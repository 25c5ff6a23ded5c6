//! What the last release said, to clients and between its nodes, this one still says: nodes of both run side by side
//! while a cluster is upgraded, and clients are older than their servers for long.
//!
//! `proto/released.txt` has the contracts of the last release, one line for each thing. A line that has changed breaks
//! somebody; what is new does not. A field or a value may go if its number and its name are reserved. To be written
//! anew at each release, and at no other time:
//!
//!     STARLING_RELEASE=1 cargo test -p tests --test released

use std::collections::BTreeMap;
use std::path::PathBuf;

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};

/// A contract as lines: what each names, and all that others rely on of it.
type Contract = BTreeMap<String, String>;

/// The contracts of this build.
fn present() -> Contract {
    let mut lines = Contract::new();
    for (origin, bytes) in [("api", proto_api::DESCRIPTORS), ("nodes", proto_cluster::DESCRIPTORS)] {
        let set = FileDescriptorSet::decode(bytes).expect("descriptors");
        for file in set.file.iter().filter(|file| file.package().starts_with("starling.")) {
            let within = format!("{origin} {}", file.package());
            file.message_type.iter().for_each(|message| tell_message(&within, message, &mut lines));
            file.enum_type.iter().for_each(|words| tell_enum(&within, words, &mut lines));
            for service in &file.service {
                for method in &service.method {
                    let stream = |is: bool| if is { "stream " } else { "" };
                    let says = format!(
                        "{}{} returns {}{}",
                        stream(method.client_streaming()),
                        method.input_type(),
                        stream(method.server_streaming()),
                        method.output_type()
                    );
                    lines.insert(format!("{within}.{} method {}", service.name(), method.name()), says);
                }
            }
        }
    }
    lines
}

fn tell_message(within: &str, message: &DescriptorProto, lines: &mut Contract) {
    let name = format!("{within}.{}", message.name());
    lines.insert(format!("{name} message"), String::new());
    for field in &message.field {
        lines.insert(format!("{name} field {}", field.number()), tell_field(message, field));
    }
    for range in &message.reserved_range {
        for number in range.start()..range.end() {
            lines.insert(format!("{name} field {number}"), "reserved".to_owned());
        }
    }
    for reserved in &message.reserved_name {
        lines.insert(format!("{name} reserved {reserved}"), String::new());
    }
    message.nested_type.iter().for_each(|nested| tell_message(&name, nested, lines));
    message.enum_type.iter().for_each(|words| tell_enum(&name, words, lines));
}

/// The name counts: `-o json` shows it.
fn tell_field(message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let label = match field.label() {
        Label::Repeated => "repeated ",
        Label::Optional if field.proto3_optional() => "optional ",
        Label::Optional | Label::Required => "",
    };
    let kind = match field.r#type() {
        Type::Message | Type::Enum | Type::Group => field.type_name().to_owned(),
        scalar => scalar.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
    };
    let choice = field.oneof_index.filter(|_| !field.proto3_optional());
    let choice = choice.and_then(|index| message.oneof_decl.get(usize::try_from(index).ok()?));
    let choice = choice.map(|choice| format!(" of {}", choice.name())).unwrap_or_default();
    format!("{label}{kind} {}{choice}", field.name())
}

fn tell_enum(within: &str, words: &EnumDescriptorProto, lines: &mut Contract) {
    let name = format!("{within}.{}", words.name());
    lines.insert(format!("{name} enum"), String::new());
    for value in &words.value {
        lines.insert(format!("{name} value {}", value.number()), value.name().to_owned());
    }
    for range in &words.reserved_range {
        // Unlike a message's, this range has its end in it.
        for number in range.start()..=range.end() {
            lines.insert(format!("{name} value {number}"), "reserved".to_owned());
        }
    }
    for reserved in &words.reserved_name {
        lines.insert(format!("{name} reserved {reserved}"), String::new());
    }
}

/// What whoever speaks `released` would miss or misunderstand of `present`.
fn breaks(released: &Contract, present: &Contract) -> Vec<String> {
    let broken = |(what, said): (&String, &String)| match present.get(what) {
        Some(says) if says == said => None,
        Some(says) if says == "reserved" && name_is_reserved(what, said, present) => None,
        Some(says) => Some(format!("{what}: was {said:?}, is {says:?}")),
        None => Some(format!("{what}: was {said:?}, is gone and not reserved")),
    };
    released.iter().filter_map(broken).collect()
}

fn name_is_reserved(what: &str, said: &str, present: &Contract) -> bool {
    let owner: Vec<_> = what.split(' ').take(2).collect();
    let name = said.split(" of ").next().and_then(|field| field.rsplit(' ').next()).unwrap_or_default();
    present.contains_key(&format!("{} reserved {name}", owner.join(" ")))
}

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../proto/released.txt")
}

fn write(contract: &Contract) -> String {
    contract.iter().map(|(what, said)| format!("{what} = {said}\n")).collect()
}

fn read(text: &str) -> Contract {
    let line =
        |line: &str| line.split_once(" =").map(|(what, said)| (what.to_owned(), said.trim().to_owned()));
    text.lines().filter_map(line).collect()
}

#[test]
fn nothing_that_the_last_release_relies_on_has_changed() {
    if std::env::var_os("STARLING_RELEASE").is_some() {
        std::fs::write(file(), write(&present())).expect("the file can be written");
    }
    let released = read(&std::fs::read_to_string(file()).expect("the last release's contracts"));
    assert!(released.len() > 500, "{} lines are no contract", released.len());
    let breaks = breaks(&released, &present());
    assert!(breaks.is_empty(), "clients or nodes of the last release break on:\n{}", breaks.join("\n"));
}

#[test]
fn every_kind_of_break_is_seen_and_nothing_else_is() {
    let present = present();
    assert_eq!(read(&write(&present)), present);
    let node = "api starling.cluster.v1.Node";
    let changed = |what: &str, says: Option<&str>| {
        let mut changed = present.clone();
        match says {
            Some(says) => changed.insert(what.to_owned(), says.to_owned()),
            None => changed.remove(what),
        };
        changed
    };
    let check = |what: &str, says: Option<&str>| {
        let breaks = breaks(&present, &changed(what, says));
        assert!(breaks.len() == 1 && breaks[0].starts_with(what), "{what} {says:?}: {breaks:?}");
    };
    check(&format!("{node} field 2"), Some("string title"));
    check(&format!("{node} field 2"), Some("bytes name"));
    check(&format!("{node} field 2"), Some("repeated string name"));
    check(&format!("{node} field 2"), Some("reserved"));
    check(&format!("{node} field 2"), None);
    check(&format!("{node} message"), None);
    check("api starling.cluster.v1.NodeState value 2", Some("NODE_STATE_WELL"));
    check("api starling.cluster.v1.NodeState value 2", None);
    check("api starling.cluster.v1.ClusterService method ListNodes", None);
    let streams =
        ".starling.cluster.v1.ListNodesRequest returns stream .starling.cluster.v1.ListNodesResponse";
    check("api starling.cluster.v1.ClusterService method ListNodes", Some(streams));
    check("nodes starling.cluster.v1.Hello field 5", Some("string wire_max"));

    let mut retired = changed(&format!("{node} field 2"), Some("reserved"));
    retired.insert(format!("{node} reserved name"), String::new());
    assert_eq!(breaks(&present, &retired), Vec::<String>::new(), "number and name are reserved");
    let grown = changed(&format!("{node} field 99"), Some("string motto"));
    assert_eq!(breaks(&present, &grown), Vec::<String>::new(), "what is new breaks nobody");
}
