//! IssuerService: whose VEX is heard, how far it is trusted, and by which keys.

mod messages;

use std::sync::Arc;

use model::SnapshotId;
use proto_api::common::v1::ErrorReason;
use proto_api::issuer::v1::issuer_service_server::IssuerService;
use proto_api::issuer::v1::{
    self as wire, AddKeyRequest, AddKeyResponse, CreateIssuerRequest, CreateIssuerResponse, GetIssuerRequest,
    GetIssuerResponse, ListIssuerChangesRequest, ListIssuerChangesResponse, ListIssuersRequest,
    ListIssuersResponse, Policy, RetireIssuerRequest, RetireIssuerResponse, RevokeKeyRequest,
    RevokeKeyResponse, SetPolicyRequest, SetPolicyResponse, SetTrustRequest, SetTrustResponse,
    UpdateIssuerRequest, UpdateIssuerResponse,
};
use store::TenantTx;
use store::issuers::{self, NewIssuerChange};
use time::OffsetDateTime;
use tonic::{Request, Response, Status};
use vex::signature::Key;
use vex::trust::{Entry, IssuerChangeKind, Register, Tier};

use super::Door;
use super::auth::{Caller, caller_of};
use super::convert;
use super::errors::{Refusal, invalid, not_found, refuse};
use super::idempotent::{Asked, once};
use super::paging::Page;
use super::sealed::{BadSeal, Binding};
use super::verdicts::moment;
use super::vex::one_line;
use messages::{audited, issuer};

/// The service.
pub(super) struct Issuers(pub(super) Arc<Door>);

/// Bytes of a key or certificate.
pub(crate) const KEY_BYTES_MAX: usize = 16 << 10;

const USUAL_PAGE: u32 = 50;
const ID_BYTES_MAX: usize = 64;
/// Reads all there is by now.
const ALL: SnapshotId = SnapshotId(i64::MAX);

/// What every write needs.
struct Write<'a> {
    caller: &'a Caller,
    issuer: &'a str,
    reason: &'a str,
}

#[tonic::async_trait]
impl IssuerService for Issuers {
    async fn create_issuer(
        &self,
        request: Request<CreateIssuerRequest>,
    ) -> Result<Response<CreateIssuerResponse>, Status> {
        let caller = caller_of(&request)?;
        let request = request.get_ref();
        let asked = Asked { tenant: caller.tenant, method: "CreateIssuer", id: &request.request_id };
        let answer = once(&self.0.store, asked, request, async || {
            let write = Write { caller: &caller, issuer: &request.issuer_id, reason: &request.reason };
            let (issuer, snapshot) = self.one(write, created(request)?).await?;
            Ok(CreateIssuerResponse { issuer, snapshot })
        });
        Ok(Response::new(answer.await?))
    }

    async fn update_issuer(
        &self,
        request: Request<UpdateIssuerRequest>,
    ) -> Result<Response<UpdateIssuerResponse>, Status> {
        let caller = caller_of(&request)?;
        let request = request.get_ref();
        let asked = Asked { tenant: caller.tenant, method: "UpdateIssuer", id: &request.request_id };
        let answer = once(&self.0.store, asked, request, async || {
            let write = Write { caller: &caller, issuer: &request.issuer_id, reason: &request.reason };
            let (issuer, snapshot) = self.one(write, changed(request)?).await?;
            Ok(UpdateIssuerResponse { issuer, snapshot })
        });
        Ok(Response::new(answer.await?))
    }

    async fn get_issuer(
        &self,
        request: Request<GetIssuerRequest>,
    ) -> Result<Response<GetIssuerResponse>, Status> {
        let caller = caller_of(&request)?;
        let id = &request.get_ref().issuer_id;
        let register = register(&mut self.tx(&caller).await?).await?;
        let entry = register.get(id).ok_or_else(|| missing(id))?;
        Ok(Response::new(GetIssuerResponse { issuer: Some(issuer(entry)) }))
    }

