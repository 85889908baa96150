//! Backup codes: how many are left, and a new set, which is shown once.

use askama::Template;

use super::super::{Answer, calls::rpc, frame::Frame, refused::Refused, texts::ENGLISH, visit::Visit};
use super::app::goes_up;
use crate::wire::pb;

#[derive(Template)]
#[template(path = "console/pages/backup_codes.html", config = ".askama.toml")]
struct Form<'a> {
    frame: &'a Frame,
    alert: Option<&'a Refused>,
    left: i32,
}

#[derive(Template)]
#[template(path = "console/pages/backup_codes_shown.html", config = ".askama.toml")]
struct Shown<'a> {
    frame: &'a Frame,
    /// In two groups of four.
    codes: Vec<String>,
    /// They came with the first factor.
    is_first: bool,
}

/// The form.
pub async fn form(visit: &mut Visit<'_>, refused: Option<&Refused>) -> Answer {
    let status = rpc!(visit, twofa.get_two_fa_status(pb::GetTwoFaStatusRequest {}))?;
    let frame = visit.frame(ENGLISH.codes_title, "security").await?;
    visit.page_after(refused, &Form { frame: &frame, alert: refused, left: status.backup_codes_remaining })
}

/// Makes a new set.
pub async fn make(visit: &mut Visit<'_>) -> Answer {
    match rpc!(visit, twofa.generate_backup_codes(pb::GenerateBackupCodesRequest::default())) {
        Ok(made) => show(visit, &made.backup_codes, false).await,
        Err(refused) if goes_up(&refused) => Err(refused),
        Err(refused) => form(visit, Some(&refused)).await,
    }
}

/// The only page that shows them.
pub async fn show(visit: &mut Visit<'_>, codes: &[String], is_first: bool) -> Answer {
    let frame = visit.frame(ENGLISH.codes_title, "security").await?;
    let half = |code: &String| match code.split_at_checked(4) {
        Some((head, tail)) if !tail.is_empty() => format!("{head}-{tail}"),
        Some(_) | None => code.clone(),
    };
    visit.page(&Shown { frame: &frame, codes: codes.iter().map(half).collect(), is_first })
}
