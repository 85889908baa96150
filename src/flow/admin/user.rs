//! Looks at accounts, and helps their users: ends waits, issues password tokens.

use super::{begin, etag, record_read};
use crate::{
    clock::Timestamp,
    error::{Error, Refusal},
    flow::{
        Call, Kit, ListedFactor, PASSWORD_TOKEN_LIFE, Page,
        again::again,
        issue_password_token::{NewToken, issue_in},
        list_users::{ListedUser, list_users, listed},
        two_fa_status,
        unlock_user::unlock_in,
    },
    limit,
    model::{Account, FailureKey, Method, Principal, UserId},
    secret::Secret,
    store::AccountFilter,
};

/// An account, as an administrator sees it.
pub struct SeenUser {
    /// The account.
    pub account: Account,
    /// Its factors without the set of backup codes, oldest first.
    pub factors: Vec<ListedFactor>,
    /// How many backup codes are left.
    pub backup_codes_remaining: u32,
    /// Changes with the account.
    pub etag: String,
}

/// A method whose codes are not judged.
pub struct MethodLock {
    /// The method.
    pub method: Method,
    /// Wrong codes in a row.
    pub failures: i64,
    /// When codes are judged again; None = never by itself.
    pub end_time: Option<Timestamp>,
}

/// An account, and what keeps it from signing in.
#[tracing::instrument(target = "countersign::span", skip_all)]
pub async fn read_user(kit: &Kit, user: UserId, call: &Call) -> Result<(SeenUser, Vec<MethodLock>), Error> {
    record_read(kit, "GetUser", Some(user), call).await?;
    let seen = seen(kit, user).await?;
    let mut locks = Vec::new();
    for method in Method::ALL {
        let Some((failures, until)) = kit.store.failures(user, FailureKey::Method(method)).await? else {
            continue;
        };
        if until > call.now {
            let end_time = limit::wait(until, call.now).map(|_| until);
            locks.push(MethodLock { method, failures, end_time });
        }
    }
    Ok((seen, locks))
}

/// A page of accounts.
#[tracing::instrument(target = "countersign::span", skip_all)]
pub async fn read_users(
    kit: &Kit,
    filter: &AccountFilter,
    page: Page<UserId>,
    call: &Call,
) -> Result<(Vec<SeenUser>, Option<UserId>), Error> {
    let page = list_users(&kit.store, filter, page).await?;
    let users = page.users.into_iter().map(|user| shown(kit, user)).collect::<Result<_, _>>()?;
    record_read(kit, "ListUsers", None, call).await?;
    Ok((users, page.next))
}

/// Ends the waits of an account.
#[tracing::instrument(target = "countersign::span", skip_all)]
pub async fn unlock(kit: &Kit, admin: &Principal, user: UserId, reason: &str, call: &Call) -> Result<(), Error> {
    let account = kit.store.find_account(user).await?.ok_or(Refusal::NotFound)?;
    again(|| async {
        let tx = begin(kit, admin, call).await?;
        unlock_in(&tx, &kit.ring, &account, reason, call).await?;
        tx.commit().await
    })
    .await
}

/// Issues a one-time password token; answers when it ends, too.
#[tracing::instrument(target = "countersign::span", skip_all)]
pub async fn issue_password_reset(
    kit: &Kit,
    admin: &Principal,
    user: UserId,
    reason: &str,
    call: &Call,
) -> Result<(Secret<String>, Timestamp), Error> {
    let token = NewToken::make()?;
    again(|| async {
        let tx = begin(kit, admin, call).await?;
        issue_in(&tx, user, &token, reason, call).await?;
        tx.commit().await
    })
    .await?;
    Ok((token.to_text(), call.now.plus(PASSWORD_TOKEN_LIFE)))
}

/// An account as it is now.
pub(super) async fn seen(kit: &Kit, user: UserId) -> Result<SeenUser, Error> {
    let account = kit.store.find_account(user).await?.ok_or(Refusal::NotFound)?;
    let factors = kit.store.factors_of(&[user]).await?.remove(&user).unwrap_or_default();
    shown(kit, listed(account, factors))
}

fn shown(kit: &Kit, user: ListedUser) -> Result<SeenUser, Error> {
    let ListedUser { account, factors, backup_codes_remaining } = user;
    let etag = etag(kit, &account)?;
    let factors = two_fa_status::listed_factors(factors);
    Ok(SeenUser { account, factors, backup_codes_remaining, etag })
}
