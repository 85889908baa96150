//! Schema migrations, written for SQLite, PostgreSQL and MySQL alike. A crate of its own: a migration states what the schema
//! was and becomes, and cannot name an entity that lives on and changes.
//!
//! MySQL commits each statement that changes the schema, so a migration that was cut off has done a part. Every statement is one
//! that can be said again. And the release before must go on working on what a migration makes: columns come with a default or
//! may be null, and go one release after the last that reads them.

pub use sea_orm_migration::{Migration, MigratorTrait};
use sea_orm_migration::{
    MigrationTrait, async_trait,
    prelude::{ColumnDef, DbErr, DynIden, Index, IntoIden, SchemaManager, Table},
};

mod m0001_accounts;
mod m0002_sessions;
mod m0003_audit;
mod m0004_policy;
mod m0005_sweep;
mod m0006_phone;
mod m0007_admin;
mod m0008_enrolled;
mod m0009_roles;
mod m0010_audit_chain;
mod m0011_deliveries;
mod m0012_data_keys;
mod m0013_restore_fence;

/// Every migration in order.
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_accounts::Migration),
            Box::new(m0002_sessions::Migration),
            Box::new(m0003_audit::Migration),
            Box::new(m0004_policy::Migration),
            Box::new(m0005_sweep::Migration),
            Box::new(m0006_phone::Migration),
            Box::new(m0007_admin::Migration),
            Box::new(m0008_enrolled::Migration),
            Box::new(m0009_roles::Migration),
            Box::new(m0010_audit_chain::Migration),
            Box::new(m0011_deliveries::Migration),
            Box::new(m0012_data_keys::Migration),
            Box::new(m0013_restore_fence::Migration),
        ]
    }

    fn migration_table_name() -> DynIden {
        "schema_migrations".into_iden()
    }
}

/// Adds a column unless it is there.
async fn add_column(
    manager: &SchemaManager<'_>,
    table: &'static str,
    name: &'static str,
    column: ColumnDef,
) -> Result<(), DbErr> {
    if manager.has_column(table, name).await? {
        return Ok(());
    }
    manager.alter_table(Table::alter().table(table).add_column(column).to_owned()).await
}

/// Makes an index unless it is there. (MySQL has no words for that.)
async fn create_index(
    manager: &SchemaManager<'_>,
    name: &'static str,
    table: &'static str,
    columns: &[&'static str],
) -> Result<(), DbErr> {
    if manager.has_index(table, name).await? {
        return Ok(());
    }
    let mut index = Index::create();
    index.name(name).table(table);
    for column in columns {
        index.col(*column);
    }
    manager.create_index(index).await
}
