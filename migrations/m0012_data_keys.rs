//! Data keys, wrapped by a root key that is not here; which processes hold which keys; and how far sealed values were sealed anew.

use sea_orm_migration::prelude::*;

/// See the file.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(data_keys()).await?;
        manager.create_table(replicas()).await?;
        manager.create_table(reseals()).await
    }
}

fn data_keys() -> TableCreateStatement {
    Table::create()
        .table("data_keys")
        .if_not_exists()
        .col(ColumnDef::new("id").string_len(64).not_null().primary_key())
        .col(ColumnDef::new("key_use").string_len(8).not_null())
        .col(ColumnDef::new("state").string_len(12).not_null())
        .col(ColumnDef::new("wrapped").var_binary(255).not_null())
        .col(ColumnDef::new("root_id").string_len(64).not_null())
        .col(ColumnDef::new("create_time").big_integer().not_null())
        .col(ColumnDef::new("active_time").big_integer().null())
        .col(ColumnDef::new("demote_time").big_integer().null())
        .to_owned()
}

/// The processes that serve, each with the ids of the keys that it holds, and of those that it makes new values with.
fn replicas() -> TableCreateStatement {
    Table::create()
        .table("replicas")
        .if_not_exists()
        .col(ColumnDef::new("id").string_len(40).not_null().primary_key())
        .col(ColumnDef::new("report_time").big_integer().not_null())
        .col(ColumnDef::new("holds").text().not_null())
        .col(ColumnDef::new("makes_with").text().not_null())
        .to_owned()
}

/// For each sealed column: the key that it is sealed anew with, and the last row that was looked at.
fn reseals() -> TableCreateStatement {
    Table::create()
        .table("reseals")
        .if_not_exists()
        .col(ColumnDef::new("name").string_len(40).not_null().primary_key())
        .col(ColumnDef::new("key_id").string_len(64).not_null())
        .col(ColumnDef::new("last_id").uuid().not_null())
        .col(ColumnDef::new("round_count").big_integer().not_null())
        .col(ColumnDef::new("done").boolean().not_null())
        .to_owned()
}
