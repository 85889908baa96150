//! The policy with its seed, password tokens, and the counters of passwords.

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
        manager.create_table(settings()).await?;
        manager.execute(seed()).await?;
        manager.create_table(password_tokens()).await?;
        manager.create_index(index("password_tokens_by_user", "password_tokens", "user_id")).await?;
        manager.create_table(buckets()).await?;
        manager.create_index(index("buckets_by_owner", "buckets", "owner_hash")).await?;
        manager.create_index(index("buckets_by_end_time", "buckets", "end_time")).await?;
        manager.create_table(known_networks()).await?;
        manager.create_index(index("known_networks_by_owner", "known_networks", "owner_hash")).await?;
        manager.create_index(index("known_networks_by_end_time", "known_networks", "end_time")).await
    }
}

fn settings() -> TableCreateStatement {
    Table::create()
        .table("settings")
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
    insert.into_table("settings").columns(columns).values_panic(values);
    insert
}

fn password_tokens() -> TableCreateStatement {
    Table::create()
        .table("password_tokens")
        .col(ColumnDef::new("token_hash").var_binary(32).not_null().primary_key())
        .col(ColumnDef::new("user_id").uuid().not_null())
        .col(ColumnDef::new("end_time").big_integer().not_null())
        .to_owned()
}

/// Counters that outlast everything, for accounts that are known and for names that are not, alike.
fn buckets() -> TableCreateStatement {
    Table::create()
        .table("buckets")
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
        .col(ColumnDef::new("network_hash").var_binary(32).not_null().primary_key())
        .col(ColumnDef::new("owner_hash").var_binary(32).not_null())
        .col(ColumnDef::new("end_time").big_integer().not_null())
        .to_owned()
}

fn index(name: &'static str, table: &'static str, column: &'static str) -> IndexCreateStatement {
    Index::create().name(name).table(table).col(column).to_owned()
}
