//! Rows of `factors`.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "factors")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub user_id: Uuid,
    pub method: String,
    pub label: Vec<u8>,
    pub data: Vec<u8>,
    pub handle: Option<Vec<u8>>,
    pub spent: i64,
    pub version: i64,
    pub create_time: i64,
    pub last_use_time: Option<i64>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
