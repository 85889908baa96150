//! Sessions with their refresh tokens, and the challenges that are spent.

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
        manager.create_table(sessions()).await?;
        create_index(manager, "sessions_by_user", "sessions", &["user_id"]).await?;
        create_index(manager, "sessions_by_idle_end_time", "sessions", &["idle_end_time"]).await?;
        create_index(manager, "sessions_by_successor_end_time", "sessions", &["successor_end_time"]).await?;
        manager.create_table(spent_challenges()).await?;
        create_index(manager, "spent_challenges_by_end_time", "spent_challenges", &["end_time"]).await
    }
}

fn sessions() -> TableCreateStatement {
    Table::create()
        .table("sessions")
        .if_not_exists()
        .col(ColumnDef::new("id").uuid().not_null().primary_key())
        .col(ColumnDef::new("user_id").uuid().not_null())
        .col(ColumnDef::new("auth_time").big_integer().not_null())
        .col(ColumnDef::new("amr").string_len(255).not_null())
        .col(ColumnDef::new("factor_count").small_integer().not_null())
        .col(ColumnDef::new("create_time").big_integer().not_null())
        .col(ColumnDef::new("refresh_time").big_integer().null())
        // Never later than end_time.
        .col(ColumnDef::new("idle_end_time").big_integer().not_null())
        .col(ColumnDef::new("end_time").big_integer().not_null())
        .col(ColumnDef::new("refresh_family").var_binary(32).not_null())
        .col(ColumnDef::new("refresh_hash").var_binary(32).not_null())
        .col(ColumnDef::new("refresh_previous_hash").var_binary(32).null())
        .col(ColumnDef::new("successor").var_binary(512).null())
        .col(ColumnDef::new("successor_end_time").big_integer().null())
        .col(ColumnDef::new("source").string_len(45).not_null())
        .col(ColumnDef::new("user_agent").var_binary(256).not_null())
        .to_owned()
}

fn spent_challenges() -> TableCreateStatement {
    Table::create()
        .table("spent_challenges")
        .if_not_exists()
        .col(ColumnDef::new("challenge_hash").var_binary(32).not_null().primary_key())
        .col(ColumnDef::new("end_time").big_integer().not_null())
        .to_owned()
}
