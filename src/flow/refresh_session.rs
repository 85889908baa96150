//! Gives new tokens for a refresh token, which works once.

use super::{Call, Kit, Tokens, again::again};
use crate::{
    error::{Error, Refusal},
    model::{Event, EventKind, LiveSession},
    policy,
    secret::Secret,
    store::{Rotation, Tx},
    swap::Swap,
    token::refresh::{GRACE, IDLE_LIFE, Judgement, RefreshToken},
};

/// Refreshes the session that the token is of. A token that was used before ends the session: one of the two who have it has
/// stolen it.
#[tracing::instrument(target = "countersign::span", skip_all)]
pub async fn refresh_session(kit: &Kit, token: &Secret<String>, call: &Call) -> Result<Tokens, Error> {
    let token = RefreshToken::parse(token.expose()).ok_or(Refusal::Unauthenticated)?;
    if let Some(tokens) = again(|| refresh(kit, &token, call)).await? {
        return Ok(tokens);
    }
    // Somebody else was quicker with the same token: what they were given is what this caller is given.
    let given = again(|| refresh(kit, &token, call)).await?;
    Ok(given.ok_or(Refusal::Unauthenticated)?)
}

/// One try; None = the token was rotated by somebody else between the look and the change.
async fn refresh(kit: &Kit, token: &RefreshToken, call: &Call) -> Result<Option<Tokens>, Error> {
    let tx = kit.store.begin().await?;
    let live = tx.find_live_session(token.session()).await?.filter(|live| live.session.is_alive(call.now));
    let state = tx.find_refresh_state(token.session()).await?;
    let Some((live, state)) = live.zip(state) else {
        return Err(Refusal::Unauthenticated.into());
    };
    match token.judge(&state, call.now) {
        Judgement::Foreign => Err(Refusal::Unauthenticated.into()),
        Judgement::Reused => end_reused(tx, &live, call).await,
        Judgement::Current | Judgement::Predecessor { .. } if live.blocked => {
            let refusal = Refusal::UserBlocked;
            record(tx, &live, EventKind::SessionRenewed, Some(refusal.reason()), call).await?;
            Err(refusal.into())
        }
        Judgement::Current | Judgement::Predecessor { .. }
            if policy::is_short_of_a_factor(&kit.settings(), &live, call.now) =>
        {
            end_short(tx, &live, call).await
        }
        Judgement::Predecessor { sealed_successor } => {
            // One that does not open was changed by somebody.
            let Some(successor) = tx.open_successor(&live.session, &sealed_successor)? else {
                return end_reused(tx, &live, call).await;
            };
            record(tx, &live, EventKind::SessionRenewalRepeated, None, call).await?;
            kit.tokens(&live.session, live.role, Some(successor), call).map(Some)
        }
        Judgement::Current => rotate(kit, tx, token, &live, call).await,
    }
}

async fn rotate(
    kit: &Kit,
    tx: Tx,
    token: &RefreshToken,
    live: &LiveSession,
    call: &Call,
) -> Result<Option<Tokens>, Error> {
    let successor = token.successor()?;
    let text = successor.to_text();
    let rotation = Rotation {
        from: &token.hash(),
        to: &successor.hash(),
        successor: &text,
        successor_end_time: call.now.plus(GRACE),
        idle_end_time: call.now.plus(IDLE_LIFE).min(live.session.end_time),
    };
    if tx.rotate_refresh_token(&live.session, &rotation, call.now).await? == Swap::Stale {
        tx.roll_back().await?;
        return Ok(None);
    }
    record(tx, live, EventKind::SessionRenewed, None, call).await?;
    kit.tokens(&live.session, live.role, Some(text), call).map(Some)
}

async fn end_reused(tx: Tx, live: &LiveSession, call: &Call) -> Result<Option<Tokens>, Error> {
    let refusal = Refusal::Unauthenticated;
    if tx.delete_session(live.session.user, live.session.id).await? == Swap::Done {
        record(tx, live, EventKind::TokenReuse, Some(refusal.reason()), call).await?;
    }
    Err(refusal.into())
}

/// Policy would not give this session again for the password alone: whoever has it signs in anew, and is asked for what is missing.
async fn end_short(tx: Tx, live: &LiveSession, call: &Call) -> Result<Option<Tokens>, Error> {
    let reason = if live.has_factor { "STEP_UP_REQUIRED" } else { "ENROLLMENT_REQUIRED" };
    if tx.delete_short_session(live.session.user, live.session.id).await? == Swap::Stale {
        // It has ended, or a second factor was proven this moment: look again.
        tx.roll_back().await?;
        return Ok(None);
    }
    record(tx, live, EventKind::SessionEnded, Some(reason), call).await?;
    Err(Refusal::Unauthenticated.into())
}

async fn record(
    tx: Tx,
    live: &LiveSession,
    kind: EventKind,
    reason: Option<&'static str>,
    call: &Call,
) -> Result<(), Error> {
    let event = Event::of(kind, live.session.user, &call.origin).session(live.session.id);
    tx.record(&Event { reason, ..event }, call.now).await?;
    tx.commit().await
}
