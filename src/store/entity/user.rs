//! Rows of `users`.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "users")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub email_typed: Vec<u8>,
    pub email_canonical: Vec<u8>,
    pub role: String,
    pub blocked: bool,
    pub security_version: i64,
    pub password_hash: Option<Vec<u8>>,
    pub create_time: i64,
    pub phone: Option<Vec<u8>>,
    pub first_enroll_time: Option<i64>,
    pub role_time: i64,
    pub notice_email: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
