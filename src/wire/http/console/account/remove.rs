//! Removing a factor.

use askama::Template;

use super::{
    super::{Answer, calls::rpc, frame::Frame, refused::Refused, texts::ENGLISH, visit::Visit},
    app::goes_up,
    overview::Factor,
};
use crate::wire::pb;

#[derive(Template)]
#[template(path = "console/pages/remove.html", config = ".askama.toml")]
struct Page<'a> {
    frame: &'a Frame,
    alert: Option<&'a Refused>,
    factor: Factor,
    is_last: bool,
}

/// Asks whether it is meant.
pub async fn form(visit: &mut Visit<'_>, id: &str) -> Answer {
    show(visit, id, None).await
}

/// Removes it.
pub async fn submit(visit: &mut Visit<'_>, id: &str) -> Answer {
    let request = pb::DisableRequest { factor_id: id.to_owned(), ..pb::DisableRequest::default() };
    match rpc!(visit, twofa.disable(request)) {
        Ok(_) => visit.lead_on("/console", "factor_removed"),
        Err(refused) if goes_up(&refused) || refused.is("NOT_FOUND") => Err(refused),
        Err(refused) => show(visit, id, Some(&refused)).await,
    }
}

async fn show(visit: &mut Visit<'_>, id: &str, refused: Option<&Refused>) -> Answer {
    let status = rpc!(visit, twofa.get_two_fa_status(pb::GetTwoFaStatusRequest {}))?;
    let factor = status.factors.iter().find(|factor| factor.factor_id == id);
    let factor = Factor::new(factor.ok_or_else(|| Refused::new("NOT_FOUND"))?);
    let frame = visit.frame(ENGLISH.remove_title, "security").await?;
    let is_last = status.factors.len() == 1;
    visit.page_after(refused, &Page { frame: &frame, alert: refused, factor, is_last })
}
