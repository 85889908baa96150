//! The audit log.

use sea_orm_migration::prelude::*;

use crate::create_index;

/// See the file.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(audit_events()).await?;
        create_index(manager, "audit_events_by_subject", "audit_events", &["subject_id", "create_time"]).await
    }
}

fn audit_events() -> TableCreateStatement {
    Table::create()
        .table("audit_events")
        .if_not_exists()
        .col(ColumnDef::new("id").uuid().not_null().primary_key())
        .col(ColumnDef::new("create_time").big_integer().not_null())
        .col(ColumnDef::new("kind").string_len(64).not_null())
        .col(ColumnDef::new("reason").string_len(64).null())
        .col(ColumnDef::new("subject_id").uuid().null())
        .col(ColumnDef::new("identifier_hash").var_binary(32).null())
        .col(ColumnDef::new("session_id").uuid().null())
        .col(ColumnDef::new("method").string_len(32).null())
        .col(ColumnDef::new("count").big_integer().null())
        .col(ColumnDef::new("source").string_len(45).not_null())
        .col(ColumnDef::new("user_agent").var_binary(256).not_null())
        .col(ColumnDef::new("request_id").string_len(64).not_null())
        .to_owned()
}
