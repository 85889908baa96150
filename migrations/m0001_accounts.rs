//! Key checks, accounts, factors, and the failures of each account's factors.

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
        manager.create_table(key_checks()).await?;
        manager.create_table(users()).await?;
        manager.create_table(factors()).await?;
        create_index(manager, "factors_by_user", "factors", &["user_id"]).await?;
        manager.create_table(factor_failures()).await
    }
}

fn key_checks() -> TableCreateStatement {
    Table::create()
        .table("key_checks")
        .if_not_exists()
        .col(ColumnDef::new("id").string_len(64).not_null().primary_key())
        .col(ColumnDef::new("key_use").string_len(16).not_null())
        .col(ColumnDef::new("check_value").var_binary(16).not_null())
        .col(ColumnDef::new("create_time").big_integer().not_null())
        .to_owned()
}

fn users() -> TableCreateStatement {
    Table::create()
        .table("users")
        .if_not_exists()
        .col(ColumnDef::new("id").uuid().not_null().primary_key())
        .col(ColumnDef::new("email_typed").var_binary(254).not_null())
        // Bytes, so that every database compares them alike: no collation merges two accounts.
        .col(ColumnDef::new("email_canonical").var_binary(254).not_null().unique_key())
        .col(ColumnDef::new("role").string_len(16).not_null())
        .col(ColumnDef::new("blocked").boolean().not_null().default(false))
        .col(ColumnDef::new("security_version").big_integer().not_null().default(1))
        .col(ColumnDef::new("password_hash").var_binary(1024).null())
        .col(ColumnDef::new("create_time").big_integer().not_null())
        .to_owned()
}

fn factors() -> TableCreateStatement {
    Table::create()
        .table("factors")
        .if_not_exists()
        .col(ColumnDef::new("id").uuid().not_null().primary_key())
        .col(ColumnDef::new("user_id").uuid().not_null())
        .col(ColumnDef::new("method").string_len(16).not_null())
        .col(ColumnDef::new("label").var_binary(256).not_null())
        .col(ColumnDef::new("data").blob().not_null())
        // For methods whose factors are found by a name of their own, such as a credential id.
        .col(ColumnDef::new("handle").var_binary(255).null().unique_key())
        .col(ColumnDef::new("spent").big_integer().not_null())
        .col(ColumnDef::new("version").big_integer().not_null().default(1))
        .col(ColumnDef::new("create_time").big_integer().not_null())
        .col(ColumnDef::new("last_use_time").big_integer().null())
        .to_owned()
}

fn factor_failures() -> TableCreateStatement {
    Table::create()
        .table("factor_failures")
        .if_not_exists()
        .col(ColumnDef::new("user_id").uuid().not_null())
        .col(ColumnDef::new("failure_key").string_len(32).not_null())
        .col(ColumnDef::new("failures").big_integer().not_null())
        .col(ColumnDef::new("locked_until").big_integer().not_null())
        .primary_key(Index::create().col("user_id").col("failure_key"))
        .to_owned()
}
