//! Finds out whose a Bearer token is.

use super::{Call, Kit};
use crate::{
    challenge,
    error::Error,
    model::{Enrollee, Handle, HandleKind, LiveSession, Subject},
    token::access::Claims,
};

/// Whose a token is.
pub enum Authenticated {
    /// Of a living session.
    Session(Box<(Claims, LiveSession)>),
    /// Of somebody who must enrol first.
    Enrollee(Enrollee),
}

/// Whose a token is; None when it is not good, or what it is of has ended.
#[tracing::instrument(target = "countersign::span", skip_all)]
pub async fn authenticate(kit: &Kit, token: &str, call: &Call) -> Result<Option<Authenticated>, Error> {
    if Handle::looks_like(HandleKind::EnrolmentToken, token) {
        return Ok(enrollee(kit, token, call).await?.map(Authenticated::Enrollee));
    }
    let Some(claims) = kit.access.read(token, call.now) else {
        return Ok(None);
    };
    // The one read, by primary key.
    let live = kit.store.find_live_session(claims.sid).await?;
    let live = live.filter(|live| live.session.user == claims.sub && live.session.is_alive(call.now));
    Ok(live.map(|live| Authenticated::Session(Box::new((claims, live)))))
}

async fn enrollee(kit: &Kit, token: &str, call: &Call) -> Result<Option<Enrollee>, Error> {
    let Some(handle) = Handle::parse(HandleKind::EnrolmentToken, token) else {
        return Ok(None);
    };
    let (shelf, hash) = (handle.shelf(), handle.hash());
    let Some(found) = kit.ephemeral.find(shelf, hash, call.now).await? else {
        return Ok(None);
    };
    let Ok(grant) = challenge::open(&kit.ring, &shelf, &hash, &found.sealed) else {
        tracing::error!("an enrolment token does not open");
        return Ok(None);
    };
    if !matches!(grant.subject, Subject::EnrolmentToken) {
        return Ok(None);
    }
    let account = kit.store.find_account(grant.user).await?;
    let is_open = account.is_some_and(|account| challenge::is_open_for(&grant, &account));
    Ok(is_open.then_some(Enrollee { user: grant.user, token: hash }))
}
