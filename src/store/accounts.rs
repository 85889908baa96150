//! Accounts.

use anyhow::Context;
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, EntityTrait, ExprTrait, PaginatorTrait, QueryFilter, QuerySelect,
    sea_query::{Expr, Func},
};

use super::{
    Store, Tx,
    entity::{create_request, factor, factor_failure, password_token, session, user},
    inserted, outage, undamaged,
};
use crate::{
    clock::Timestamp,
    error::Error,
    model::{Account, Email, PasswordHash, PhoneNumber, Role, UserId},
    seal::{KeyRing, Place},
    secret::Secret,
    swap::Swap,
};

impl Store {
    /// The account with this e-mail address.
    pub async fn find_account_by_email(&self, email: &Email) -> Result<Option<Account>, Error> {
        let row = user::Entity::find()
            .filter(user::Column::EmailCanonical.eq(email.canonical().as_bytes().to_vec()))
            .one(&self.reader)
            .await
            .map_err(outage)?;
        row.map(|row| account(row, &self.ring)).transpose()
    }

    /// Whether there is an administrator.
    pub async fn has_admin(&self) -> Result<bool, Error> {
        let admins = user::Entity::find().filter(user::Column::Role.eq(Role::Admin.as_str()));
        Ok(admins.one(&self.reader).await.map_err(outage)?.is_some())
    }

    /// The account with this id.
    pub async fn find_account(&self, id: UserId) -> Result<Option<Account>, Error> {
        let row = user::Entity::find_by_id(id.uuid()).one(&self.reader).await.map_err(outage)?;
        row.map(|row| account(row, &self.ring)).transpose()
    }
}

impl Tx {
    /// The account, kept as it is until the transaction ends.
    pub async fn lock_account(&self, id: UserId) -> Result<Option<Account>, Error> {
        let row = user::Entity::find_by_id(id.uuid()).lock_exclusive().one(&self.inner).await.map_err(outage)?;
        row.map(|row| account(row, &self.ring)).transpose()
    }

    /// Adds an account; Stale when its e-mail address is taken.
    pub async fn insert_account(&self, account: &Account) -> Result<Swap, Error> {
        let row = user::ActiveModel {
            id: Set(account.id.uuid()),
            email_typed: Set(account.email.typed().as_bytes().to_vec()),
            email_canonical: Set(account.email.canonical().as_bytes().to_vec()),
            role: Set(account.role.as_str().to_owned()),
            blocked: Set(account.blocked),
            security_version: Set(account.security_version),
            password_hash: account.password_hash.as_ref().map_or(Ok(NotSet), |hash| {
                seal_password_hash(&self.ring, account.id, hash).map(|sealed| Set(Some(sealed)))
            })?,
            create_time: Set(account.create_time.millis()),
            first_enroll_time: NotSet,
            role_time: Set(account.role_time.millis()),
            phone: match &account.phone {
                Some(phone) => Set(Some(seal_phone(&self.ring, account.id, phone)?)),
                None => NotSet,
            },
            notice_email: match &account.notice_email {
                Some(email) => Set(Some(seal_notice_email(&self.ring, account.id, email)?)),
                None => NotSet,
            },
        };
        inserted(user::Entity::insert(row).exec_without_returning(&self.inner).await)
    }

    /// Sets the password and raises the security version.
    pub async fn save_password_hash(&self, id: UserId, hash: &PasswordHash) -> Result<Swap, Error> {
        let sealed = seal_password_hash(&self.ring, id, hash)?;
        let done = user::Entity::update_many()
            .col_expr(user::Column::PasswordHash, Expr::val(sealed))
            .col_expr(user::Column::SecurityVersion, Expr::col(user::Column::SecurityVersion).add(1))
            .filter(user::Column::Id.eq(id.uuid()))
            .exec(&self.inner)
            .await
            .map_err(outage)?;
        Ok(Swap::from_rows(done.rows_affected))
    }

    /// Hashes the same password another way.
    pub async fn renew_password_hash(&self, id: UserId, hash: &PasswordHash) -> Result<(), Error> {
        let sealed = seal_password_hash(&self.ring, id, hash)?;
        let update = user::Entity::update_many().col_expr(user::Column::PasswordHash, Expr::val(sealed));
        update.filter(user::Column::Id.eq(id.uuid())).exec(&self.inner).await.map_err(outage)?;
        Ok(())
    }

