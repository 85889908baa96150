//! Runs a transaction again that lost a deadlock or the like: it is undone as a whole, so nothing is done twice.

use std::{future::Future, time::Duration};

use crate::{
    error::{Contention, Error, Outage},
    secret,
};

const TRIES: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// Runs what reads everything anew and ends in one commit, until it does not lose against others. What went out in it, a text
/// message or a token, would go out twice: that belongs behind the commit.
pub(super) async fn again<T, F>(mut work: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let mut pause = FIRST_PAUSE;
    for _ in 1..TRIES {
        // Boxed: what a verb awaits is deep, and the compiler has a limit to that.
        match Box::pin(work()).await {
            Err(Error::Broken(fault)) if fault.is::<Contention>() => {
                tracing::debug!(fault = format!("{fault:#}"), "runs again");
                tokio::time::sleep(uneven(pause)?).await;
                pause *= 2;
            }
            done => return done,
        }
    }
    Box::pin(work()).await.map_err(|error| match error {
        Error::Broken(fault) if fault.is::<Contention>() => Error::Broken(fault.context(Outage)),
        Error::Broken(_) | Error::Refused(_) => error,
    })
}

/// Half to one and a half of a pause, so that those who met do not meet again.
fn uneven(pause: Duration) -> anyhow::Result<Duration> {
    let [chance] = secret::random::<1>()?;
    Ok(pause / 2 + pause * u32::from(chance) / 255)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use anyhow::anyhow;

    use super::*;
    use crate::error::Refusal;

    async fn tried(answers: impl Fn(u32) -> Result<u32, Error>) -> (Result<u32, Error>, u32) {
        let tries = Cell::new(0);
        let answer = again(|| {
            tries.set(tries.get() + 1);
            let answer = answers(tries.get());
            async { answer }
        })
        .await;
        (answer, tries.get())
    }

    fn lost() -> Result<u32, Error> {
        Err(Error::Broken(anyhow!("deadlock").context(Contention)))
    }

    #[tokio::test]
    async fn what_lost_runs_again_until_it_wins() {
        let (answer, tries) = tried(|n| if n < 3 { lost() } else { Ok(n) }).await;
        assert!(matches!(answer, Ok(3)) && tries == 3);
    }

    #[tokio::test]
    async fn what_always_loses_is_an_outage_in_the_end() {
        let (answer, tries) = tried(|_| lost()).await;
        assert!(matches!(answer, Err(Error::Broken(fault)) if fault.is::<Outage>()) && tries == TRIES);
    }

    #[test]
    fn pauses_are_uneven() -> anyhow::Result<()> {
        let pause = Duration::from_millis(100);
        let pauses = (0..100).map(|_| uneven(pause)).collect::<anyhow::Result<Vec<_>>>()?;
        assert!(pauses.iter().all(|one| (pause / 2..=pause * 3 / 2).contains(one)));
        assert!(pauses.iter().any(|one| *one < pause) && pauses.iter().any(|one| *one > pause));
        Ok(())
    }

    #[tokio::test]
    async fn another_fault_in_the_last_try_is_told_as_it_is() {
        let (answer, tries) = tried(|n| if n < TRIES { lost() } else { Err(Error::Broken(anyhow!("broken"))) }).await;
        assert!(matches!(answer, Err(Error::Broken(fault)) if !fault.is::<Outage>()) && tries == TRIES);
    }

    #[tokio::test]
    async fn a_refusal_or_another_fault_is_final() {
        let (answer, tries) = tried(|_| Err(Refusal::NotFound.into())).await;
        assert!(matches!(answer, Err(Error::Refused(Refusal::NotFound))) && tries == 1);
        let (answer, tries) = tried(|_| Err(Error::Broken(anyhow!("gone").context(Outage)))).await;
        assert!(answer.is_err() && tries == 1);
    }
}
