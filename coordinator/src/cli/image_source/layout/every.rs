//! All images of a layout under one name, whatever they run on.

use std::collections::HashSet;

use inventory::{Document, DocumentError, ImageIndex, IndexEntry};
use model::Digest;

use super::super::platforms::Taken;
use super::{
    Candidate, DEPTH_MAX, Found, Members, SourceError, blob_document, names_of, saved_names, too_deep,
};

/// Told of a layout when there is too much of it.
const OF: &str = "the layout";

/// An image, and the entries of index.json that lead to it.
struct Led {
    candidate: Candidate<Found>,
    from: HashSet<usize>,
    /// The index or manifest that those entries name.
    heads: HashSet<Digest>,
}

/// The walk down from one entry of index.json.
struct Walk<'m> {
    members: &'m Members,
    saved: Vec<(String, String)>,
    taken: Taken,
    found: Vec<Led>,
    /// Why something that is there was not taken.
    passed_over: Option<SourceError>,
}

/// The images that are called so, or all where no name is wanted. Two for one platform under different names are as
/// ambiguous as they are for whoever asks for that platform.
pub(super) fn candidates(
    members: &Members,
    index: &ImageIndex,
    wanted: Option<&str>,
) -> Result<Vec<Candidate<Found>>, SourceError> {
    let (saved, taken) = (saved_names(members)?, Taken::default());
    let mut walk = Walk { members, saved, taken, found: Vec::new(), passed_over: None };
    for entry in index.images() {
        let group = group_of(index, entry);
        walk.down(entry, entry.ref_name.as_ref(), (group, &entry.descriptor.digest), DEPTH_MAX)?;
    }
    let Walk { mut found, passed_over, .. } = walk;
    found.iter_mut().for_each(|led| led.candidate.tidy());
    if found.is_empty() {
        let nothing = || SourceError::NoSuchImage { wanted: "all".to_owned(), offered: Vec::new() };
        return Err(passed_over.unwrap_or_else(nothing));
    }
    let chosen = chosen(found, wanted)?;
    Ok(chosen.into_iter().map(|led| led.candidate).collect())
}

/// What stands for one image in index.json: one that names platforms itself has an entry for each of them.
fn group_of(index: &ImageIndex, entry: &IndexEntry) -> usize {
    let same = |other: &IndexEntry| match (&entry.platform, &other.platform) {
        (Some(_), Some(_)) => other.ref_name == entry.ref_name,
        _ => other == entry,
    };
    index.entries.iter().position(same).unwrap_or_default()
}

fn chosen(found: Vec<Led>, wanted: Option<&str>) -> Result<Vec<Led>, SourceError> {
    let offered = |found: &[Led]| found.iter().map(|led| led.candidate.title()).collect();
    let Some(wanted) = wanted else {
        let is_other = |one: &Led, other: &Led| {
            one.candidate.content.platform == other.candidate.content.platform
                && one.from.is_disjoint(&other.from)
        };
        let twice = found.iter().enumerate().any(|(at, one)| found[..at].iter().any(|o| is_other(one, o)));
        return if twice { Err(SourceError::Ambiguous(offered(&found))) } else { Ok(found) };
    };
    let all = offered(&found);
    let is_head = |led: &Led| led.heads.iter().any(|digest| digest.as_str() == wanted);
    let called: Vec<Led> =
        found.into_iter().filter(|led| led.candidate.is_called(wanted) || is_head(led)).collect();
    if called.is_empty() {
        return Err(SourceError::NoSuchImage { wanted: wanted.to_owned(), offered: all });
    }
    Ok(called)
}

impl Walk<'_> {
    fn down(
        &mut self,
        entry: &IndexEntry,
        ref_name: Option<&String>,
        (group, head): (usize, &Digest),
        depth: usize,
    ) -> Result<(), SourceError> {
        let digest = &entry.descriptor.digest;
        self.taken.one_more(OF)?;
        let bytes = blob_document(self.members, digest)?;
        match Document::parse(&bytes) {
            Ok(Document::Manifest(manifest)) => {
                let names = names_of(&manifest, ref_name, &self.saved);
                self.taken.document(&bytes, OF)?;
                let content = Found { bytes, manifest, platform: entry.platform.clone() };
                self.add(Candidate { names, digest: Some(digest.clone()), content }, group, head);
            }
            Ok(Document::Index(_)) if depth == 0 => return Err(too_deep().into()),
            Ok(Document::Index(index)) => {
                for entry in index.images() {
                    self.down(entry, ref_name, (group, head), depth - 1)?;
                }
            }
            Err(error @ DocumentError::Artifact { .. }) => self.passed_over = Some(error.into()),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn add(&mut self, candidate: Candidate<Found>, group: usize, head: &Digest) {
        let same = self.found.iter_mut().find(|led| led.candidate.digest == candidate.digest);
        let led = match same {
            Some(led) => {
                led.candidate.names.extend(candidate.names);
                let platform = &mut led.candidate.content.platform;
                *platform = platform.take().or(candidate.content.platform);
                led
            }
            None => {
                self.found.push(Led { candidate, from: HashSet::new(), heads: HashSet::new() });
                self.found.last_mut().expect("it was just put there")
            }
        };
        led.from.insert(group);
        led.heads.insert(head.clone());
    }
}