    async fn list_issuers(
        &self,
        request: Request<ListIssuersRequest>,
    ) -> Result<Response<ListIssuersResponse>, Status> {
        let caller = caller_of(&request)?;
        Ok(Response::new(self.list(&caller, request.get_ref()).await?))
    }

    async fn retire_issuer(
        &self,
        request: Request<RetireIssuerRequest>,
    ) -> Result<Response<RetireIssuerResponse>, Status> {
        let caller = caller_of(&request)?;
        let request = request.get_ref();
        let asked = Asked { tenant: caller.tenant, method: "RetireIssuer", id: &request.request_id };
        let answer = once(&self.0.store, asked, request, async || {
            let write = Write { caller: &caller, issuer: &request.issuer_id, reason: &request.reason };
            let (_, snapshot) = self.one(write, IssuerChangeKind::Retired).await?;
            Ok(RetireIssuerResponse { snapshot })
        });
        Ok(Response::new(answer.await?))
    }

    async fn add_key(&self, request: Request<AddKeyRequest>) -> Result<Response<AddKeyResponse>, Status> {
        let caller = caller_of(&request)?;
        let request = request.get_ref();
        let asked = Asked { tenant: caller.tenant, method: "AddKey", id: &request.request_id };
        let answer = once(&self.0.store, asked, request, async || {
            let key = parse_key(&request.key)?;
            let key_id = key.id().to_owned();
            let replaces = Some(request.replaces.clone()).filter(|id| !id.is_empty());
            let write = Write { caller: &caller, issuer: &request.issuer_id, reason: &request.reason };
            let (issuer, snapshot) = self.one(write, IssuerChangeKind::KeyAdded { key, replaces }).await?;
            Ok(AddKeyResponse { issuer, key_id, snapshot })
        });
        Ok(Response::new(answer.await?))
    }

    async fn revoke_key(
        &self,
        request: Request<RevokeKeyRequest>,
    ) -> Result<Response<RevokeKeyResponse>, Status> {
        let caller = caller_of(&request)?;
        let request = request.get_ref();
        let asked = Asked { tenant: caller.tenant, method: "RevokeKey", id: &request.request_id };
        let answer = once(&self.0.store, asked, request, async || {
            let since = moment("since_time", request.since_time)?;
            let write = Write { caller: &caller, issuer: &request.issuer_id, reason: &request.reason };
            let since = since.unwrap_or_else(OffsetDateTime::now_utc);
            let kind = IssuerChangeKind::KeyRevoked { key: request.key_id.clone(), since };
            let (issuer, snapshot) = self.one(write, kind).await?;
            Ok(RevokeKeyResponse { issuer, snapshot })
        });
        Ok(Response::new(answer.await?))
    }

    async fn set_trust(
        &self,
        request: Request<SetTrustRequest>,
    ) -> Result<Response<SetTrustResponse>, Status> {
        let caller = caller_of(&request)?;
        let request = request.get_ref();
        let asked = Asked { tenant: caller.tenant, method: "SetTrust", id: &request.request_id };
        let answer = once(&self.0.store, asked, request, async || {
            let tier = parse_tier(request.tier)?;
            let write = Write { caller: &caller, issuer: &request.issuer_id, reason: &request.reason };
            let (issuer, snapshot) = self.one(write, IssuerChangeKind::Trusted { tier }).await?;
            Ok(SetTrustResponse { issuer, snapshot })
        });
        Ok(Response::new(answer.await?))
    }

    async fn set_policy(
        &self,
        request: Request<SetPolicyRequest>,
    ) -> Result<Response<SetPolicyResponse>, Status> {
        let caller = caller_of(&request)?;
        let request = request.get_ref();
        let asked = Asked { tenant: caller.tenant, method: "SetPolicy", id: &request.request_id };
        let answer = once(&self.0.store, asked, request, async || {
            let policy = request.policy.ok_or_else(|| invalid("policy", "must be set"))?;
            let Policy { accepts_unknown, accepts_unsigned } = policy;
            let kind = IssuerChangeKind::Policy { accepts_unknown, accepts_unsigned };
            let write = Write { caller: &caller, issuer: "", reason: &request.reason };
            let (register, snapshot) = self.change(&write, kind).await?;
            Ok(SetPolicyResponse { policy: Some(policy_of(&register)), snapshot: snapshot.0 })
        });
        Ok(Response::new(answer.await?))
    }

