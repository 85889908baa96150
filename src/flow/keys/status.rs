//! Which keys there are, who holds them, and how far values were sealed anew.

use std::time::Duration;

use crate::{
    clock::Timestamp,
    error::Error,
    seal::{KeyState, KeyUse, WrappedKey},
    store::{Replica, SealedColumn, Store},
};

/// A replica that has said nothing for so long is not live.
pub const LIVE: Duration = Duration::from_secs(30);

/// The keys.
pub struct KeyStatus {
    /// Every data key.
    pub keys: Vec<WrappedKey>,
    /// The live replicas.
    pub replicas: Vec<Replica>,
    /// Sealed columns that have values of keys that are not the active one.
    pub columns: Vec<ColumnStatus>,
}

/// A sealed column that is not sealed anew yet.
pub struct ColumnStatus {
    /// The column.
    pub column: SealedColumn,
    /// The key.
    pub key_id: String,
    /// So many values are sealed by it.
    pub left: u64,
}

/// Looks at the keys.
pub async fn key_status(store: &Store, machine: Timestamp) -> Result<KeyStatus, Error> {
    let keys = store.data_keys().await?;
    let mut columns = Vec::new();
    let is_old =
        |key: &&WrappedKey| key.key_use == KeyUse::Seal && matches!(key.state, KeyState::Readable | KeyState::Disabled);
    for key in keys.iter().filter(is_old) {
        for column in SealedColumn::ALL {
            let left = store.count_sealed_by(column, &key.id).await?;
            if left > 0 {
                columns.push(ColumnStatus { column, key_id: key.id.clone(), left });
            }
        }
    }
    Ok(KeyStatus { keys, replicas: store.replicas_since(machine.minus(LIVE)).await?, columns })
}

/// The live replicas that do not hold a key.
pub async fn lacking(store: &Store, key_id: &str, machine: Timestamp) -> Result<Vec<String>, Error> {
    let replicas = store.replicas_since(machine.minus(LIVE)).await?;
    let lacks = |replica: &Replica| !replica.held.holds.iter().any(|held| held == key_id);
    Ok(replicas.into_iter().filter(lacks).map(|replica| replica.id).collect())
}

/// The live replicas that make new values with a key.
pub async fn making(store: &Store, key_id: &str, machine: Timestamp) -> Result<Vec<String>, Error> {
    let replicas = store.replicas_since(machine.minus(LIVE)).await?;
    let makes = |replica: &Replica| replica.held.makes_with.iter().any(|made| made == key_id);
    Ok(replicas.into_iter().filter(makes).map(|replica| replica.id).collect())
}
