//! AdvisoryService: what the feeds said, when, and what of it changed.

mod messages;
mod verify;

use std::sync::Arc;

use model::{FeedId, SnapshotId};
use proto_api::advisory::v1::advisory_service_server::AdvisoryService;
use proto_api::advisory::v1::{
    DiffSnapshotsRequest, DiffSnapshotsResponse, GetAdvisoryRequest, GetAdvisoryResponse, GetLinksetRequest,
    GetLinksetResponse, ListQuarantineRequest, ListQuarantineResponse, ListSnapshotsRequest,
    ListSnapshotsResponse, RetryQuarantineRequest, RetryQuarantineResponse, VerifyObservationsRequest,
};
use proto_api::common::v1::ErrorReason;
use store::deltas::{self, Stretch};
use store::{FleetTx, feeds, linksets, observations, quarantine};
use tonic::{Request, Response, Status};

use super::Door;
use super::auth::{Caller, caller_of};
use super::errors::{Refusal, invalid, named, not_found};
use super::idempotent::{Asked, once};
use super::paging::Page;
use super::sealed::{BadSeal, Binding};

/// The service.
pub(super) struct Advisories(pub(super) Arc<Door>);

const USUAL_SNAPSHOTS: u32 = 50;
const USUAL_DELTAS: u32 = 200;
const USUAL_RECORDS: u32 = 50;
/// Revisions of one feed's advisory.
const REVISIONS_MAX: u32 = 100;
/// Documents of one answer.
const DOCUMENTS_BYTES: usize = 32 << 20;
/// The longest name that is looked for.
const NAME_BYTES: usize = 512;

#[tonic::async_trait]
impl AdvisoryService for Advisories {
    type VerifyObservationsStream = verify::Stream;

    async fn list_snapshots(
        &self,
        request: Request<ListSnapshotsRequest>,
    ) -> Result<Response<ListSnapshotsResponse>, Status> {
        let caller = caller_of(&request)?;
        Ok(Response::new(self.snapshots(&caller, request.get_ref()).await?))
    }

    async fn diff_snapshots(
        &self,
        request: Request<DiffSnapshotsRequest>,
    ) -> Result<Response<DiffSnapshotsResponse>, Status> {
        let caller = caller_of(&request)?;
        Ok(Response::new(self.diff(&caller, request.get_ref()).await?))
    }

    async fn get_advisory(
        &self,
        request: Request<GetAdvisoryRequest>,
    ) -> Result<Response<GetAdvisoryResponse>, Status> {
        Ok(Response::new(self.advisory(request.get_ref()).await?))
    }

    async fn get_linkset(
        &self,
        request: Request<GetLinksetRequest>,
    ) -> Result<Response<GetLinksetResponse>, Status> {
        Ok(Response::new(self.linkset(request.get_ref()).await?))
    }

    async fn list_quarantine(
        &self,
        request: Request<ListQuarantineRequest>,
    ) -> Result<Response<ListQuarantineResponse>, Status> {
        let caller = caller_of(&request)?;
        Ok(Response::new(self.quarantined(&caller, request.get_ref()).await?))
    }

    async fn retry_quarantine(
        &self,
        request: Request<RetryQuarantineRequest>,
    ) -> Result<Response<RetryQuarantineResponse>, Status> {
        let caller = caller_of(&request)?;
        let request = request.get_ref();
        let asked = Asked { tenant: caller.tenant, method: "RetryQuarantine", id: &request.request_id };
        let answer = once(&self.0.store, asked, request, async || self.retry(&request.feed_id).await);
        Ok(Response::new(answer.await?))
    }

    async fn verify_observations(
        &self,
        request: Request<VerifyObservationsRequest>,
    ) -> Result<Response<verify::Stream>, Status> {
        Ok(Response::new(verify::begin(&self.0, request.get_ref()).await?))
    }
}

impl Advisories {
    async fn tx(&self) -> Result<FleetTx, Refusal> {
        Ok(self.0.store.fleet().await?)
    }

