//! Schema migrations, written for SQLite, PostgreSQL and MySQL alike. A crate of its own: a migration states what the schema
//! was and becomes, and cannot name an entity that lives on and changes.

pub use sea_orm_migration::{Migration, MigratorTrait};
use sea_orm_migration::{
    MigrationTrait, async_trait,
    prelude::{DynIden, IntoIden},
};

mod m0001_accounts;
mod m0002_sessions;
mod m0003_audit;
mod m0004_policy;

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
        ]
    }

    fn migration_table_name() -> DynIden {
        "schema_migrations".into_iden()
    }
}
