//! Signing out: the session ends, and the browser forgets it.

use super::super::{Answer, calls::rpc, visit::Visit};
use crate::wire::pb;

/// Ends the session, or an enrolment that was not finished. That it has ended already is no matter.
pub async fn submit(visit: &mut Visit<'_>) -> Answer {
    match rpc!(visit, sessions.end_session(pb::EndSessionRequest::default())) {
        Ok(_) => {}
        Err(refused) if ["UNAUTHENTICATED", "USER_BLOCKED"].contains(&refused.reason.as_str()) => {}
        // It lives on: who thinks otherwise leaves it open.
        Err(refused) => return Err(refused),
    }
    visit.forget_session();
    visit.renew_forms()?;
    visit.lead_on("/console/sign-in", "signed_out")
}
