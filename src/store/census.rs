//! Counts accounts by what policy asks of them.

use anyhow::Context;
use sea_orm::{
    ConnectionTrait, EntityTrait, ExprTrait, FromQueryResult, QueryFilter, QueryOrder, QueryResult, QuerySelect,
    sea_query::{Alias, CaseStatement, Cond, Expr, Func, IntoIden, JoinType, Query, SelectStatement},
};
use uuid::Uuid;

use super::{
    Store,
    directory::factors_of,
    entity::{factor, user},
    outage,
};
use crate::{
    clock::Timestamp,
    error::Error,
    model::{Email, Method, Role, UserId},
};

/// Methods that are factors of their own.
const METHODS: [Method; 2] = [Method::Totp, Method::Phone];

/// Accounts that have had their role since this moment or before have been there long enough.
#[derive(Clone, Copy, Debug)]
pub struct Cutoff {
    /// Administrators.
    pub admins: Timestamp,
    /// Everyone else.
    pub users: Timestamp,
}

/// Accounts that are alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Their role.
    pub role: Role,
    /// The methods that they have factors of.
    pub methods: Vec<Method>,
    /// Whether they have been there long enough, by each of two cutoffs.
    pub is_old: [bool; 2],
}

/// How far a method has come.
pub struct Adoption {
    /// The method.
    pub method: Method,
    /// How many accounts have it.
    pub users: i64,
    /// How many have used it lately.
    pub recent_users: i64,
    /// When it was last used.
    pub last_use_time: Option<Timestamp>,
}

impl Store {
    /// How many accounts there are of each group.
    pub async fn census(&self, cutoffs: [Cutoff; 2]) -> Result<Vec<(Group, i64)>, Error> {
        let keys = keys();
        let mut query = Query::select();
        query.columns(keys.iter().cloned().map(Alias::new)).expr_as(Expr::cust("COUNT(*)"), "n");
        query.from_subquery(alike(cutoffs), "alike").add_group_by(keys.iter().map(|key| Expr::col(Alias::new(key))));
        let backend = self.reader.get_database_backend();
        let rows = self.reader.query_all_raw(backend.build(&query)).await.map_err(outage)?;
        rows.iter().map(|row| Ok((group(row)?, row.try_get("", "n").map_err(outage)?))).collect()
    }

    /// At most `count` accounts of these groups, the newest first.
    pub async fn examples(
        &self,
        cutoffs: [Cutoff; 2],
        groups: &[Group],
        count: u64,
    ) -> Result<Vec<(UserId, Email)>, Error> {
        if groups.is_empty() {
            return Ok(Vec::new());
        }
        // By the accounts themselves and not by `alike`: the walk ends with the last example.
        let has = |method: Method| Expr::exists(factors_of().and_where(is_method(method)).to_owned());
        let is_of = |group: &Group| {
            let is_admin = of_user(user::Column::Role).eq(Role::Admin.as_str());
            // Administrators are few and are found by an index; of everyone else it would lead through all of them.
            let is_of_role = match group.role {
                Role::Admin => is_admin,
                Role::User => is_admin.not(),
            };
            let mut all = Cond::all().add(is_of_role);
            for method in METHODS {
                all = all.add(if group.methods.contains(&method) { has(method) } else { has(method).not() });
            }
            for (cutoff, is_old) in cutoffs.iter().zip(group.is_old) {
                let time = if group.role == Role::Admin { cutoff.admins } else { cutoff.users };
                let made_by = since_when().lte(time.millis());
                all = all.add(if is_old { made_by } else { made_by.not() });
            }
            all
        };
        let rows: Vec<(Uuid, Vec<u8>)> = user::Entity::find()
            .select_only()
            .columns([user::Column::Id, user::Column::EmailTyped])
            .filter(groups.iter().fold(Cond::any(), |any, group| any.add(is_of(group))))
            .order_by_desc(user::Column::Id)
            .limit(count)
            .into_tuple()
            .all(&self.reader)
            .await
            .map_err(outage)?;
        rows.into_iter().map(example).collect()
    }

    /// How far each method has come; lately = since then.
    pub async fn adoption(&self, since: Timestamp) -> Result<Vec<Adoption>, Error> {
        let used = Expr::col(factor::Column::LastUseTime).gte(since.millis());
        let recent: Expr = CaseStatement::new().case(used, Expr::col(factor::Column::UserId)).into();
        let mut query = Query::select();
        query
            .column(factor::Column::Method)
            .expr_as(Func::count_distinct(Expr::col(factor::Column::UserId)), "users")
            .expr_as(Func::count_distinct(recent), "recent")
            .expr_as(Func::max(Expr::col(factor::Column::LastUseTime)), "last")
            .from(factor::Entity)
            .group_by_col(factor::Column::Method);
        let backend = self.reader.get_database_backend();
        let rows = AdoptionRow::find_by_statement(backend.build(&query)).all(&self.reader).await.map_err(outage)?;
        let adoption = |row: AdoptionRow| {
            let last_use_time = row.last.map(Timestamp::from_millis);
            // A method that this release does not know is left out.
            let method = Method::from_word(&row.method)?;
            Some(Adoption { method, users: row.users, recent_users: row.recent, last_use_time })
        };
        Ok(rows.into_iter().filter_map(adoption).collect())
    }

