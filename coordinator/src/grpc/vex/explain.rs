//! What became of each statement about an image: all documents that concern it are heard once more, as of the latest
//! snapshot, against the findings of its last verdict. Later pages are of the same snapshot and verdict.

use actors::vex_hearing::{About, HeardDocument, HearingError, Testimony, names_of};
use model::{Finding, ImageDigest, Sbom, SnapshotId};
use proto_api::common::v1::ErrorReason;
use proto_api::vex::v1 as wire;
use proto_api::vex::v1::source::From;
use proto_api::vex::v1::{ExplainVexRequest, ExplainVexResponse, FeedSource, HeardStatement};
use store::vex::SourceOrigin;
use store::{TenantTx, evaluations, findings, images, observations};
use time::OffsetDateTime;
use vex::{Complaint, Effect, Heard, summary};

use super::super::Door;
use super::super::auth::Caller;
use super::super::convert;
use super::super::errors::{Refusal, refuse};
use super::super::findings::{keeping, verdict_of};
use super::super::images::image_digest;
use super::super::paging::Page;
use super::super::sealed::{BadSeal, Binding};
use super::Vex;
use super::messages::count;

const USUAL_PAGE: u32 = 200;
const PRODUCTS_MAX: usize = 20;
const EFFECTS_MAX: usize = 100;
const COMPLAINTS_MAX: usize = 100;
/// Images whose statements a node explains at once: each takes a thread for a while.
pub(in crate::grpc) const EXPLAINING_MAX: usize = 2;

/// Where a page begins, and what it is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    skip: u32,
    version: i32,
    snapshot: SnapshotId,
}

/// What statements are held against.
struct Case {
    image: ImageDigest,
    place: Place,
    sbom: Vec<u8>,
    findings: Vec<Finding>,
    revision: i64,
}

impl Vex {
    /// Answers what became of each statement.
    pub(super) async fn explain(
        &self,
        caller: &Caller,
        request: &ExplainVexRequest,
    ) -> Result<ExplainVexResponse, Refusal> {
        let mut tx = self.tx(caller).await?;
        let image = image_digest(&mut tx, &request.image).await?;
        let parts: [&[u8]; 2] = [image.as_str().as_bytes(), &[u8::from(request.without_effect)]];
        let binding = Binding::of("ExplainVex", caller.tenant, &parts);
        let seals = &self.0.seals;
        let page = Page::of(seals, binding, request.page_size, &request.page_token, USUAL_PAGE)?;
        let place = match &page.after {
            Some(bytes) => parse_place(bytes)?,
            None => Place { skip: 0, version: 0, snapshot: self.latest().await? },
        };
        // What is gathered is held in memory, and hearing it takes a thread: only so many at once.
        let _turn = self.0.explaining.acquire().await.map_err(|_| refuse(ErrorReason::NodeLeaving))?;
        let case = case(&mut tx, image, place).await?;
        drop(tx);
        let (image, place) = (case.image.clone(), case.place);
        let about = About {
            tenant: caller.tenant,
            image: image.clone(),
            revision: case.revision,
            snapshot: place.snapshot,
        };
        let testimony = self.0.vex.all_about(&about, &names_of(&case.findings)).await.map_err(unheard)?;
        let (without_effect, limit) = (request.without_effect, page.limit());
        let hearing = tokio::task::spawn_blocking(move || heard(&case, &testimony, without_effect, limit));
        let mut answer = hearing.await.map_err(|_| refuse(ErrorReason::Internal))??;
        let numbered = (place.skip + 1..).zip(std::mem::take(&mut answer.statements)).collect();
        let next = |(skip, _): &(u32, HeardStatement)| place_bytes(Place { skip: *skip, ..place });
        let (numbered, next_page_token) = page.cut(seals, binding, numbered, next);
        Ok(ExplainVexResponse {
            image_digest: image.to_string(),
            verdict_version: place.version,
            snapshot: place.snapshot.0,
            statements: numbered.into_iter().map(|(_, statement)| statement).collect(),
            next_page_token,
            ..answer
        })
    }

    async fn latest(&self) -> Result<SnapshotId, Refusal> {
        Ok(observations::latest_snapshot(&mut self.0.store.fleet().await?).await?)
    }
}

async fn case(tx: &mut TenantTx, image: ImageDigest, place: Place) -> Result<Case, Refusal> {
    let verdict = verdict_of(tx, &image, place.version, "page_token").await?;
    keeping(&image, &verdict)?;
    let version = i32::try_from(verdict.version).unwrap_or(i32::MAX);
    Ok(Case {
        findings: findings::all(tx, &image, verdict.version).await?,
        sbom: evaluations::sbom(tx, &verdict.sbom_digest).await?,
        revision: images::get(tx, &image).await?.summary.revision,
        place: Place { version, ..place },
        image,
    })
}

