//! How far the database has come, so that one that was set back can be told; and whether a restored one is being fenced.

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
        manager.create_table(restore_fence()).await?;
        let mut seed = Query::insert();
        let as_it_is = OnConflict::column("id").do_nothing_on(["id"]).to_owned();
        seed.into_table("restore_fence")
            .columns(["id", "epoch"])
            .values_panic([1.into(), 0.into()])
            .on_conflict(as_it_is);
        manager.execute(seed).await
    }
}

/// One row.
fn restore_fence() -> TableCreateStatement {
    Table::create()
        .table("restore_fence")
        .if_not_exists()
        .col(ColumnDef::new("id").small_integer().not_null().primary_key())
        .col(ColumnDef::new("epoch").big_integer().not_null())
        // When a fence was begun that has not ended.
        .col(ColumnDef::new("begin_time").big_integer().null())
        // When the last one has.
        .col(ColumnDef::new("end_time").big_integer().null())
        .to_owned()
}