    /// How many accounts have never had a second factor.
    pub async fn count_never_enrolled(&self) -> Result<i64, Error> {
        let mut query = Query::select();
        query.expr_as(Expr::cust("COUNT(*)"), "n").from(user::Entity);
        query.and_where(Expr::col(user::Column::FirstEnrollTime).is_null());
        // An older replica does not note it.
        let real = factors_of().and_where(is_method(Method::BackupCode).not()).to_owned();
        query.and_where(Expr::exists(real).not());
        let backend = self.reader.get_database_backend();
        let row = self.reader.query_one_raw(backend.build(&query)).await.map_err(outage)?;
        row.context("a count has no row")?.try_get("", "n").map_err(outage)
    }
}

#[derive(FromQueryResult)]
struct AdoptionRow {
    method: String,
    users: i64,
    recent: i64,
    last: Option<i64>,
}

/// Every account with what makes it alike to others.
fn alike(cutoffs: [Cutoff; 2]) -> SelectStatement {
    let yes_or_no = |condition: Expr| -> Expr {
        CaseStatement::new().case(condition, Expr::val(1_i64)).finally(Expr::val(0_i64)).into()
    };
    let mut own = Query::select();
    own.column(factor::Column::UserId).from(factor::Entity).group_by_col(factor::Column::UserId);
    for method in METHODS {
        own.expr_as(Func::max(yes_or_no(is_method(method))), name(method));
    }
    let mut all = Query::select();
    all.column((user::Entity, user::Column::Id))
        .column((user::Entity, user::Column::EmailTyped))
        .column((user::Entity, user::Column::Role));
    for method in METHODS {
        let has = Expr::col(("own".into_iden(), Alias::new(name(method)).into_iden()));
        all.expr_as(Func::coalesce([has, Expr::val(0_i64)]), name(method));
    }
    for (at, cutoff) in cutoffs.into_iter().enumerate() {
        let made_by = |time: Timestamp| yes_or_no(since_when().lte(time.millis()));
        let is_old: Expr = CaseStatement::new()
            .case(of_user(user::Column::Role).eq(Role::Admin.as_str()), made_by(cutoff.admins))
            .finally(made_by(cutoff.users))
            .into();
        all.expr_as(is_old, format!("old_{at}"));
    }
    let owner = Expr::col(("own".into_iden(), Alias::new("user_id").into_iden()));
    all.from(user::Entity).join_subquery(
        JoinType::LeftJoin,
        own,
        "own",
        owner.equals((user::Entity, user::Column::Id)),
    );
    all
}

fn of_user(column: user::Column) -> Expr {
    Expr::col((user::Entity, column))
}

/// Since when an account has its role.
fn since_when() -> Expr {
    let is_known = of_user(user::Column::RoleTime).gt(of_user(user::Column::CreateTime));
    let known = CaseStatement::new().case(is_known, of_user(user::Column::RoleTime));
    known.finally(of_user(user::Column::CreateTime)).into()
}

fn is_method(method: Method) -> Expr {
    Expr::col((factor::Entity, factor::Column::Method)).eq(method.as_str())
}

fn name(method: Method) -> String {
    format!("has_{}", method.as_str())
}

/// The columns that make accounts alike: the role, then numbers.
fn keys() -> Vec<String> {
    let methods = METHODS.into_iter().map(name);
    std::iter::once("role".to_owned()).chain(methods).chain(["old_0".to_owned(), "old_1".to_owned()]).collect()
}

fn group(row: &QueryResult) -> Result<Group, Error> {
    let is = |key: &str| -> Result<bool, Error> { Ok(row.try_get::<i64>("", key).map_err(outage)? != 0) };
    let role: String = row.try_get("", "role").map_err(outage)?;
    let mut methods = Vec::new();
    for method in METHODS {
        if is(&name(method))? {
            methods.push(method);
        }
    }
    let role = Role::from_word(&role).context("a stored role is unknown")?;
    Ok(Group { role, methods, is_old: [is("old_0")?, is("old_1")?] })
}

fn example((id, typed): (Uuid, Vec<u8>)) -> Result<(UserId, Email), Error> {
    let typed = String::from_utf8(typed).context("a stored e-mail address is not UTF-8")?;
    let email = Email::parse(&typed).map_err(|problem| anyhow::anyhow!("a stored e-mail address {problem}"))?;
    Ok((UserId::from_uuid(id), email))
}
