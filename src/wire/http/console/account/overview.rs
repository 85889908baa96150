//! The overview: how well the account is protected, and what it is protected by.

use askama::Template;

use super::super::{
    Answer,
    calls::rpc,
    frame::Frame,
    shown::{self, When, filled, when},
    texts::ENGLISH,
    visit::Visit,
};
use crate::wire::pb::{self, Method};

/// Fewer backup codes than this are few.
const FEW_CODES: i32 = 4;

#[derive(Template)]
#[template(path = "console/pages/overview.html", config = ".askama.toml")]
struct Page<'a> {
    frame: &'a Frame,
    enabled: bool,
    required: bool,
    grace_end: Option<When>,
    is_led_on: bool,
    factors: Vec<Factor>,
    codes: Codes,
    can_add_app: bool,
    can_add_phone: bool,
}

/// A factor.
pub struct Factor {
    /// Its id.
    pub id: String,
    /// Whether it is a phone.
    pub is_phone: bool,
    /// What its owner calls it.
    pub name: String,
    /// What it is.
    pub kind: &'static str,
    /// When it was added.
    pub added: Option<When>,
    /// When it was used last.
    pub used: Option<When>,
}

/// How many backup codes are left.
struct Codes {
    text: String,
    is_few: bool,
}

impl Factor {
    /// A factor, as it is shown.
    pub fn new(factor: &pb::Factor) -> Self {
        let kind = shown::method(factor.method());
        let is_phone = factor.method() == Method::Phone;
        let own = if factor.label.is_empty() { kind } else { &factor.label };
        let name = if is_phone { format!("{own} {}", factor.masked_phone_number) } else { own.to_owned() };
        Self {
            id: factor.factor_id.clone(),
            is_phone,
            name,
            kind,
            added: factor.create_time.map(when),
            used: factor.last_use_time.map(when),
        }
    }
}

/// The page.
pub async fn page(visit: &mut Visit<'_>) -> Answer {
    let frame = visit.frame(ENGLISH.overview_title, "security").await?;
    let status = rpc!(visit, twofa.get_two_fa_status(pb::GetTwoFaStatusRequest {}))?;
    let left = status.backup_codes_remaining;
    let text = match left {
        0 => ENGLISH.codes_none.to_owned(),
        1 => ENGLISH.codes_one.to_owned(),
        left => filled(ENGLISH.codes_left, "count", &left.to_string()),
    };
    let has = |method: Method| status.factors.iter().any(|factor| factor.method() == method);
    let can = |method: Method| status.available_methods().any(|open| open == method);
    visit.page(&Page {
        frame: &frame,
        enabled: status.enabled,
        required: status.required,
        grace_end: status.grace_end_time.map(when),
        is_led_on: status.enrollment_recommended,
        can_add_app: can(Method::Totp),
        can_add_phone: can(Method::Phone) && !has(Method::Phone),
        factors: status.factors.iter().map(Factor::new).collect(),
        codes: Codes { text, is_few: left < FEW_CODES },
    })
}
