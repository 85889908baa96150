//! Finds accounts: page by page, by what administrators look for.

use std::collections::HashMap;

use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, Query, SelectStatement},
};

use super::{
    Store,
    accounts::account,
    dialect,
    entity::{factor, user},
    factors::enrolled,
    outage,
};
use crate::{
    error::Error,
    model::{Account, EnrolledFactor, Method, Role, UserId},
};

/// Which accounts are looked for; what is unset does not matter.
#[derive(Clone, Debug, Default)]
pub struct AccountFilter {
    /// A part of the canonical e-mail address; may be empty.
    pub email_part: String,
    /// Their role.
    pub role: Option<Role>,
    /// Whether they are blocked.
    pub blocked: Option<bool>,
    /// Whether they have a second factor.
    pub has_factor: Option<bool>,
    /// A method that they have a factor of.
    pub method: Option<Method>,
}

impl Store {
    /// At most `count` accounts, the newest first, from the one before `before` on.
    pub async fn accounts(
        &self,
        filter: &AccountFilter,
        before: Option<UserId>,
        count: u64,
    ) -> Result<Vec<Account>, Error> {
        let mut which = Condition::all();
        if let Some(before) = before {
            which = which.add(user::Column::Id.lt(before.uuid()));
        }
        if !filter.email_part.is_empty() {
            let holds = dialect::words(self.reader.get_database_backend())?.holds;
            let column = Expr::col((user::Entity, user::Column::EmailCanonical));
            which = which.add(Expr::cust_with_exprs(holds, [column, Expr::val(filter.email_part.as_bytes().to_vec())]));
        }
        if let Some(role) = filter.role {
            which = which.add(user::Column::Role.eq(role.as_str()));
        }
        if let Some(blocked) = filter.blocked {
            which = which.add(user::Column::Blocked.eq(blocked));
        }
        // Backup codes stand in for a factor; they are none.
        let real = || factors_of().and_where(factor::Column::Method.ne(Method::BackupCode.as_str())).to_owned();
        match filter.has_factor {
            Some(true) => which = which.add(Expr::exists(real())),
            Some(false) => which = which.add(Expr::exists(real()).not()),
            None => {}
        }
        if let Some(method) = filter.method {
            let own = factors_of().and_where(factor::Column::Method.eq(method.as_str())).to_owned();
            which = which.add(Expr::exists(own));
        }
        let newest_first = user::Entity::find().filter(which).order_by_desc(user::Column::Id).limit(count);
        let rows = newest_first.all(&self.reader).await.map_err(outage)?;
        rows.into_iter().map(|row| account(row, &self.ring)).collect()
    }

    /// The factors of these accounts, oldest first.
    pub async fn factors_of(&self, users: &[UserId]) -> Result<HashMap<UserId, Vec<EnrolledFactor>>, Error> {
        let mut all: HashMap<_, Vec<_>> = HashMap::new();
        if users.is_empty() {
            return Ok(all);
        }
        let rows = factor::Entity::find()
            .filter(factor::Column::UserId.is_in(users.iter().map(|user| user.uuid())))
            .order_by_asc(factor::Column::Id)
            .all(&self.reader)
            .await
            .map_err(outage)?;
        // A method that this release does not know is left out.
        for row in rows.into_iter().filter(|row| Method::from_word(&row.method).is_some()) {
            let factor = enrolled(row, &self.ring)?;
            all.entry(factor.user).or_default().push(factor);
        }
        Ok(all)
    }
}

/// The factors of the account that a query is about.
pub(super) fn factors_of() -> SelectStatement {
    let owner = Expr::col((factor::Entity, factor::Column::UserId));
    Query::select()
        .expr(Expr::val(1))
        .from(factor::Entity)
        .and_where(owner.equals((user::Entity, user::Column::Id)))
        .to_owned()
}
