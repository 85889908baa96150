//! Rows of `settings`: there is one.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "settings")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i16,
    pub two_fa_enabled: bool,
    pub allowed_methods: String,
    pub preferred_method: String,
    pub backup_codes_enabled: bool,
    pub required_for: String,
    pub grace_admins_seconds: i64,
    pub grace_all_seconds: i64,
    pub totp_digits: i16,
    pub sms_digits: i16,
    pub sms_code_life_seconds: i64,
    pub version: i64,
    pub admins_since: i64,
    pub all_since: i64,
    pub change_time: i64,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