    async fn list_issuer_changes(
        &self,
        request: Request<ListIssuerChangesRequest>,
    ) -> Result<Response<ListIssuerChangesResponse>, Status> {
        let caller = caller_of(&request)?;
        Ok(Response::new(self.changes(&caller, request.get_ref()).await?))
    }
}

impl Issuers {
    async fn tx(&self, caller: &Caller) -> Result<TenantTx, Refusal> {
        Ok(self.0.store.tenant(caller.tenant).await?)
    }

    /// Changes an issuer; answers it as it is then.
    async fn one(
        &self,
        write: Write<'_>,
        kind: IssuerChangeKind,
    ) -> Result<(Option<wire::Issuer>, i64), Refusal> {
        if write.issuer.is_empty() || write.issuer.len() > ID_BYTES_MAX {
            return Err(invalid("issuer_id", format!("must be 1 to {ID_BYTES_MAX} characters")));
        }
        let (register, snapshot) = self.change(&write, kind).await?;
        Ok((register.get(write.issuer).map(issuer), snapshot.0))
    }
}

impl Issuers {
    /// Makes a change, and answers what is known of issuers then.
    async fn change(
        &self,
        write: &Write<'_>,
        kind: IssuerChangeKind,
    ) -> Result<(Register, SnapshotId), Refusal> {
        let &Write { caller, issuer, reason } = write;
        one_line("reason", reason)?;
        let change = NewIssuerChange {
            issuer: issuer.to_owned(),
            kind,
            by: caller.label.clone(),
            reason: reason.to_owned(),
        };
        let mut tx = self.tx(caller).await?;
        let made = issuers::change(&mut tx, &change).await;
        let snapshot = made.map_err(|error| refusal(error, &change))?;
        let register = register(&mut tx).await?;
        tx.commit().await?;
        let (what, tenant, who) = (change.kind.as_str(), caller.tenant, &caller.label);
        metrics::counter!("starling_vex_issuer_changes_total", "what" => what).increment(1);
        tracing::info!(vex.issuer = issuer, tenant.id = %tenant, %snapshot, what, by.who = who, by.reason = reason, audit = true, "issuer of VEX changed");
        Ok((register, snapshot))
    }

    async fn list(
        &self,
        caller: &Caller,
        request: &ListIssuersRequest,
    ) -> Result<ListIssuersResponse, Refusal> {
        let binding = Binding::of("ListIssuers", caller.tenant, &[]);
        let seals = &self.0.seals;
        let page = Page::of(seals, binding, request.page_size, &request.page_token, USUAL_PAGE)?;
        let after = page.after_text()?;
        let register = register(&mut self.tx(caller).await?).await?;
        let found = known(&register).filter(|entry| after.as_ref().is_none_or(|after| entry.id > *after));
        let found: Vec<&Entry> = found.take(page.limit() as usize).collect();
        let (found, next_page_token) = page.cut(seals, binding, found, |entry| entry.id.clone().into_bytes());
        Ok(ListIssuersResponse {
            issuers: found.into_iter().map(issuer).collect(),
            next_page_token,
            policy: Some(policy_of(&register)),
        })
    }

    async fn changes(
        &self,
        caller: &Caller,
        request: &ListIssuerChangesRequest,
    ) -> Result<ListIssuerChangesResponse, Refusal> {
        if request.issuer_id.len() > ID_BYTES_MAX {
            return Err(invalid("issuer_id", format!("must be {ID_BYTES_MAX} characters at most")));
        }
        let binding = Binding::of("ListIssuerChanges", caller.tenant, &[request.issuer_id.as_bytes()]);
        let seals = &self.0.seals;
        let page = Page::of(seals, binding, request.page_size, &request.page_token, USUAL_PAGE)?;
        let after = page.after.as_deref().map(parse_place).transpose()?;
        let of = Some(request.issuer_id.as_str()).filter(|id| !id.is_empty());
        let mut tx = self.tx(caller).await?;
        let found = issuers::audit(&mut tx, of, after, page.limit()).await?;
        let (found, next_page_token) =
            page.cut(seals, binding, found, |change| change.snapshot.0.to_be_bytes().to_vec());
        Ok(ListIssuerChangesResponse { changes: found.iter().map(audited).collect(), next_page_token })
    }
}

