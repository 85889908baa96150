//! Removes factors. With the last one the backup codes go too: there are none without a factor.

use super::{Call, InCall, Kit, again::again};
use crate::{
    error::{Error, Refusal},
    model::{EnrolledFactor, Event, EventKind, FactorId, Method, Principal, Role, has_factor},
    policy,
    swap::Swap,
};

/// What is to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Every factor.
    All,
    /// Every factor of a method.
    Method(Method),
    /// One factor.
    Factor(FactorId),
}

/// What is to be removed, and the proof of the caller.
pub struct DisableRequest {
    /// What is to be removed.
    pub what: What,
    /// The proof.
    pub proof: InCall,
}

/// Removes factors; answers whether two-factor authentication is still on.
#[tracing::instrument(target = "countersign::span", skip_all)]
pub async fn disable(kit: &Kit, principal: &Principal, request: &DisableRequest, call: &Call) -> Result<bool, Error> {
    again(|| disable_once(kit, principal, request, call)).await
}

async fn disable_once(kit: &Kit, principal: &Principal, request: &DisableRequest, call: &Call) -> Result<bool, Error> {
    let role = principal.role;
    let (_, left) = select(&kit.store.factors(principal.user).await?, request.what)?;
    may_be_left(kit, role, &left)?;
    let (tx, account, factors) = request.proof.prove(kit, principal, call).await?;
    // What was allowed a moment ago is looked at again behind the lock. A code that was right stays used up and recorded.
    let selected = select(&factors, request.what).and_then(|(gone, left)| {
        may_be_left(kit, account.role, &left)?;
        Ok((gone, has_factor(&left)))
    });
    let (gone, is_on) = match selected {
        Ok(selected) => selected,
        Err(refusal) => {
            tx.commit().await?;
            return Err(refusal.into());
        }
    };
    if is_on {
        for factor in &gone {
            if tx.delete_factor(account.id, factor.id).await? == Swap::Stale {
                return Err(Refusal::NotFound.into());
            }
        }
    } else {
        tx.delete_factors(account.id, None).await?;
    }
    if tx.raise_security_version(account.id).await? == Swap::Stale {
        return Err(Refusal::Unauthenticated.into());
    }
    for factor in &gone {
        let event = Event::of(EventKind::FactorDeleted, account.id, &call.origin).session(principal.session);
        tx.record(&event.method(factor.method), call.now).await?;
    }
    tx.commit().await?;
    Ok(is_on)
}

/// Refuses to leave an account without the factor that it must have.
fn may_be_left(kit: &Kit, role: Role, left: &[EnrolledFactor]) -> Result<(), Refusal> {
    let is_bare = !has_factor(left) && policy::is_required(&kit.settings(), role);
    if is_bare { Err(Refusal::TwoFaRequired) } else { Ok(()) }
}

/// What goes, and what is left.
fn select(factors: &[EnrolledFactor], what: What) -> Result<(Vec<&EnrolledFactor>, Vec<EnrolledFactor>), Refusal> {
    let goes = |factor: &&EnrolledFactor| match what {
        What::All => true,
        What::Method(method) => factor.method == method,
        What::Factor(id) => factor.id == id,
    };
    if !has_factor(factors) {
        return Err(Refusal::TwoFaNotEnabled);
    }
    let (gone, left): (Vec<_>, Vec<_>) = factors.iter().partition(goes);
    match what {
        What::Factor(_) if gone.is_empty() => Err(Refusal::NotFound),
        What::Method(_) if gone.is_empty() => Err(Refusal::TwoFaNotEnabled),
        What::All | What::Method(_) | What::Factor(_) => Ok((gone, left.into_iter().cloned().collect())),
    }
}
