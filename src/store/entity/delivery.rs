//! Rows of `deliveries`.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "deliveries")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub channel: String,
    pub kind: String,
    pub body: Vec<u8>,
    pub create_time: i64,
    pub due_time: Option<i64>,
    pub attempts: i64,
    pub failure: Option<String>,
    pub give_up_time: Option<i64>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