/// What the caller knows of issuers now.
async fn register(tx: &mut TenantTx) -> Result<Register, Refusal> {
    Ok(issuers::changes(tx, ALL).await?.register())
}

/// Those that are known, by id; one's own before everybody's of the same id.
fn known(register: &Register) -> impl Iterator<Item = &Entry> {
    let mut known: Vec<&Entry> = register.entries().filter(|entry| entry.retired_at.is_none()).collect();
    known.sort_by(|one, other| (&one.id, one.scope).cmp(&(&other.id, other.scope)));
    known.dedup_by(|next, first| next.id == first.id);
    known.into_iter()
}

fn policy_of(register: &Register) -> Policy {
    let (accepts_unknown, accepts_unsigned) = register.policy();
    Policy { accepts_unknown, accepts_unsigned }
}

fn created(request: &CreateIssuerRequest) -> Result<IssuerChangeKind, Refusal> {
    let id = &request.issuer_id;
    let name = if request.name.is_empty() { id } else { &request.name };
    let authors = if request.authors.is_empty() { std::slice::from_ref(id) } else { &request.authors };
    let tier = parse_tier(request.tier)?.ok_or_else(|| invalid("tier", "must be set"))?;
    Ok(IssuerChangeKind::Created { name: name.clone(), authors: authors.to_vec(), tier })
}

fn changed(request: &UpdateIssuerRequest) -> Result<IssuerChangeKind, Refusal> {
    let paths = request.update_mask.as_ref().map(|mask| mask.paths.as_slice()).unwrap_or_default();
    let known = ["name", "authors", "tier"];
    if paths.is_empty() || paths.iter().any(|path| !known.contains(&path.as_str())) {
        return Err(invalid("update_mask", format!("must name one or more of {}", known.join(", "))));
    }
    let has = |path: &str| paths.iter().any(|named| named == path);
    let tier = match has("tier") {
        true => Some(parse_tier(request.tier)?.ok_or_else(|| invalid("tier", "must be set"))?),
        false => None,
    };
    Ok(IssuerChangeKind::Changed {
        name: has("name").then(|| request.name.clone()),
        authors: has("authors").then(|| request.authors.clone()),
        tier,
    })
}

fn parse_tier(tier: i32) -> Result<Option<Tier>, Refusal> {
    let tier = wire::Tier::try_from(tier).map_err(|_| invalid("tier", "is not known to this server"))?;
    Ok(convert::tier_of(tier))
}

fn parse_key(bytes: &[u8]) -> Result<Key, Refusal> {
    if bytes.len() > KEY_BYTES_MAX {
        return Err(invalid("key", format!("must be {KEY_BYTES_MAX} bytes at most")));
    }
    Key::parse(bytes).map_err(|error| refuse(ErrorReason::KeyInvalid).saying(error))
}

/// Why a change is refused, by what the caller may do about it.
fn refusal(error: store::Error, change: &NewIssuerChange) -> Refusal {
    use IssuerChangeKind::{KeyAdded, KeyRevoked};
    let id = change.issuer.as_str();
    match error {
        store::Error::NotFound { entity: "issuer" } => missing(id),
        store::Error::NotFound { entity: "issuer key" } => {
            refuse(ErrorReason::KeyInvalid).saying(format!("{id} has no such key")).about("issuer", id)
        }
        store::Error::AlreadyExists { .. } => refuse(ErrorReason::IssuerExists)
            .saying(format!("there is an issuer {id} already"))
            .about("issuer", id),
        store::Error::Conflict { what } => {
            let is_of_key = matches!(change.kind, KeyAdded { .. } | KeyRevoked { .. });
            let reason = if is_of_key { ErrorReason::KeyInvalid } else { ErrorReason::IssuerState };
            refuse(reason).saying(what).about("issuer", id)
        }
        other => other.into(),
    }
}