    async fn snapshots(
        &self,
        caller: &Caller,
        request: &ListSnapshotsRequest,
    ) -> Result<ListSnapshotsResponse, Refusal> {
        let feed = optional_feed(&request.feed_id)?;
        let binding = Binding::of("ListSnapshots", caller.tenant, &[request.feed_id.as_bytes()]);
        let seals = &self.0.seals;
        let page = Page::of(seals, binding, request.page_size, &request.page_token, USUAL_SNAPSHOTS)?;
        let before = page.after.as_deref().map(number_of).transpose()?.map(SnapshotId);
        let mut tx = self.tx().await?;
        let found = deltas::snapshots(&mut tx, feed.as_ref(), before, page.limit()).await?;
        let (found, next_page_token) =
            page.cut(seals, binding, found, |last| last.id.0.to_be_bytes().to_vec());
        Ok(ListSnapshotsResponse {
            snapshots: found.iter().map(messages::snapshot).collect(),
            next_page_token,
        })
    }

    async fn diff(
        &self,
        caller: &Caller,
        request: &DiffSnapshotsRequest,
    ) -> Result<DiffSnapshotsResponse, Refusal> {
        let feed = optional_feed(&request.feed_id)?;
        let mut tx = self.tx().await?;
        let latest = observations::latest_snapshot(&mut tx).await?;
        let (after, until) = (request.after, request.until);
        if after < 0 || until < after || until > latest.0 {
            return Err(invalid("until", format!("must be between after and the latest, {}", latest.0)));
        }
        let parts = [&after.to_be_bytes()[..], &until.to_be_bytes()[..], request.feed_id.as_bytes()];
        let binding = Binding::of("DiffSnapshots", caller.tenant, &parts);
        let seals = &self.0.seals;
        let page = Page::of(seals, binding, request.page_size, &request.page_token, USUAL_DELTAS)?;
        let place = page.after.as_deref().map(pair_of).transpose()?;
        let place = place.map(|(feed, id)| parse_feed(&feed).map(|feed| (feed, id))).transpose()?;
        let from = place.as_ref().map(|(feed, id)| (feed, id.as_str()));
        let stretch = Stretch { after: SnapshotId(after), until: SnapshotId(until), feed: feed.as_ref() };
        let found = deltas::between(&mut tx, stretch, from, page.limit()).await?;
        let (found, next_page_token) =
            page.cut(seals, binding, found, |last| pair(last.feed.as_str(), &last.advisory_id));
        Ok(DiffSnapshotsResponse { deltas: found.iter().map(messages::delta).collect(), next_page_token })
    }

    async fn advisory(&self, request: &GetAdvisoryRequest) -> Result<GetAdvisoryResponse, Refusal> {
        let id = name_of("advisory_id", &request.advisory_id)?;
        let mut tx = self.tx().await?;
        let at = moment(&mut tx, request.snapshot).await?;
        let found = observations::history(&mut tx, id, at, REVISIONS_MAX).await?;
        if found.is_empty() {
            return Err(not_found(ErrorReason::AdvisoryNotFound, "advisory", id));
        }
        let mut room = DOCUMENTS_BYTES;
        let revisions = found.into_iter().map(|revision| messages::revision(revision, &mut room)).collect();
        Ok(GetAdvisoryResponse { revisions })
    }

    async fn linkset(&self, request: &GetLinksetRequest) -> Result<GetLinksetResponse, Refusal> {
        let name = name_of("name", &request.name)?;
        let mut tx = self.tx().await?;
        let at = moment(&mut tx, request.snapshot).await?;
        let found = linksets::of(&mut tx, name, at).await?;
        let linkset = found.ok_or_else(|| not_found(ErrorReason::AdvisoryNotFound, "vulnerability", name))?;
        Ok(GetLinksetResponse { linkset: Some(messages::linkset(linkset)) })
    }

