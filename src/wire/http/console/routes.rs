//! Which page a path is.

use askama::Template;
use http::{Response, StatusCode};
use tonic::body::Body;

use super::{Answer, account, admin, frame::Frame, refused::Refused, step_up, texts::ENGLISH, visit::Visit};

#[derive(Template)]
#[template(path = "console/pages/error.html", config = ".askama.toml")]
struct ErrorPage<'a> {
    frame: &'a Frame,
    refused: &'a Refused,
}

/// Answers a visit.
pub async fn answer(visit: &mut Visit<'_>) -> Answer {
    match page(visit).await {
        // What follows the audit log reads no page: it is told why there is nothing to follow.
        Err(refused) if visit.takes_events => Ok(admin::over(&refused)),
        Err(refused) if refused.is("STEP_UP_REQUIRED") => match step_up::required(visit, &refused).await {
            Err(refused) => settle(visit, refused),
            page => page,
        },
        Err(refused) => settle(visit, refused),
        page => page,
    }
}

/// What is refused to whoever has no session leads to where there is one to be had.
fn settle(visit: &mut Visit<'_>, refused: Refused) -> Answer {
    if refused.is("UNAUTHENTICATED") {
        if !visit.has_session() {
            visit.forget_session();
        }
        let next = if visit.is_post || visit.target() == super::ROOT { "" } else { visit.target() };
        return visit.lead_to(&account::sign_in::path(next));
    }
    if refused.is("ENROLLMENT_REQUIRED") {
        return visit.lead_to("/console/enrol");
    }
    Err(refused)
}

/// A page that says why there is no other.
pub fn error_page(visit: &Visit<'_>, refused: &Refused) -> Response<Body> {
    let frame = visit.known_frame(ENGLISH.error_title);
    let page = visit.page_after(Some(refused), &ErrorPage { frame: &frame, refused });
    page.unwrap_or_else(|_| {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

async fn page(visit: &mut Visit<'_>) -> Answer {
    if visit.is_post {
        visit.must_be_ours()?;
        if let Some(page) = step_up::take(visit).await? {
            return Ok(page);
        }
    }
    let path = visit.path.clone();
    let parts: Vec<&str> = path.split('/').skip(2).filter(|part| !part.is_empty()).collect();
    match parts.as_slice() {
        ["sign-in", ..] | ["sign-out"] | ["set-password", ..] => account::open_page(visit, &parts).await,
        ["enrol"] | ["factors", "app" | "phone", ..] => {
            if !visit.is_enrolling() {
                must_be_signed_in(visit)?;
            }
            account::enrolment_page(visit, &parts).await
        }
        ["admin", rest @ ..] => {
            must_be_signed_in(visit)?;
            // Others are told by the rpcs, too; but a page without a call would be theirs.
            if !visit.who().await?.is_some_and(|who| who.is_admin) {
                return Err(Refused::new("PERMISSION_DENIED"));
            }
            admin::page(visit, rest).await
        }
        rest => {
            must_be_signed_in(visit)?;
            account::page(visit, rest).await
        }
    }
}

fn must_be_signed_in(visit: &Visit<'_>) -> Result<(), Refused> {
    if visit.has_session() {
        return Ok(());
    }
    Err(Refused::new(if visit.is_enrolling() { "ENROLLMENT_REQUIRED" } else { "UNAUTHENTICATED" }))
}

/// There is no such page.
pub fn nothing() -> Answer {
    Err(Refused::new("NOT_FOUND").saying(ENGLISH.no_such_page))
}
