//! Rows of `audit_chain`: there is one.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "audit_chain")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i16,
    pub position: i64,
    pub hash: Vec<u8>,
    pub key_id: String,
    pub signature: Vec<u8>,
    pub anchor_position: i64,
    pub anchor_hash: Vec<u8>,
    pub anchor_authenticated: bool,
    pub anchor_key_id: String,
    pub anchor_signature: Vec<u8>,
    pub lease_holder: String,
    pub lease_end_time: i64,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
