//! Challenges: opened, an attempt taken before anything is judged, and settled by how the judging ended.

use super::{Call, Kit};
use crate::{
    challenge,
    clock::Timestamp,
    ephemeral::{NewEntry, Newest, Shelf, Taken},
    error::{Error, Refusal},
    model::{Challenge, Handle, HandleKind, Method, Offer, SentCode, Subject, UserId},
};

/// A challenge as its user sees it.
pub struct OpenChallenge {
    /// Names it.
    pub handle: Handle,
    /// The methods that answer it, the default first.
    pub methods: Vec<Method>,
    /// When it ends.
    pub end_time: Timestamp,
    /// The number that a code was sent to, masked; None = none was sent.
    pub masked_number: Option<String>,
}

/// A challenge of which an attempt is taken.
pub(super) struct Attempt {
    pub(super) shelf: Shelf,
    pub(super) taken: Taken,
    pub(super) challenge: Challenge,
    /// The code that was sent for it, while it is good.
    pub(super) sent: Option<SentCode>,
}

/// Why the judging of a code did not end well.
pub(super) enum Stop {
    /// The code was judged and is refused; that is committed.
    Refused,
    /// It was not judged, and the attempt goes back.
    NotJudged(Refusal),
    /// The challenge is over.
    Over,
    /// A fault.
    Broken(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Broken(error)
    }
}

impl From<anyhow::Error> for Stop {
    fn from(fault: anyhow::Error) -> Self {
        Self::Broken(fault.into())
    }
}

impl Kit {
    /// Opens something for a user; the oldest of its kind dies when there are too many.
    pub(super) async fn open(
        &self,
        kind: HandleKind,
        user: UserId,
        security_version: i64,
        subject: Subject,
        call: &Call,
    ) -> Result<(Handle, Timestamp), Error> {
        let shelf = challenge::shelf(&self.ring, user)?;
        let handle = Handle::generate(kind, shelf)?;
        let end_time = call.now.plus(subject.life());
        let kind = subject.kind();
        let challenge = Challenge { user, security_version, subject };
        let sealed = challenge::seal(&self.ring, &shelf, &handle.hash(), &challenge)?;
        let entry = NewEntry { kind, hash: handle.hash(), sealed, attempts: challenge::ATTEMPTS, end_time };
        self.ephemeral.open(shelf, entry, call.now).await?;
        Ok((handle, end_time))
    }

    /// Opens a challenge that codes of these offers answer.
    pub(super) async fn open_challenge(
        &self,
        user: UserId,
        security_version: i64,
        subject: Subject,
        call: &Call,
    ) -> Result<OpenChallenge, Error> {
        let methods = methods(subject.offers());
        let (handle, end_time) = self.open(HandleKind::Challenge, user, security_version, subject, call).await?;
        Ok(OpenChallenge { handle, methods, end_time, masked_number: None })
    }

    /// Takes an attempt of the challenge that a caller names.
    pub(super) async fn take_attempt(&self, challenge_id: &str, call: &Call) -> Result<Attempt, Error> {
        let handle = Handle::parse(HandleKind::Challenge, challenge_id).ok_or(Refusal::ChallengeExpired)?;
        let taken = self.ephemeral.take(handle.shelf(), handle.hash(), call.now).await?;
        self.attempt(handle.shelf(), taken, call)
    }

    /// Looks at the challenge that a caller names, and takes no attempt: one that is exhausted is over.
    pub(super) async fn look(&self, challenge_id: &str, call: &Call) -> Result<Attempt, Error> {
        let handle = Handle::parse(HandleKind::Challenge, challenge_id).ok_or(Refusal::ChallengeExpired)?;
        let seen = self.ephemeral.find(handle.shelf(), handle.hash(), call.now).await?;
        self.attempt(handle.shelf(), seen.filter(|seen| seen.attempts_left > 0), call)
    }

    /// Takes an attempt of the pending enrolment of one of these methods; refuses when several are pending.
    pub(super) async fn take_enrolment(&self, user: UserId, methods: &[Method], call: &Call) -> Result<Attempt, Error> {
        let shelf = challenge::shelf(&self.ring, user)?;
        let kinds: Vec<_> = methods.iter().map(|method| challenge::enrolment(*method)).collect();
        match self.ephemeral.take_newest(shelf, &kinds, call.now).await? {
            Newest::Nothing => self.attempt(shelf, None, call),
            Newest::Taken(taken) => self.attempt(shelf, Some(taken), call),
            Newest::Several => {
                Err(Refusal::field("method", "must say which of your pending enrolments is meant: there are several.")
                    .into())
            }
        }
    }

    fn attempt(&self, shelf: Shelf, taken: Option<Taken>, call: &Call) -> Result<Attempt, Error> {
        let taken = taken.ok_or(Refusal::ChallengeExpired)?;
        let opened = challenge::open(&self.ring, &shelf, &taken.hash, &taken.sealed).and_then(|challenge| {
            let open_code = |code: &Vec<u8>| challenge::open_code(&self.ring, &shelf, &taken.hash, code);
            Ok((challenge, taken.code.as_ref().map(open_code).transpose()?))
        });
        let (challenge, sent) = opened.map_err(|fault| {
            tracing::error!(?fault, "a challenge does not open");
            Refusal::ChallengeExpired
        })?;
        Ok(Attempt { shelf, taken, challenge, sent: sent.filter(|sent| call.now < sent.end_time) })
    }

    /// Ends an attempt as the judging ended, and says so.
    pub(super) async fn settle<T>(
        &self,
        attempt: &Attempt,
        judged: Result<T, Stop>,
        signed_in: bool,
    ) -> Result<T, Error> {
        let (shelf, hash) = (attempt.shelf, attempt.taken.hash);
        match judged {
            Ok(value) => {
                // It is spent in the database: should it stay behind here, it opens nothing.
                if let Err(fault) = self.ephemeral.close(shelf, hash).await {
                    tracing::warn!(?fault, "a spent challenge stays in the ephemeral store until it ends");
                }
                Ok(value)
            }
            Err(Stop::Refused) => {
                let exhausted = attempt.taken.attempts_left == 0;
                Err(Refusal::InvalidCode { signed_in, exhausted }.into())
            }
            Err(Stop::Over) => {
                self.ephemeral.close(shelf, hash).await?;
                Err(Refusal::ChallengeExpired.into())
            }
            Err(Stop::NotJudged(refusal)) => {
                self.ephemeral.give_back(shelf, hash).await?;
                Err(refusal.into())
            }
            Err(Stop::Broken(error)) => {
                // A fault costs the user nothing here; whether the failure was counted is the database's. (A call that is given
                // up at its deadline does not come here: it has cost an attempt, or short deadlines would buy free ones.)
                if let Err(second) = self.ephemeral.give_back(shelf, hash).await {
                    tracing::warn!(?second, "an attempt could not be given back");
                }
                Err(error)
            }
        }
    }
}

/// What is said of a judgement that no challenge was asked for.
pub(super) fn without_challenge<T>(judged: Result<T, Stop>) -> Result<T, Error> {
    judged.map_err(|stop| match stop {
        Stop::Refused => Refusal::InvalidCode { signed_in: true, exhausted: false }.into(),
        Stop::NotJudged(refusal) => refusal.into(),
        Stop::Over => Refusal::Unauthenticated.into(),
        Stop::Broken(error) => error,
    })
}

/// Each method once, in the order of the offers.
fn methods(offers: &[Offer]) -> Vec<Method> {
    let mut methods: Vec<Method> = Vec::new();
    for offer in offers {
        if !methods.contains(&offer.method) {
            methods.push(offer.method);
        }
    }
    methods
}
