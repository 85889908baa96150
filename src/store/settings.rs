//! The policy: one row, seeded by the migration that made its table.

use std::time::Duration;

use anyhow::Context;
use sea_orm::EntityTrait;

use super::{Store, entity::setting, outage};
use crate::{
    error::Error,
    model::{Method, RequiredFor, Settings},
};

const ROW: i16 = 1;

impl Store {
    /// The policy as it is now.
    pub async fn settings(&self) -> Result<Settings, Error> {
        let row = setting::Entity::find_by_id(ROW).one(&self.reader).await.map_err(outage)?;
        let row = row.context("the policy is not in the database")?;
        // A method that this release does not know cannot be allowed by it.
        let allowed_methods = row.allowed_methods.split_ascii_whitespace().filter_map(Method::from_word).collect();
        Ok(Settings {
            two_fa_enabled: row.two_fa_enabled,
            allowed_methods,
            preferred_method: Method::from_word(&row.preferred_method).unwrap_or(Method::Totp),
            backup_codes_enabled: row.backup_codes_enabled,
            required_for: RequiredFor::from_word(&row.required_for).context("a stored policy word is unknown")?,
            totp_digits: u8::try_from(row.totp_digits).context("a stored number of digits is out of range")?,
            sms_digits: u8::try_from(row.sms_digits).context("a stored number of digits is out of range")?,
            sms_code_life: Duration::from_secs(
                u64::try_from(row.sms_code_life_seconds).context("a stored time is out of range")?,
            ),
        })
    }
}
