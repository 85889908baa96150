//! The policy: one row, seeded by the migration that made its table; and every version of it that was saved.

use std::time::Duration;

use anyhow::Context;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, OnConflict},
};

use super::{
    Store, Tx,
    entity::{setting, settings_version},
    outage,
};
use crate::{
    clock::Timestamp,
    error::Error,
    model::{Grace, Method, RequiredFor, Settings, SettingsVersion, UserId},
    swap::Swap,
};

const ROW: i16 = 1;

impl Store {
    /// The policy as it is now.
    pub async fn settings(&self) -> Result<Settings, Error> {
        let row = setting::Entity::find_by_id(ROW).one(&self.reader).await.map_err(outage)?;
        settings(row.context("the policy is not in the database")?)
    }

    /// At most `count` versions of the policy, the newest first, from the one before `before` on.
    pub async fn settings_versions(&self, before: Option<i64>, count: u64) -> Result<Vec<SettingsVersion>, Error> {
        let mut all = settings_version::Entity::find();
        if let Some(before) = before {
            all = all.filter(settings_version::Column::Version.lt(before));
        }
        let newest_first = all.order_by_desc(settings_version::Column::Version).limit(count);
        let rows = newest_first.all(&self.reader).await.map_err(outage)?;
        rows.into_iter().map(version).collect()
    }
}

impl Tx {
    /// The policy, kept as it is until the transaction ends. Whatever could leave the service without an administrator comes by
    /// here first, so that of two at once the second sees what the first has done.
    pub async fn lock_settings(&self) -> Result<Settings, Error> {
        let row = setting::Entity::find_by_id(ROW).lock_exclusive().one(&self.inner).await.map_err(outage)?;
        settings(row.context("the policy is not in the database")?)
    }

    /// Puts a policy in the place of the one before it; Stale when that is no longer the one.
    pub async fn save_settings(&self, old: &Settings, new: &Settings, admin: UserId) -> Result<Swap, Error> {
        let column = |value: i64| Expr::val(value);
        let done = setting::Entity::update_many()
            .col_expr(setting::Column::Version, column(new.version))
            .col_expr(setting::Column::ChangeTime, column(new.change_time.map_or(0, Timestamp::millis)))
            .col_expr(setting::Column::TwoFaEnabled, Expr::val(new.two_fa_enabled))
            .col_expr(setting::Column::AllowedMethods, Expr::val(words(&new.allowed_methods)))
            .col_expr(setting::Column::PreferredMethod, Expr::val(new.preferred_method.as_str()))
            .col_expr(setting::Column::BackupCodesEnabled, Expr::val(new.backup_codes_enabled))
            .col_expr(setting::Column::RequiredFor, Expr::val(new.required_for.as_str()))
            .col_expr(setting::Column::GraceAdminsSeconds, column(seconds(new.admins.period)))
            .col_expr(setting::Column::GraceAllSeconds, column(seconds(new.users.period)))
            .col_expr(setting::Column::AdminsSince, column(new.admins.since.millis()))
            .col_expr(setting::Column::AllSince, column(new.users.since.millis()))
            .col_expr(setting::Column::TotpDigits, Expr::val(i16::from(new.totp_digits)))
            .col_expr(setting::Column::SmsDigits, Expr::val(i16::from(new.sms_digits)))
            .col_expr(setting::Column::SmsCodeLifeSeconds, column(seconds(new.sms_code_life)))
            .filter(setting::Column::Id.eq(ROW))
            .filter(setting::Column::Version.eq(old.version))
            .exec(&self.inner)
            .await
            .map_err(outage)?;
        if done.rows_affected == 0 {
            return Ok(Swap::Stale);
        }
        // The one before the first change has no row yet.
        self.keep_version(old, None).await?;
        self.keep_version(new, Some(admin)).await?;
        Ok(Swap::Done)
    }

