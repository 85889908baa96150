//! Lists the accounts, for their operator.

use super::verify::backup_codes_remaining;
use crate::{
    error::Error,
    model::{Account, EnrolledFactor, UserId},
    store::Store,
};

const BATCH: u64 = 200;

/// An account with its factors.
pub struct ListedUser {
    /// The account.
    pub account: Account,
    /// Its factors.
    pub factors: Vec<EnrolledFactor>,
    /// How many backup codes are left.
    pub backup_codes_remaining: u32,
}

/// A batch of accounts in the order in which they were made, after the one that is named; empty = there are no more.
pub async fn list_users(store: &Store, after: Option<UserId>) -> Result<Vec<ListedUser>, Error> {
    let mut listed = Vec::new();
    for account in store.accounts(after, BATCH).await? {
        let factors = store.factors(account.id).await?;
        let backup_codes_remaining = backup_codes_remaining(&factors)?;
        listed.push(ListedUser { account, factors, backup_codes_remaining });
    }
    Ok(listed)
}
