//! Rows of `create_requests`.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "create_requests")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub request_hash: Vec<u8>,
    pub content_hash: Vec<u8>,
    pub user_id: Uuid,
    pub end_time: i64,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
