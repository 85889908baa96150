//! What administrators need: who did it and why, every version of the policy, and requests that may come twice.

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
        let column = |name| ColumnDef::new(name);
        let admin = column("admin_id").uuid().null().to_owned();
        add_column(manager, "audit_events", "admin_id", admin).await?;
        add_column(manager, "audit_events", "note", column("note").var_binary(1024).null().to_owned()).await?;
        let enrolled = column("first_enroll_time").big_integer().null().to_owned();
        add_column(manager, "users", "first_enroll_time", enrolled).await?;
        let role_time = column("role_time").big_integer().not_null().default(0).to_owned();
        add_column(manager, "users", "role_time", role_time).await?;
        for time in ["admins_since", "all_since", "change_time"] {
            let time_column = column(time).big_integer().not_null().default(0).to_owned();
            add_column(manager, "settings", time, time_column).await?;
        }
        manager.create_table(settings_versions()).await?;
        manager.create_table(create_requests()).await?;
        create_index(manager, "create_requests_by_end_time", "create_requests", &["end_time"]).await?;
        create_index(manager, "create_requests_by_user", "create_requests", &["user_id"]).await
    }
}

/// Every version of the policy that an administrator has saved, and who did.
fn settings_versions() -> TableCreateStatement {
    Table::create()
        .table("settings_versions")
        .if_not_exists()
        .col(ColumnDef::new("version").big_integer().not_null().primary_key())
        .col(ColumnDef::new("change_time").big_integer().not_null())
        .col(ColumnDef::new("admin_id").uuid().null())
        .col(ColumnDef::new("two_fa_enabled").boolean().not_null())
        .col(ColumnDef::new("allowed_methods").string_len(255).not_null())
        .col(ColumnDef::new("preferred_method").string_len(16).not_null())
        .col(ColumnDef::new("backup_codes_enabled").boolean().not_null())
        .col(ColumnDef::new("required_for").string_len(16).not_null())
        .col(ColumnDef::new("grace_admins_seconds").big_integer().not_null())
        .col(ColumnDef::new("grace_all_seconds").big_integer().not_null())
        .col(ColumnDef::new("admins_since").big_integer().not_null())
        .col(ColumnDef::new("all_since").big_integer().not_null())
        .col(ColumnDef::new("totp_digits").small_integer().not_null())
        .col(ColumnDef::new("sms_digits").small_integer().not_null())
        .col(ColumnDef::new("sms_code_life_seconds").big_integer().not_null())
        .to_owned()
}

/// Requests to make an account, for as long as they may come again.
fn create_requests() -> TableCreateStatement {
    Table::create()
        .table("create_requests")
        .if_not_exists()
        .col(ColumnDef::new("request_hash").var_binary(32).not_null().primary_key())
        .col(ColumnDef::new("content_hash").var_binary(32).not_null())
        .col(ColumnDef::new("user_id").uuid().not_null())
        .col(ColumnDef::new("end_time").big_integer().not_null())
        .to_owned()
}
