//! Pages: how many items, from where, and the token for the next one.

use super::errors::{Refusal, invalid};
use super::sealed::{Binding, Seals};

const SIZE_MAX: u32 = 1000;

/// A page that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    size: u32,
    /// The position after which it begins; `None` for the first page.
    pub after: Option<Vec<u8>>,
}

impl Page {
    /// Reads `page_size` and `page_token` of a request.
    pub(super) fn of(
        seals: &Seals,
        binding: Binding,
        size: i32,
        token: &str,
        usual: u32,
    ) -> Result<Self, Refusal> {
        let size = match u32::try_from(size) {
            Ok(0) => usual,
            Ok(size) if size <= SIZE_MAX => size,
            _ => return Err(invalid("page_size", format!("must be between 0 and {SIZE_MAX}"))),
        };
        let after = match token {
            "" => None,
            token => Some(seals.open(binding, token).map_err(|bad| bad.of_page())?),
        };
        Ok(Self { size, after })
    }

    /// How many items to read: one more than is shown, which tells whether there is a next page.
    pub(super) const fn limit(&self) -> u32 {
        self.size + 1
    }

    /// The position as text, where positions are text.
    pub(super) fn after_text(&self) -> Result<Option<String>, Refusal> {
        let text = |bytes: &Vec<u8>| String::from_utf8(bytes.clone());
        self.after.as_ref().map(text).transpose().map_err(|_| super::sealed::BadSeal::Broken.of_page())
    }

    /// Cuts the items to the page, and makes the token of the next one from the last of them.
    pub(super) fn cut<T>(
        &self,
        seals: &Seals,
        binding: Binding,
        mut items: Vec<T>,
        position: impl FnOnce(&T) -> Vec<u8>,
    ) -> (Vec<T>, String) {
        let size = self.size as usize;
        let more = items.len() > size;
        items.truncate(size);
        let token = items.last().filter(|_| more).map(|last| seals.seal(binding, &position(last)));
        (items, token.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use model::TenantId;
    use proto_api::common::v1::ErrorReason;

    use super::*;

    fn binding(tenant: u128) -> Binding {
        Binding::of("ListNumbers", TenantId::from_uuid(uuid::Uuid::from_u128(tenant)), &[])
    }

    /// A page of the numbers up to 5.
    fn numbers(size: i32, token: &str, tenant: u128) -> Result<(Vec<u8>, String), Refusal> {
        let seals = Seals::new([1; 32]);
        let page = Page::of(&seals, binding(tenant), size, token, 2)?;
        let after = page.after.as_ref().map_or(0, |position| position[0]);
        let items = (after + 1..=5).take(page.limit() as usize).collect();
        Ok(page.cut(&seals, binding(tenant), items, |number| vec![*number]))
    }

    #[test]
    fn tokens_lead_through_all_items_once() {
        let (first, token) = numbers(0, "", 1).unwrap();
        let (second, token) = numbers(2, &token, 1).unwrap();
        let (third, token) = numbers(2, &token, 1).unwrap();
        assert_eq!((first, second, third, token), (vec![1, 2], vec![3, 4], vec![5], String::new()));
    }

    #[test]
    fn a_token_of_another_tenant_and_an_odd_size_are_refused() {
        let (_, token) = numbers(2, "", 1).unwrap();
        let reason = |page: Result<_, Refusal>| page.map_err(|refusal| refusal.reason()).unwrap_err();
        assert_eq!(reason(numbers(2, &token, 2)), ErrorReason::PageTokenMismatch);
        assert_eq!(reason(numbers(2, "garbage", 1)), ErrorReason::PageTokenInvalid);
        assert_eq!(reason(numbers(-1, "", 1)), ErrorReason::RequestInvalid);
        assert_eq!(reason(numbers(1001, "", 1)), ErrorReason::RequestInvalid);
    }
}
