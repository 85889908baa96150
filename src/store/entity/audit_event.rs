//! Rows of `audit_events`.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "audit_events")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub create_time: i64,
    pub kind: String,
    pub reason: Option<String>,
    pub subject_id: Option<Uuid>,
    pub identifier_hash: Option<Vec<u8>>,
    pub session_id: Option<Uuid>,
    pub method: Option<String>,
    pub count: Option<i64>,
    pub source: String,
    pub user_agent: Vec<u8>,
    pub request_id: String,
    pub admin_id: Option<Uuid>,
    pub note: Option<Vec<u8>>,
    pub trace_id: Option<String>,
    pub mac: Option<Vec<u8>>,
    pub position: Option<i64>,
    pub chain_hash: Option<Vec<u8>>,
    pub seal_time: Option<i64>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