    async fn keep_version(&self, settings: &Settings, admin: Option<UserId>) -> Result<(), Error> {
        let row = settings_version::ActiveModel {
            version: Set(settings.version),
            change_time: Set(settings.change_time.map_or(0, Timestamp::millis)),
            admin_id: Set(admin.map(|admin| admin.uuid())),
            two_fa_enabled: Set(settings.two_fa_enabled),
            allowed_methods: Set(words(&settings.allowed_methods)),
            preferred_method: Set(settings.preferred_method.as_str().to_owned()),
            backup_codes_enabled: Set(settings.backup_codes_enabled),
            required_for: Set(settings.required_for.as_str().to_owned()),
            grace_admins_seconds: Set(seconds(settings.admins.period)),
            grace_all_seconds: Set(seconds(settings.users.period)),
            admins_since: Set(settings.admins.since.millis()),
            all_since: Set(settings.users.since.millis()),
            totp_digits: Set(i16::from(settings.totp_digits)),
            sms_digits: Set(i16::from(settings.sms_digits)),
            sms_code_life_seconds: Set(seconds(settings.sms_code_life)),
        };
        let version = settings_version::Column::Version;
        settings_version::Entity::insert(row)
            .on_conflict(OnConflict::column(version).do_nothing_on([version]).to_owned())
            .exec_without_returning(&self.inner)
            .await
            .map_err(outage)?;
        Ok(())
    }
}

fn settings(row: setting::Model) -> Result<Settings, Error> {
    // A method that this release does not know cannot be allowed by it.
    let allowed_methods = row.allowed_methods.split_ascii_whitespace().filter_map(Method::from_word).collect();
    let grace = |since, seconds| -> Result<Grace, Error> {
        Ok(Grace { since: Timestamp::from_millis(since), period: period(seconds)? })
    };
    Ok(Settings {
        version: row.version,
        change_time: Some(row.change_time).filter(|time| *time != 0).map(Timestamp::from_millis),
        two_fa_enabled: row.two_fa_enabled,
        allowed_methods,
        preferred_method: Method::from_word(&row.preferred_method).unwrap_or(Method::Totp),
        backup_codes_enabled: row.backup_codes_enabled,
        required_for: RequiredFor::from_word(&row.required_for).context("a stored policy word is unknown")?,
        admins: grace(row.admins_since, row.grace_admins_seconds)?,
        users: grace(row.all_since, row.grace_all_seconds)?,
        totp_digits: u8::try_from(row.totp_digits).context("a stored number of digits is out of range")?,
        sms_digits: u8::try_from(row.sms_digits).context("a stored number of digits is out of range")?,
        sms_code_life: period(row.sms_code_life_seconds)?,
    })
}

fn version(row: settings_version::Model) -> Result<SettingsVersion, Error> {
    let admin = row.admin_id.map(UserId::from_uuid);
    let row = setting::Model {
        id: ROW,
        two_fa_enabled: row.two_fa_enabled,
        allowed_methods: row.allowed_methods,
        preferred_method: row.preferred_method,
        backup_codes_enabled: row.backup_codes_enabled,
        required_for: row.required_for,
        grace_admins_seconds: row.grace_admins_seconds,
        grace_all_seconds: row.grace_all_seconds,
        totp_digits: row.totp_digits,
        sms_digits: row.sms_digits,
        sms_code_life_seconds: row.sms_code_life_seconds,
        version: row.version,
        admins_since: row.admins_since,
        all_since: row.all_since,
        change_time: row.change_time,
    };
    Ok(SettingsVersion { settings: settings(row)?, admin })
}

fn words(methods: &[Method]) -> String {
    methods.iter().map(|method| method.as_str()).collect::<Vec<_>>().join(" ")
}

fn seconds(period: Duration) -> i64 {
    i64::try_from(period.as_secs()).unwrap_or(i64::MAX)
}

fn period(seconds: i64) -> Result<Duration, Error> {
    Ok(Duration::from_secs(u64::try_from(seconds).context("a stored time is out of range")?))
}
