//! What is told to the outside, to webhooks and by mail: what waits to be handed over, and how far the audit log was read for it.
//! And a second address for each account.

use sea_orm_migration::prelude::*;

use crate::{add_column, create_index};

/// See the file.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Sealed: 254 bytes and what sealing adds.
        let address = ColumnDef::new("notice_email").var_binary(400).null().to_owned();
        add_column(manager, "users", "notice_email", address).await?;
        manager.create_table(deliveries()).await?;
        create_index(manager, "deliveries_by_channel_due_time", "deliveries", &["channel", "due_time"]).await?;
        manager.create_table(delivery_cursors()).await
    }
}

/// What waits to be handed over. Without a time at which it is due it was given up.
fn deliveries() -> TableCreateStatement {
    Table::create()
        .table("deliveries")
        .if_not_exists()
        .col(ColumnDef::new("id").uuid().not_null().primary_key())
        .col(ColumnDef::new("channel").string_len(16).not_null())
        .col(ColumnDef::new("kind").string_len(40).not_null())
        .col(ColumnDef::new("body").blob().not_null())
        .col(ColumnDef::new("create_time").big_integer().not_null())
        .col(ColumnDef::new("due_time").big_integer().null())
        .col(ColumnDef::new("attempts").big_integer().not_null())
        .col(ColumnDef::new("failure").string_len(200).null())
        .col(ColumnDef::new("give_up_time").big_integer().null())
        .to_owned()
}

/// How far each reader has read the audit log, and how many failed sign-ins it has counted in a window.
fn delivery_cursors() -> TableCreateStatement {
    Table::create()
        .table("delivery_cursors")
        .if_not_exists()
        .col(ColumnDef::new("name").string_len(32).not_null().primary_key())
        .col(ColumnDef::new("position").big_integer().not_null())
        .col(ColumnDef::new("failures").big_integer().not_null())
        .col(ColumnDef::new("window_end_time").big_integer().not_null())
        .to_owned()
}
