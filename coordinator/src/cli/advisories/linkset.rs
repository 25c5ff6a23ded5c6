//! A linkset for people: who belongs to it, then what is disputed.

use proto_api::advisory::v1::{Linkset, LinksetConflict, LinksetSource};

use super::super::failure::Failure;
use super::super::list::show_pairs;
use super::super::screen::Screen;
use super::super::table::Rows;
use super::super::words;

pub(super) fn show(screen: &mut Screen, linkset: &Linkset) -> Result<(), Failure> {
    let pairs =
        [("linkset", words::short(&linkset.linkset_id).to_owned()), ("names", linkset.names.join(", "))];
    show_pairs(screen, &pairs)?;
    screen.data("")?;
    let mut rows = Rows::new(screen, &["FEED", "ADVISORY", "REVISION", "SEVERITY", "SAYS"]);
    for member in &linkset.members {
        let source = member.source.clone().unwrap_or_default();
        rows.row([
            source.feed_id,
            source.advisory_id,
            member.revision.to_string(),
            words::severity(member.severity()).to_string(),
            if member.withdrawn { "withdrawn" } else { "" }.to_owned(),
        ]);
    }
    rows.right(&[2]).show(screen)?;
    conflicts(screen, &linkset.conflicts)?;
    if linkset.cut {
        screen.say("there are more names or advisories than are followed");
    }
    Ok(())
}

fn conflicts(screen: &mut Screen, conflicts: &[LinksetConflict]) -> Result<(), Failure> {
    if conflicts.is_empty() {
        return screen.data("\nnobody disagrees");
    }
    screen.data("")?;
    let mut rows = Rows::new(screen, &["DISPUTED", "PACKAGE", "SAID", "BY"]);
    for conflict in conflicts {
        let package = match conflict.package.as_str() {
            "" => words::NOTHING.to_owned(),
            name => format!("{name} ({})", conflict.ecosystem),
        };
        for side in &conflict.sides {
            rows.row([conflict.field.clone(), package.clone(), side.says.clone(), sources(&side.sources)]);
        }
    }
    rows.show(screen)
}

fn sources(sources: &[LinksetSource]) -> String {
    let named = sources.iter().map(|source| format!("{} {}", source.feed_id, source.advisory_id));
    named.collect::<Vec<_>>().join(", ")
}