    /// Sets the phone number.
    pub async fn save_phone(&self, id: UserId, phone: &PhoneNumber) -> Result<Swap, Error> {
        let done = user::Entity::update_many()
            .col_expr(user::Column::Phone, Expr::val(seal_phone(&self.ring, id, phone)?))
            .filter(user::Column::Id.eq(id.uuid()))
            .exec(&self.inner)
            .await
            .map_err(outage)?;
        Ok(Swap::from_rows(done.rows_affected))
    }

    /// Sets the e-mail address, and raises the security version; Stale when it is another account's.
    pub async fn save_email(&self, id: UserId, email: &Email) -> Result<Swap, Error> {
        let done = user::Entity::update_many()
            .col_expr(user::Column::EmailTyped, Expr::val(email.typed().as_bytes().to_vec()))
            .col_expr(user::Column::EmailCanonical, Expr::val(email.canonical().as_bytes().to_vec()))
            .col_expr(user::Column::SecurityVersion, Expr::col(user::Column::SecurityVersion).add(1))
            .filter(user::Column::Id.eq(id.uuid()))
            .exec(&self.inner)
            .await;
        inserted(done.map(|done| done.rows_affected))
    }

    /// Sets the second address, or takes it away.
    pub async fn save_notice_email(&self, id: UserId, email: Option<&Email>) -> Result<Swap, Error> {
        let sealed = email.map(|email| seal_notice_email(&self.ring, id, email)).transpose()?;
        let done = user::Entity::update_many()
            .col_expr(user::Column::NoticeEmail, Expr::val(sealed))
            .filter(user::Column::Id.eq(id.uuid()))
            .exec(&self.inner)
            .await
            .map_err(outage)?;
        Ok(Swap::from_rows(done.rows_affected))
    }

    /// Sets the role, and raises the security version.
    pub async fn save_role(&self, id: UserId, role: Role, now: Timestamp) -> Result<Swap, Error> {
        let done = user::Entity::update_many()
            .col_expr(user::Column::Role, Expr::val(role.as_str()))
            .col_expr(user::Column::RoleTime, Expr::val(now.millis()))
            .col_expr(user::Column::SecurityVersion, Expr::col(user::Column::SecurityVersion).add(1))
            .filter(user::Column::Id.eq(id.uuid()))
            .exec(&self.inner)
            .await
            .map_err(outage)?;
        Ok(Swap::from_rows(done.rows_affected))
    }

    /// Blocks an account or lets it in, and raises the security version.
    pub async fn save_blocked(&self, id: UserId, blocked: bool) -> Result<Swap, Error> {
        self.change_account(id, user::Column::Blocked, Expr::val(blocked)).await
    }

    /// Notes that the account has a factor from now on, and raises the security version.
    pub async fn save_enrolment(&self, id: UserId, now: Timestamp) -> Result<Swap, Error> {
        let first = Func::coalesce([Expr::col(user::Column::FirstEnrollTime), Expr::val(now.millis())]);
        self.change_account(id, user::Column::FirstEnrollTime, first.into()).await
    }

    /// Removes an account and all that is kept under its id. Its counters lie under hashes: see `delete_buckets_of`.
    pub async fn delete_account(&self, id: UserId) -> Result<Swap, Error> {
        let id = id.uuid();
        let failures = factor_failure::Entity::delete_many().filter(factor_failure::Column::UserId.eq(id));
        failures.exec(&self.inner).await.map_err(outage)?;
        let factors = factor::Entity::delete_many().filter(factor::Column::UserId.eq(id));
        factors.exec(&self.inner).await.map_err(outage)?;
        let sessions = session::Entity::delete_many().filter(session::Column::UserId.eq(id));
        sessions.exec(&self.inner).await.map_err(outage)?;
        let tokens = password_token::Entity::delete_many().filter(password_token::Column::UserId.eq(id));
        tokens.exec(&self.inner).await.map_err(outage)?;
        let requests = create_request::Entity::delete_many().filter(create_request::Column::UserId.eq(id));
        requests.exec(&self.inner).await.map_err(outage)?;
        let done = user::Entity::delete_by_id(id).exec(&self.inner).await.map_err(outage)?;
        Ok(Swap::from_rows(done.rows_affected))
    }

    /// How many administrators there are beside one who can sign in. Ask behind `lock_settings`.
    pub async fn count_other_admins(&self, but: UserId) -> Result<u64, Error> {
        let others = user::Entity::find()
            .filter(user::Column::Role.eq(Role::Admin.as_str()))
            .filter(user::Column::Blocked.eq(false))
            .filter(user::Column::PasswordHash.is_not_null())
            .filter(user::Column::Id.ne(but.uuid()));
        others.count(&self.inner).await.map_err(outage)
    }

