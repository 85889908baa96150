//! Notes who had enrolled before that was noted: a batch at a time, each committed, so that nobody waits for long.

use sea_orm_migration::prelude::*;

/// See the file.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(false)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // As far as it can be known: those who have a factor now.
        let own = "FROM factors WHERE factors.user_id = users.id AND factors.method <> 'backup_code'";
        let batch = format!(
            "UPDATE users SET first_enroll_time = (SELECT MIN(factors.create_time) {own}) WHERE id IN \
             (SELECT id FROM (SELECT id FROM users WHERE first_enroll_time IS NULL AND EXISTS (SELECT 1 {own}) \
             LIMIT 1000) AS batch)"
        );
        while manager.get_connection().execute_unprepared(&batch).await?.rows_affected() > 0 {}
        Ok(())
    }
}
