//! The policy with its seed, password tokens, and the counters of passwords.

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
        manager.create_table(settings()).await?;
        manager.execute(seed()).await?;
        manager.create_table(password_tokens()).await?;
        create_index(manager, "password_tokens_by_user", "password_tokens", &["user_id"]).await?;
        manager.create_table(buckets()).await?;
        create_index(manager, "buckets_by_owner", "buckets", &["owner_hash"]).await?;
        create_index(manager, "buckets_by_end_time", "buckets", &["end_time"]).await?;
        manager.create_table(known_networks()).await?;
        create_index(manager, "known_networks_by_owner", "known_networks", &["owner_hash"]).await?;
        create_index(manager, "known_networks_by_end_time", "known_networks", &["end_time"]).await
    }
}

fn settings() -> TableCreateStatement {
    Table::create()
        .table("settings")
        .if_not_exists()
        .col(ColumnDef::new("id").small_integer().not_null().primary_key())
        .col(ColumnDef::new("two_fa_enabled").boolean().not_null())
        .col(ColumnDef::new("allowed_methods").string_len(255).not_null())
        .col(ColumnDef::new("preferred_method").string_len(16).not_null())
        .col(ColumnDef::new("backup_codes_enabled").boolean().not_null())
        .col(ColumnDef::new("required_for").string_len(16).not_null())
        .col(ColumnDef::new("grace_admins_seconds").big_integer().not_null())
        .col(ColumnDef::new("grace_all_seconds").big_integer().not_null())
        .col(ColumnDef::new("totp_digits").small_integer().not_null())
        .col(ColumnDef::new("sms_digits").small_integer().not_null())
        .col(ColumnDef::new("sms_code_life_seconds").big_integer().not_null())
        .col(ColumnDef::new("version").big_integer().not_null())
        .to_owned()
}

fn seed() -> InsertStatement {
    let row: [(&'static str, Expr); 12] = [
        ("id", 1.into()),
        ("two_fa_enabled", true.into()),
        ("allowed_methods", "totp phone backup_code".into()),
        ("preferred_method", "totp".into()),
        ("backup_codes_enabled", true.into()),
        ("required_for", "admins".into()),
        ("grace_admins_seconds", 0.into()),
        ("grace_all_seconds", (7 * 24 * 60 * 60).into()),
        ("totp_digits", 6.into()),
        ("sms_digits", 6.into()),
        ("sms_code_life_seconds", 300.into()),
        ("version", 1.into()),
    ];
    let (columns, values): (Vec<_>, Vec<_>) = row.into_iter().unzip();
    let mut insert = Query::insert();
    let as_it_is = OnConflict::column("id").do_nothing_on(["id"]).to_owned();
    insert.into_table("settings").columns(columns).values_panic(values).on_conflict(as_it_is);
    insert
}

fn password_tokens() -> TableCreateStatement {
    Table::create()
        .table("password_tokens")
        .if_not_exists()
        .col(ColumnDef::new("token_hash").var_binary(32).not_null().primary_key())
        .col(ColumnDef::new("user_id").uuid().not_null())
        .col(ColumnDef::new("end_time").big_integer().not_null())
        .to_owned()
}

/// Counters that outlast everything, for accounts that are known and for names that are not, alike.
fn buckets() -> TableCreateStatement {
    Table::create()
        .table("buckets")
        .if_not_exists()
        .col(ColumnDef::new("bucket_hash").var_binary(32).not_null().primary_key())
        .col(ColumnDef::new("owner_hash").var_binary(32).not_null())
        .col(ColumnDef::new("failures").big_integer().not_null())
        .col(ColumnDef::new("locked_until").big_integer().not_null())
        .col(ColumnDef::new("end_time").big_integer().not_null())
        .to_owned()
}

/// Networks from which the right password of an account was shown.
fn known_networks() -> TableCreateStatement {
    Table::create()
        .table("known_networks")
        .if_not_exists()
        .col(ColumnDef::new("network_hash").var_binary(32).not_null().primary_key())
        .col(ColumnDef::new("owner_hash").var_binary(32).not_null())
        .col(ColumnDef::new("end_time").big_integer().not_null())
        .to_owned()
}
