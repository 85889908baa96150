//! Phone numbers of accounts, and what is known of blocks of numbers that text messages go to.

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
        add_column(manager, "users", "phone", ColumnDef::new("phone").var_binary(255).null().to_owned()).await?;
        manager.create_table(sms_prefixes()).await?;
        create_index(manager, "sms_prefixes_by_end_time", "sms_prefixes", &["end_time"]).await
    }
}

/// How many messages went to each block of numbers in an hour, and how many of their codes came back.
fn sms_prefixes() -> TableCreateStatement {
    Table::create()
        .table("sms_prefixes")
        .if_not_exists()
        .col(ColumnDef::new("prefix").string_len(8).not_null().primary_key())
        .col(ColumnDef::new("sent").big_integer().not_null())
        .col(ColumnDef::new("verified").big_integer().not_null())
        .col(ColumnDef::new("end_time").big_integer().not_null())
        .to_owned()
}
