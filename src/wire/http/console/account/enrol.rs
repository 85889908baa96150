//! Choosing what to enrol, for whoever must do so before there is a session.

use askama::Template;

use super::super::{Answer, calls::rpc, frame::Frame, texts::ENGLISH, visit::Visit};
use crate::wire::pb::{self, Method};

#[derive(Template)]
#[template(path = "console/pages/enrol.html", config = ".askama.toml")]
struct Page<'a> {
    frame: &'a Frame,
    must: bool,
    /// Whether pages for administrators wait for it.
    is_for_admin: bool,
    can_add_app: bool,
    can_add_phone: bool,
}

/// The page.
pub async fn choose(visit: &mut Visit<'_>) -> Answer {
    let status = rpc!(visit, twofa.get_two_fa_status(pb::GetTwoFaStatusRequest {}))?;
    let frame = visit.frame(ENGLISH.enrol_title, "security").await?;
    let can = |method: Method| status.available_methods().any(|open| open == method);
    visit.page(&Page {
        frame: &frame,
        must: visit.is_enrolling(),
        is_for_admin: !status.enabled && frame.who.as_ref().is_some_and(|who| who.is_admin),
        can_add_app: can(Method::Totp),
        can_add_phone: can(Method::Phone),
    })
}