/// What is said of one vulnerability, by whatever names, and what becomes of it where these are the image's findings.
pub(in crate::grpc) async fn said_of(
    door: &Door,
    about: &About,
    vulnerability: &str,
    sbom: Sbom,
    mut findings: Vec<Finding>,
) -> Result<Vec<HeardStatement>, Refusal> {
    let name = summary::vulnerability(vulnerability);
    findings.retain(|finding| names_of([finding]).contains(&name));
    let names: Vec<String> = names_of(&findings).into_iter().chain([name]).collect();
    let _turn = door.explaining.acquire().await.map_err(|_| refuse(ErrorReason::NodeLeaving))?;
    let testimony = door.vex.about(about, &names).await.map_err(unheard)?;
    let hearing = tokio::task::spawn_blocking(move || {
        let hearing = testimony.hear(&sbom, &findings, OffsetDateTime::now_utc());
        let documents: Vec<HeardDocument<'_>> = testimony.documents().collect();
        let speaks = |one: &&Heard| {
            let said = &documents[one.document].document.statements[one.statement];
            said.vulnerability.iter().any(|called| names.contains(&summary::vulnerability(called)))
        };
        let spoken = hearing.heard.iter().filter(speaks);
        spoken.map(|one| statement(one, &documents, &findings)).collect()
    });
    hearing.await.map_err(|_| refuse(ErrorReason::Internal))
}

fn unheard(error: HearingError) -> Refusal {
    match error {
        HearingError::Store(error) => error.into(),
        error @ HearingError::Reading(_) => {
            tracing::error!(error = &error as &dyn std::error::Error, "VEX cannot be read");
            refuse(ErrorReason::Internal)
        }
    }
}

/// Hears all of it, and answers the statements of a page with the counts of all. Takes a while.
fn heard(
    case: &Case,
    testimony: &Testimony,
    without_effect: bool,
    limit: u32,
) -> Result<ExplainVexResponse, Refusal> {
    let sbom = inventory::sbom::parse(&case.sbom).map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "stored SBOM is refused");
        refuse(ErrorReason::DataCorrupt)
    })?;
    let hearing = testimony.hear(&sbom, &case.findings, OffsetDateTime::now_utc());
    let documents: Vec<HeardDocument<'_>> = testimony.documents().collect();
    let wanted = hearing.heard.iter().filter(|one| !without_effect || one.effects.is_empty());
    let wanted = wanted.skip(case.place.skip as usize).take(limit as usize);
    let words = || hearing.words.iter().flatten();
    let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    Ok(ExplainVexResponse {
        statements: wanted.map(|one| statement(one, &documents, &case.findings)).collect(),
        heard: number(hearing.heard.len()),
        effective: number(hearing.heard.iter().filter(|one| !one.effects.is_empty()).count()),
        findings: number(case.findings.len()),
        suppressed: number(words().filter(|word| word.suppresses()).count()),
        held: number(words().filter(|word| word.held).count()),
        ..ExplainVexResponse::default()
    })
}

fn statement(one: &Heard, documents: &[HeardDocument<'_>], findings: &[Finding]) -> HeardStatement {
    let from = &documents[one.document];
    let document = from.document;
    let said = &document.statements[one.statement];
    let effect = |effect: &Effect| wire::Effect {
        vulnerability: findings[effect.finding].vulnerability.clone(),
        purl: findings[effect.finding].purl.to_string(),
        part: effect.part.as_str().to_owned(),
        score: i32::try_from(effect.score).unwrap_or(i32::MAX),
    };
    let complaint = |complaint: &Complaint| wire::Complaint {
        kind: complaint.as_str().to_owned(),
        text: complaint.to_string(),
    };
    HeardStatement {
        source: Some(source(from)),
        format: document.format.to_string(),
        document: document.id.clone(),
        version: document.version.clone(),
        author: document.author.clone(),
        statement: said.id.clone(),
        vulnerability: said.vulnerability.clone(),
        status: said.status.as_str().to_owned(),
        products: said.products.iter().take(PRODUCTS_MAX).map(ToString::to_string).collect(),
        more_products: count(said.products.len().saturating_sub(PRODUCTS_MAX)),
        effects: one.effects.iter().take(EFFECTS_MAX).map(effect).collect(),
        more_effects: count(one.effects.len().saturating_sub(EFFECTS_MAX)),
        complaints: one.complaints.iter().take(COMPLAINTS_MAX).map(complaint).collect(),
    }
}

fn source(from: &HeardDocument<'_>) -> wire::Source {
    let place = match from.source {
        SourceOrigin::Attached { id, .. } => From::DocumentId(id.to_string()),
        SourceOrigin::Feed { feed, advisory_id, revision } => From::Feed(FeedSource {
            feed_id: feed.to_string(),
            advisory: advisory_id.clone(),
            revision: count(*revision as usize),
        }),
    };
    wire::Source { from: Some(place), take_time: Some(convert::timestamp(from.taken_in)) }
}

fn place_bytes(Place { skip, version, snapshot }: Place) -> Vec<u8> {
    [&skip.to_be_bytes()[..], &version.to_be_bytes(), &snapshot.0.to_be_bytes()].concat()
}

fn parse_place(bytes: &[u8]) -> Result<Place, Refusal> {
    let broken = || BadSeal::Broken.of_page();
    let (skip, rest) = bytes.split_first_chunk::<4>().ok_or_else(broken)?;
    let (version, rest) = rest.split_first_chunk::<4>().ok_or_else(broken)?;
    let snapshot: [u8; 8] = rest.try_into().map_err(|_| broken())?;
    Ok(Place {
        skip: u32::from_be_bytes(*skip),
        version: i32::from_be_bytes(*version),
        snapshot: SnapshotId(i64::from_be_bytes(snapshot)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_among_statements_survives_its_token() {
        let place = Place { skip: 200, version: 3, snapshot: SnapshotId(77) };
        assert_eq!(parse_place(&place_bytes(place)).unwrap(), place);
        assert!(parse_place(b"short").is_err());
    }
}