    async fn quarantined(
        &self,
        caller: &Caller,
        request: &ListQuarantineRequest,
    ) -> Result<ListQuarantineResponse, Refusal> {
        let feed = parse_feed(&request.feed_id)?;
        let settled = request.show_settled;
        let parts = [request.feed_id.as_bytes(), &[u8::from(settled)]];
        let binding = Binding::of("ListQuarantine", caller.tenant, &parts);
        let seals = &self.0.seals;
        let page = Page::of(seals, binding, request.page_size, &request.page_token, USUAL_RECORDS)?;
        let place = page.after.as_deref().map(pair_of).transpose()?;
        let place = place.as_ref().map(|(digest, entry)| (entry.as_str(), digest.as_str()));
        let mut tx = self.tx().await?;
        feeds::get(&mut tx, &feed).await.map_err(|error| named(error, &request.feed_id))?;
        let found = quarantine::list(&mut tx, &feed, settled, place, page.limit()).await?;
        let (found, next_page_token) =
            page.cut(seals, binding, found, |last| pair(last.digest.as_str(), &last.entry));
        Ok(ListQuarantineResponse {
            records: found.into_iter().map(messages::quarantined).collect(),
            next_page_token,
        })
    }

    async fn retry(&self, id: &str) -> Result<RetryQuarantineResponse, Refusal> {
        let feed = parse_feed(id)?;
        let mut tx = self.tx().await?;
        let records = quarantine::retry(&mut tx, &feed).await.map_err(|error| named(error, id))?;
        tx.commit().await?;
        Ok(RetryQuarantineResponse { records: messages::count(records) })
    }
}

fn parse_feed(text: &str) -> Result<FeedId, Refusal> {
    text.parse().map_err(|error| invalid("feed_id", error))
}

fn optional_feed(text: &str) -> Result<Option<FeedId>, Refusal> {
    (!text.is_empty()).then(|| parse_feed(text)).transpose()
}

fn name_of<'a>(field: &str, text: &'a str) -> Result<&'a str, Refusal> {
    let name = text.trim();
    if name.is_empty() || name.len() > NAME_BYTES || name.contains(char::is_control) {
        return Err(invalid(field, format!("must be a name of at most {NAME_BYTES} bytes")));
    }
    Ok(name)
}

/// The snapshot that is asked for; 0 is the latest.
async fn moment(tx: &mut FleetTx, snapshot: i64) -> Result<SnapshotId, Refusal> {
    let latest = observations::latest_snapshot(tx).await?;
    match snapshot {
        0 => Ok(latest),
        id if id > 0 && id <= latest.0 => Ok(SnapshotId(id)),
        _ => Err(invalid("snapshot", format!("must be between 1 and the latest, {}", latest.0))),
    }
}

/// A place of two texts, of which the first has no NUL.
fn pair(first: &str, second: &str) -> Vec<u8> {
    format!("{first}\0{second}").into_bytes()
}

fn pair_of(bytes: &[u8]) -> Result<(String, String), Refusal> {
    let text = std::str::from_utf8(bytes).map_err(|_| BadSeal::Broken.of_page())?;
    let (first, second) = text.split_once('\0').ok_or_else(|| BadSeal::Broken.of_page())?;
    Ok((first.to_owned(), second.to_owned()))
}

fn number_of(bytes: &[u8]) -> Result<i64, Refusal> {
    bytes.try_into().map(i64::from_be_bytes).map_err(|_| BadSeal::Broken.of_page())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_were_written() {
        assert_eq!(pair_of(&pair("go", "GO-1\0x")).unwrap(), ("go".to_owned(), "GO-1\0x".to_owned()));
        assert_eq!(number_of(&7_i64.to_be_bytes()).unwrap(), 7);
        assert!(pair_of(b"one").is_err() && pair_of(&[0xff]).is_err() && number_of(b"short").is_err());
    }

    #[test]
    fn names_are_bounded() {
        assert_eq!(name_of("name", " CVE-2024-1 ").unwrap(), "CVE-2024-1");
        for bad in [String::new(), " ".to_owned(), "a\0b".to_owned(), "x".repeat(NAME_BYTES + 1)] {
            assert_eq!(name_of("name", &bad).unwrap_err().reason(), ErrorReason::RequestInvalid, "{bad:?}");
        }
    }
}
