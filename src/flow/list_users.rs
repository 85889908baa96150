//! Lists the accounts, for their operators and administrators.

use super::{paging::Page, verify::backup_codes_remaining};
use crate::{
    error::Error,
    model::{Account, EnrolledFactor, UserId},
    store::{AccountFilter, Store},
};

/// An account with its factors.
pub struct ListedUser {
    /// The account.
    pub account: Account,
    /// Its factors.
    pub factors: Vec<EnrolledFactor>,
    /// How many backup codes are left.
    pub backup_codes_remaining: u32,
}

/// A page of accounts.
pub struct UserPage {
    /// The accounts, the newest first.
    pub users: Vec<ListedUser>,
    /// Asks for the next page; None = this is the last.
    pub next: Option<UserId>,
}

/// A page of accounts.
pub async fn list_users(store: &Store, filter: &AccountFilter, page: Page<UserId>) -> Result<UserPage, Error> {
    let accounts = store.accounts(filter, page.after, page.one_more()).await?;
    let (accounts, next) = page.cut(accounts, |account| account.id);
    let ids: Vec<_> = accounts.iter().map(|account| account.id).collect();
    let mut factors = store.factors_of(&ids).await?;
    let mut own = |account: &Account| factors.remove(&account.id).unwrap_or_default();
    let users = accounts.into_iter().map(|account| {
        let factors = own(&account);
        listed(account, factors)
    });
    Ok(UserPage { users: users.collect(), next })
}

/// One account with its factors.
pub(super) fn listed(account: Account, factors: Vec<EnrolledFactor>) -> ListedUser {
    // Of a damaged set none are left that could be used.
    let backup_codes_remaining = backup_codes_remaining(&factors).unwrap_or(0);
    ListedUser { account, factors, backup_codes_remaining }
}