fn missing(id: &str) -> Refusal {
    not_found(ErrorReason::IssuerNotFound, "issuer", id)
}

fn parse_place(bytes: &[u8]) -> Result<SnapshotId, Refusal> {
    let bytes = bytes.try_into().map_err(|_| BadSeal::Broken.of_page())?;
    Ok(SnapshotId(i64::from_be_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create() -> CreateIssuerRequest {
        CreateIssuerRequest {
            issuer_id: "acme".to_owned(),
            tier: wire::Tier::Supplier.into(),
            ..CreateIssuerRequest::default()
        }
    }

    #[test]
    fn what_is_not_said_of_a_new_issuer_is_its_id() {
        let IssuerChangeKind::Created { name, authors, tier } = created(&create()).unwrap() else { panic!() };
        assert_eq!((name.as_str(), authors, tier), ("acme", vec!["acme".to_owned()], Tier::Second));
        let silent = CreateIssuerRequest { tier: 0, ..create() };
        assert_eq!(created(&silent).unwrap_err().reason(), ErrorReason::RequestInvalid);
        let odd = CreateIssuerRequest { tier: 99, ..create() };
        assert_eq!(created(&odd).unwrap_err().reason(), ErrorReason::RequestInvalid);
    }

    #[test]
    fn only_what_the_mask_names_changes() {
        let update = |paths: &[&str]| UpdateIssuerRequest {
            name: "Acme".to_owned(),
            tier: wire::Tier::Hub.into(),
            update_mask: Some(prost_types::FieldMask {
                paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            }),
            ..UpdateIssuerRequest::default()
        };
        let kind = changed(&update(&["tier"])).unwrap();
        assert_eq!(kind, IssuerChangeKind::Changed { name: None, authors: None, tier: Some(Tier::Third) });
        for bad in [&[][..], &["keys"]] {
            assert_eq!(changed(&update(bad)).unwrap_err().reason(), ErrorReason::RequestInvalid);
        }
    }

    #[test]
    fn a_refusal_says_what_the_caller_may_do() {
        let revoked =
            IssuerChangeKind::KeyRevoked { key: "sha256:aa".to_owned(), since: OffsetDateTime::UNIX_EPOCH };
        let reason = |error: store::Error, kind: &IssuerChangeKind| {
            let change = NewIssuerChange {
                issuer: "acme".to_owned(),
                kind: kind.clone(),
                by: String::new(),
                reason: String::new(),
            };
            refusal(error, &change).reason()
        };
        let missing = |entity| store::Error::NotFound { entity };
        let wrong = || store::Error::Conflict { what: "it is so already".to_owned() };
        assert_eq!(reason(missing("issuer"), &revoked), ErrorReason::IssuerNotFound);
        assert_eq!(reason(missing("issuer key"), &revoked), ErrorReason::KeyInvalid);
        assert_eq!(reason(wrong(), &revoked), ErrorReason::KeyInvalid);
        assert_eq!(reason(wrong(), &IssuerChangeKind::Retired), ErrorReason::IssuerState);
        let taken = store::Error::AlreadyExists { entity: "issuer" };
        assert_eq!(reason(taken, &IssuerChangeKind::Retired), ErrorReason::IssuerExists);
    }

    #[test]
    fn a_key_that_cannot_be_read_is_refused() {
        assert_eq!(parse_key(b"no key").unwrap_err().reason(), ErrorReason::KeyInvalid);
        assert_eq!(parse_key(&vec![0; KEY_BYTES_MAX + 1]).unwrap_err().reason(), ErrorReason::RequestInvalid);
    }

    #[test]
    fn a_place_in_the_audit_survives_its_token() {
        let place = SnapshotId(77);
        assert_eq!(parse_place(&place.0.to_be_bytes()).unwrap(), place);
        assert!(parse_place(b"short").is_err());
    }
}
