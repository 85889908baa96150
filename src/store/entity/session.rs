//! Rows of `sessions`.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "sessions")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub user_id: Uuid,
    pub auth_time: i64,
    pub amr: String,
    pub factor_count: i16,
    pub create_time: i64,
    pub refresh_time: Option<i64>,
    pub idle_end_time: i64,
    pub end_time: i64,
    pub refresh_family: Vec<u8>,
    pub refresh_hash: Vec<u8>,
    pub refresh_previous_hash: Option<Vec<u8>>,
    pub successor: Option<Vec<u8>>,
    pub successor_end_time: Option<i64>,
    pub source: String,
    pub user_agent: Vec<u8>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
