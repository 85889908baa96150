//! What the database keeps of the key ring, to know it by.

use sea_orm::{ActiveValue::Set, EntityTrait};

use super::{Look, Tx, entity::key_check, outage};
use crate::{clock::Timestamp, error::Error, seal::KeyCheck};

impl Look {
    /// The check values of every key that the database was used with; none when it was never used.
    pub async fn key_checks(&self) -> anyhow::Result<Vec<KeyCheck>> {
        if !self.has_table("key_checks").await? {
            return Ok(Vec::new());
        }
        let rows = key_check::Entity::find().all(&self.0).await?;
        let check = |row: key_check::Model| KeyCheck {
            id: row.id,
            key_use: row.key_use,
            value: row.check_value,
            create_time: Timestamp::from_millis(row.create_time),
        };
        Ok(rows.into_iter().map(check).collect())
    }
}

impl Tx {
    /// Keeps the check value of a key.
    pub async fn insert_key_check(&self, check: &KeyCheck) -> Result<(), Error> {
        let row = key_check::ActiveModel {
            id: Set(check.id.clone()),
            key_use: Set(check.key_use.clone()),
            check_value: Set(check.value.clone()),
            create_time: Set(check.create_time.millis()),
        };
        key_check::Entity::insert(row).exec_without_returning(&self.inner).await.map_err(outage)?;
        Ok(())
    }
}
