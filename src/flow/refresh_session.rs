//! Gives new tokens for a refresh token, which works once.

use super::{Call, Kit, Tokens};
use crate::{
    error::{Error, Refusal},
    model::{Event, EventKind, LiveSession},
    secret::Secret,
    store::{Rotation, Tx},
    swap::Swap,
    token::refresh::{IDLE_LIFE, Judgement, RefreshToken},
};

/// Refreshes the session that the token is of. A token that was used before ends the session: one of the two who have it has
/// stolen it.
pub async fn refresh_session(kit: &Kit, token: &Secret<String>, call: &Call) -> Result<Tokens, Error> {
    let token = RefreshToken::parse(token.expose()).ok_or(Refusal::Unauthenticated)?;
    let tx = kit.store.begin().await?;
    let live = tx.find_live_session(token.session()).await?.filter(|live| live.session.is_alive(call.now));
    let Some(mut live) = live else {
        return Err(Refusal::Unauthenticated.into());
    };
    match judge(&tx, &token, call).await? {
        Judgement::Foreign => Err(Refusal::Unauthenticated.into()),
        Judgement::Reused => end_reused(tx, &live, call).await,
        Judgement::Predecessor { .. } | Judgement::Current if live.blocked => Err(Refusal::UserBlocked.into()),
        Judgement::Predecessor { sealed_successor } => {
            let successor = tx.open_successor(&live.session, &sealed_successor)?;
            kit.tokens(&live.session, live.role, Some(successor), call)
        }
        Judgement::Current => {
            let successor = token.successor()?;
            let text = successor.to_text();
            let idle_end_time = call.now.plus(IDLE_LIFE);
            let rotation = Rotation { from: &token.hash(), to: &successor.hash(), successor: &text, idle_end_time };
            if tx.rotate_refresh_token(&live.session, &rotation, call.now).await? == Swap::Stale {
                // Somebody else was quicker with the same token; what they were given is what this caller is given.
                return again(kit, &token, &live, tx, call).await;
            }
            let event = Event::of(EventKind::SessionRenewed, live.session.user, &call.origin).session(live.session.id);
            tx.record(&event, call.now).await?;
            tx.commit().await?;
            live.session.idle_end_time = idle_end_time;
            kit.tokens(&live.session, live.role, Some(text), call)
        }
    }
}

async fn judge(tx: &Tx, token: &RefreshToken, call: &Call) -> Result<Judgement, Error> {
    let state = tx.find_refresh_state(token.session()).await?;
    Ok(state.map_or(Judgement::Foreign, |state| token.judge(&state, call.now)))
}

async fn again(kit: &Kit, token: &RefreshToken, live: &LiveSession, lost: Tx, call: &Call) -> Result<Tokens, Error> {
    lost.roll_back().await?;
    let tx = kit.store.begin().await?;
    match judge(&tx, token, call).await? {
        Judgement::Predecessor { sealed_successor } => {
            let successor = tx.open_successor(&live.session, &sealed_successor)?;
            kit.tokens(&live.session, live.role, Some(successor), call)
        }
        Judgement::Current | Judgement::Reused | Judgement::Foreign => Err(Refusal::Unauthenticated.into()),
    }
}

async fn end_reused(tx: Tx, live: &LiveSession, call: &Call) -> Result<Tokens, Error> {
    if tx.delete_session(live.session.user, live.session.id).await? == Swap::Done {
        let event = Event::of(EventKind::TokenReuse, live.session.user, &call.origin)
            .session(live.session.id)
            .reason("UNAUTHENTICATED");
        tx.record(&event, call.now).await?;
    }
    tx.commit().await?;
    Err(Refusal::Unauthenticated.into())
}
