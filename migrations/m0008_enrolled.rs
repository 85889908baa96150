//! Finds administrators by an index, and notes who had enrolled before that was noted. In a transaction apart from the one that adds
//! the columns: on a server that one keeps everybody out, and must be short.

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
        // As far as it can be known: those who have a factor now.
        let own = "FROM factors WHERE factors.user_id = users.id AND factors.method <> 'backup_code'";
        let known = format!(
            "UPDATE users SET first_enroll_time = (SELECT MIN(factors.create_time) {own}) \
             WHERE first_enroll_time IS NULL AND EXISTS (SELECT 1 {own})"
        );
        manager.get_connection().execute_unprepared(&known).await?;
        create_index(manager, "users_by_role", "users", &["role"]).await
    }
}