    async fn change_account(&self, id: UserId, column: user::Column, value: Expr) -> Result<Swap, Error> {
        let done = user::Entity::update_many()
            .col_expr(column, value)
            .col_expr(user::Column::SecurityVersion, Expr::col(user::Column::SecurityVersion).add(1))
            .filter(user::Column::Id.eq(id.uuid()))
            .exec(&self.inner)
            .await
            .map_err(outage)?;
        Ok(Swap::from_rows(done.rows_affected))
    }

    /// Raises the security version: every open challenge of the account dies.
    pub async fn raise_security_version(&self, id: UserId) -> Result<Swap, Error> {
        let done = user::Entity::update_many()
            .col_expr(user::Column::SecurityVersion, Expr::col(user::Column::SecurityVersion).add(1))
            .filter(user::Column::Id.eq(id.uuid()))
            .exec(&self.inner)
            .await
            .map_err(outage)?;
        Ok(Swap::from_rows(done.rows_affected))
    }
}

pub(super) fn account(row: user::Model, ring: &KeyRing) -> Result<Account, Error> {
    let id = UserId::from_uuid(row.id);
    let email = String::from_utf8(row.email_typed).context("a stored e-mail address is not UTF-8")?;
    let email = Email::parse(&email).map_err(|problem| anyhow::anyhow!("a stored e-mail address {problem}"))?;
    let role = Role::from_word(&row.role).context("a stored role is unknown")?;
    // What does not open is not there: no password is right, and no number is sent to. The ring remembers it, and it is told of.
    let open = |sealed: Option<Vec<u8>>| sealed.map(|sealed| undamaged(open_password_hash(ring, id, &sealed)));
    let password_hash = open(row.password_hash).transpose()?.flatten();
    let phone = row.phone.map(|sealed| undamaged(open_phone(ring, id, &sealed))).transpose()?.flatten();
    let notice_email = row.notice_email.map(|sealed| undamaged(open_notice_email(ring, id, &sealed)));
    let notice_email = notice_email.transpose()?.flatten();
    Ok(Account {
        id,
        email,
        role,
        blocked: row.blocked,
        security_version: row.security_version,
        password_hash,
        phone,
        notice_email,
        create_time: Timestamp::from_millis(row.create_time),
        // Accounts from before this was noted have had their role since they were made.
        role_time: Timestamp::from_millis(std::cmp::max(row.role_time, row.create_time)),
    })
}

fn seal_password_hash(ring: &KeyRing, id: UserId, hash: &PasswordHash) -> Result<Vec<u8>, Error> {
    Ok(ring.seal(password_place(&id), hash.expose().as_bytes())?)
}

fn open_password_hash(ring: &KeyRing, id: UserId, sealed: &[u8]) -> Result<PasswordHash, Error> {
    let plain = ring.open(password_place(&id), sealed)?;
    let text = String::from_utf8(plain.expose().clone()).context("a stored password hash is not text")?;
    Ok(Secret::new(text))
}

fn password_place(id: &UserId) -> Place<'_> {
    Place { table: "users", column: "password_hash", user: id.bytes(), row: id.bytes() }
}

fn seal_phone(ring: &KeyRing, id: UserId, phone: &PhoneNumber) -> Result<Vec<u8>, Error> {
    Ok(ring.seal(phone_place(&id), phone.expose().as_bytes())?)
}

fn open_phone(ring: &KeyRing, id: UserId, sealed: &[u8]) -> Result<PhoneNumber, Error> {
    let plain = ring.open(phone_place(&id), sealed)?;
    let number = std::str::from_utf8(plain.expose()).ok().and_then(PhoneNumber::from_e164);
    Ok(number.context("a stored phone number is none")?)
}

fn phone_place(id: &UserId) -> Place<'_> {
    Place { table: "users", column: "phone", user: id.bytes(), row: id.bytes() }
}

fn seal_notice_email(ring: &KeyRing, id: UserId, email: &Email) -> Result<Vec<u8>, Error> {
    Ok(ring.seal(notice_email_place(&id), email.typed().as_bytes())?)
}

fn open_notice_email(ring: &KeyRing, id: UserId, sealed: &[u8]) -> Result<Email, Error> {
    let plain = ring.open(notice_email_place(&id), sealed)?;
    let email = std::str::from_utf8(plain.expose()).ok().and_then(|text| Email::parse(text).ok());
    Ok(email.context("a stored second address is none")?)
}

fn notice_email_place(id: &UserId) -> Place<'_> {
    Place { table: "users", column: "notice_email", user: id.bytes(), row: id.bytes() }
}
