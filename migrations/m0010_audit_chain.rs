//! What makes the audit log tamper-evident: a keyed hash of each row, its place in a chain, and the end of that chain.

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
        add_column(manager, "audit_events", "trace_id", column("trace_id").string_len(32).null().to_owned()).await?;
        add_column(manager, "audit_events", "mac", column("mac").var_binary(32).null().to_owned()).await?;
        add_column(manager, "audit_events", "seal_time", column("seal_time").big_integer().null().to_owned()).await?;
        add_column(manager, "audit_events", "position", column("position").big_integer().null().to_owned()).await?;
        add_column(manager, "audit_events", "chain_hash", column("chain_hash").var_binary(32).null().to_owned())
            .await?;
        // With the id: what has no place yet is sealed in its order.
        create_index(manager, "audit_events_by_position", "audit_events", &["position", "id"]).await?;
        create_index(manager, "audit_events_by_subject_position", "audit_events", &["subject_id", "position"]).await?;
        manager.create_table(audit_chain()).await?;
        manager.execute(seed()).await
    }
}

/// The end of the chain, where it begins since older rows were dropped, and who seals now: one row.
fn audit_chain() -> TableCreateStatement {
    Table::create()
        .table("audit_chain")
        .if_not_exists()
        .col(ColumnDef::new("id").small_integer().not_null().primary_key())
        .col(ColumnDef::new("position").big_integer().not_null())
        .col(ColumnDef::new("hash").var_binary(32).not_null())
        .col(ColumnDef::new("key_id").string_len(64).not_null())
        .col(ColumnDef::new("signature").var_binary(64).not_null())
        .col(ColumnDef::new("anchor_position").big_integer().not_null())
        .col(ColumnDef::new("anchor_hash").var_binary(32).not_null())
        .col(ColumnDef::new("anchor_authenticated").boolean().not_null())
        .col(ColumnDef::new("anchor_key_id").string_len(64).not_null())
        .col(ColumnDef::new("anchor_signature").var_binary(64).not_null())
        .col(ColumnDef::new("lease_holder").string_len(40).not_null())
        .col(ColumnDef::new("lease_end_time").big_integer().not_null())
        .to_owned()
}

fn seed() -> InsertStatement {
    let nothing = || Expr::val(Vec::<u8>::new());
    let beginning = || Expr::val(vec![0_u8; 32]);
    let row: [(&'static str, Expr); 12] = [
        ("id", 1.into()),
        ("position", 0.into()),
        ("hash", beginning()),
        ("key_id", "".into()),
        ("signature", nothing()),
        ("anchor_position", 0.into()),
        ("anchor_hash", beginning()),
        ("anchor_authenticated", false.into()),
        ("anchor_key_id", "".into()),
        ("anchor_signature", nothing()),
        ("lease_holder", "".into()),
        ("lease_end_time", 0.into()),
    ];
    let (columns, values): (Vec<_>, Vec<_>) = row.into_iter().unzip();
    let mut insert = Query::insert();
    let as_it_is = OnConflict::column("id").do_nothing_on(["id"]).to_owned();
    insert.into_table("audit_chain").columns(columns).values_panic(values).on_conflict(as_it_is);
    insert
}
