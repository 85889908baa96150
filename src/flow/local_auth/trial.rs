//! A password is tried: paid for by the source and by the name, and then hashed.

use super::{ladder::Ladder, source::Paid};
use crate::{
    ephemeral::Try,
    error::Error,
    factor::password::Password,
    flow::{Call, Kit, again::again},
    model::{Email, PasswordHash},
};

/// A password that was tried.
pub(super) struct Trial {
    pub(super) ladder: Ladder,
    /// Whether it was the one that was hashed.
    pub(super) is_right: bool,
    /// Another hash of it, where the old one has cost less than a new one.
    pub(super) renewed: Option<PasswordHash>,
}

impl Trial {
    /// Tries a password. What was not judged costs nothing.
    pub(super) async fn of(
        kit: &Kit,
        email: &Email,
        password: Password,
        hash: Option<&PasswordHash>,
        call: &Call,
    ) -> Result<Self, Error> {
        let paid = Paid::pay(kit, call).await?;
        let tried = async {
            let ladder = again(|| Ladder::pay(kit, email, call)).await?;
            match password.matches(&kit.hasher, hash).await {
                Ok(is_right) => {
                    let renewed = match hash.filter(|_| is_right) {
                        Some(hash) => password.renewed(&kit.hasher, hash).await,
                        None => None,
                    };
                    Ok(Self { ladder, is_right, renewed })
                }
                Err(error) => {
                    again(|| ladder.refund(kit)).await?;
                    Err(error)
                }
            }
        };
        let tried = tried.await;
        if let Some(paid) = paid {
            let has_failed = tried.as_ref().is_ok_and(|trial| !trial.is_right);
            paid.settle(kit, if has_failed { Try::Failed } else { Try::TakenBack }, call).await;
        }
        tried
    }
}
