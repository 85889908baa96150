//! What is done while a replica is killed, and what must hold afterwards.

use countersign::wire::pb;
use tonic::{Response, Status};

use crate::{
    kills::{Stage, Story},
    replica::{Enrolled, Replica, reason, unix_seconds, with_token},
};

/// Confirming the first factor.
pub struct Enrol;

pub struct Enrolling {
    email: String,
    session: pb::LocalAuthResponse,
    other: pb::LocalAuthResponse,
    challenge_id: String,
    app: totp_rs::Totp,
    at: u64,
}

impl Story for Enrol {
    type Hand = Enrolling;
    type Answer = pb::VerifyResponse;

    async fn prepare(stage: &Stage, replica: &Replica) -> Enrolling {
        let email = stage.user();
        let session = replica.local_auth(&email).await.unwrap();
        let other = replica.local_auth(&email).await.unwrap();
        let enabled = replica.enable(&session.access_token).await.unwrap();
        let app = totp_rs::Totp::from_url(&enabled.otpauth_uri).unwrap();
        Enrolling { email, session, other, challenge_id: enabled.challenge_id, app, at: unix_seconds() }
    }

    async fn act(replica: &Replica, hand: &Enrolling) -> Result<pb::VerifyResponse, Status> {
        let code = hand.app.generate(hand.at).to_string();
        replica.verify(&hand.session.access_token, &hand.challenge_id, &code).await
    }

    async fn check(
        stage: &Stage,
        replica: &Replica,
        hand: Enrolling,
        answer: Result<pb::VerifyResponse, Status>,
    ) -> bool {
        let signed_in = replica.local_auth(&hand.email).await.unwrap();
        let is_on = signed_in.two_fa_required;
        assert!(is_on || answer.is_err());
        let (app, set) = stage.factors(&hand.email).await;
        assert_eq!((app, set), if is_on { (1, 1) } else { (0, 0) });
        assert!(replica.is_good(&hand.session.access_token).await.unwrap());
        assert_eq!(replica.is_good(&hand.other.access_token).await.unwrap(), !is_on);
        if !is_on {
            assert!(!replica.status(&signed_in.access_token).await.unwrap().enabled);
            replica.enrol(&hand.email).await;
            return false;
        }
        let next = hand.app.generate(hand.at + 30).to_string();
        let session = replica.verify("", &signed_in.challenge_id, &next).await.unwrap();
        let status = replica.status(&session.access_token).await.unwrap();
        assert!(status.enabled && status.backup_codes_remaining == 10, "{status:?}");
        if let Ok(answer) = answer {
            signs_in(replica, &hand.email, &answer.backup_codes[0]).await.unwrap();
        }
        true
    }
}

/// Signing in with a code of the authenticator.
pub type SignInByApp = SignIn<true>;
/// Signing in with a backup code.
pub type SignInByBackupCode = SignIn<false>;

pub struct SignIn<const BY_APP: bool>;

/// A code on its way to a challenge. The method was wrong once before.
pub struct SigningIn {
    user: Enrolled,
    challenge_id: String,
    method: &'static str,
    code: String,
    /// A code of the other method.
    other: String,
}

impl<const BY_APP: bool> Story for SignIn<BY_APP> {
    type Hand = SigningIn;
    type Answer = pb::VerifyResponse;

    async fn prepare(stage: &Stage, replica: &Replica) -> SigningIn {
        let wrong = if BY_APP { "000000" } else { "aaaa-aaaa" };
        let (user, challenge_id) = stage.user_who_was_wrong(replica, wrong).await;
        let (of_app, backup) = (user.next_code(), user.backup_codes[0].clone());
        let (method, code, other) = if BY_APP { ("totp", of_app, backup) } else { ("backup_code", backup, of_app) };
        SigningIn { user, challenge_id, method, code, other }
    }

    async fn act(replica: &Replica, hand: &SigningIn) -> Result<pb::VerifyResponse, Status> {
        replica.verify("", &hand.challenge_id, &hand.code).await
    }

    async fn check(
        stage: &Stage,
        replica: &Replica,
        hand: SigningIn,
        answer: Result<pb::VerifyResponse, Status>,
    ) -> bool {
        hand.check(stage, replica, answer.is_ok()).await
    }
}

impl SigningIn {
    async fn check(&self, stage: &Stage, replica: &Replica, is_acknowledged: bool) -> bool {
        let email = &self.user.email;
        let done = self.successes(stage).await;
        assert!(done == 1 || done == 0 && !is_acknowledged, "{done}");
        // The wrong code before is forgiven with the success, and with nothing else.
        assert_eq!(stage.failures(email, self.method, 1).await, done == 0);
        let retried = replica.verify("", &self.challenge_id, &self.code).await;
        let anew = signs_in(replica, email, &self.code).await;
        let retries = i64::from(retried.is_ok()) + i64::from(anew.is_ok());
        // What was not done before, works now; once in all.
        assert_eq!((done + retries, self.successes(stage).await), (1, 1), "{retried:?} {anew:?}");
        for answer in [retried, anew] {
            assert!(["OK", "INVALID_CODE", "CHALLENGE_EXPIRED"].contains(&reason(&answer).as_str()), "{answer:?}");
        }
        signs_in(replica, email, &self.other).await.unwrap();
        done == 1
    }

    async fn successes(&self, stage: &Stage) -> i64 {
        let condition = format!("kind = 'authn_login_success' AND method = '{}'", self.method);
        stage.rows("audit_events", &self.user.email, &condition).await
    }
}

/// Signing in with a wrong code.
pub struct WrongCode;

impl Story for WrongCode {
    type Hand = (Enrolled, String);
    type Answer = pb::VerifyResponse;

    async fn prepare(stage: &Stage, replica: &Replica) -> Self::Hand {
        stage.user_who_was_wrong(replica, "000000").await
    }

    async fn act(replica: &Replica, (_, challenge_id): &Self::Hand) -> Result<pb::VerifyResponse, Status> {
        replica.verify("", challenge_id, "000000").await
    }

    async fn check(
        stage: &Stage,
        replica: &Replica,
        (user, _): Self::Hand,
        answer: Result<pb::VerifyResponse, Status>,
    ) -> bool {
        let is_answered = reason(&answer) == "INVALID_CODE";
        let is_counted = stage.failures(&user.email, "totp", 2).await;
        assert!(is_counted || !is_answered && stage.failures(&user.email, "totp", 1).await);
        let rows = stage.rows("audit_events", &user.email, "kind = 'authn_code_fail'").await;
        assert_eq!(rows, if is_counted { 2 } else { 1 });
        signs_in(replica, &user.email, &user.next_code()).await.unwrap();
        assert!(!stage.failures(&user.email, "totp", 1).await);
        is_counted
    }
}

/// Switching the second factor off, with a code in the call.
pub struct Disable;

impl Story for Disable {
    type Hand = Enrolled;
    type Answer = pb::DisableResponse;

    async fn prepare(stage: &Stage, replica: &Replica) -> Enrolled {
        replica.enrol(&stage.user()).await
    }

    async fn act(replica: &Replica, user: &Enrolled) -> Result<pb::DisableResponse, Status> {
        replica.disable(&user.session.access_token, &user.next_code()).await
    }

    async fn check(
        stage: &Stage,
        replica: &Replica,
        user: Enrolled,
        answer: Result<pb::DisableResponse, Status>,
    ) -> bool {
        let signed_in = replica.local_auth(&user.email).await.unwrap();
        let is_on = signed_in.two_fa_required;
        assert!(!is_on || answer.is_err());
        assert_eq!(stage.factors(&user.email).await, if is_on { (1, 1) } else { (0, 0) });
        let gone = stage.rows("audit_events", &user.email, "kind = 'authn_factor_deleted'").await;
        assert_eq!(gone > 0, !is_on);
        if is_on {
            // The code was not used up for nothing.
            let session = replica.verify("", &signed_in.challenge_id, &user.next_code()).await.unwrap();
            assert_eq!(replica.status(&session.access_token).await.unwrap().backup_codes_remaining, 10);
        } else {
            assert!(!replica.status(&signed_in.access_token).await.unwrap().enabled);
            replica.enrol(&user.email).await;
        }
        !is_on
    }
}

/// Making new backup codes, with a code in the call.
pub struct Regenerate;

impl Story for Regenerate {
    type Hand = Enrolled;
    type Answer = pb::GenerateBackupCodesResponse;
    const COMMITS: usize = 2;

    async fn prepare(stage: &Stage, replica: &Replica) -> Enrolled {
        replica.enrol(&stage.user()).await
    }

    async fn act(replica: &Replica, user: &Enrolled) -> Result<pb::GenerateBackupCodesResponse, Status> {
        replica.generate(&user.session.access_token, &user.next_code()).await
    }

    async fn check(
        stage: &Stage,
        replica: &Replica,
        user: Enrolled,
        answer: Result<pb::GenerateBackupCodesResponse, Status>,
    ) -> bool {
        assert_eq!(stage.factors(&user.email).await, (1, 1));
        let sets = stage.rows("audit_events", &user.email, "kind = 'authn_backup_codes_created'").await;
        let is_new = sets == 2;
        assert!(is_new || sets == 1 && answer.is_err(), "{sets}");
        let token = &user.session.access_token;
        assert_eq!(replica.status(token).await.unwrap().backup_codes_remaining, 10);
        assert_eq!(signs_in(replica, &user.email, &user.backup_codes[0]).await.is_ok(), !is_new);
        let newer = match answer {
            Ok(answer) => answer,
            // Whoever was given none asks again; the session was proven a moment ago.
            Err(_) => replica.generate(token, "").await.unwrap(),
        };
        signs_in(replica, &user.email, &newer.backup_codes[0]).await.unwrap();
        signs_in(replica, &user.email, &user.backup_codes[1]).await.unwrap_err();
        is_new
    }
}

/// Refreshing a session.
pub struct Refresh;

impl Story for Refresh {
    type Hand = (String, pb::LocalAuthResponse);
    type Answer = pb::RefreshSessionResponse;

    async fn prepare(stage: &Stage, replica: &Replica) -> Self::Hand {
        let email = stage.user();
        let session = replica.local_auth(&email).await.unwrap();
        (email, session)
    }

    async fn act(replica: &Replica, (_, session): &Self::Hand) -> Result<Self::Answer, Status> {
        replica.refresh(&session.refresh_token).await
    }

    async fn check(
        stage: &Stage,
        replica: &Replica,
        (email, session): Self::Hand,
        answer: Result<Self::Answer, Status>,
    ) -> bool {
        let renewed = stage.rows("audit_events", &email, "kind = 'session_renewed'").await;
        assert!(renewed == 1 || renewed == 0 && answer.is_err(), "{renewed}");
        assert!(replica.is_good(&session.access_token).await.unwrap());
        let again = replica.refresh(&session.refresh_token).await.unwrap();
        if let Ok(answer) = answer {
            assert_eq!(again.refresh_token, answer.refresh_token);
        }
        let next = replica.refresh(&again.refresh_token).await.unwrap();
        assert!(replica.is_good(&next.access_token).await.unwrap());
        renewed == 1
    }
}

/// Ending a session.
pub struct End;

impl Story for End {
    type Hand = (String, pb::LocalAuthResponse);
    type Answer = Response<pb::EndSessionResponse>;

    async fn prepare(stage: &Stage, replica: &Replica) -> Self::Hand {
        let email = stage.user();
        let session = replica.local_auth(&email).await.unwrap();
        (email, session)
    }

    async fn act(replica: &Replica, (_, session): &Self::Hand) -> Result<Self::Answer, Status> {
        let request = with_token(pb::EndSessionRequest { all: false }, &session.access_token);
        replica.sessions.clone().end_session(request).await
    }

    async fn check(
        stage: &Stage,
        replica: &Replica,
        (email, session): Self::Hand,
        answer: Result<Self::Answer, Status>,
    ) -> bool {
        let lives = replica.is_good(&session.access_token).await.unwrap();
        assert!(!lives || answer.is_err());
        assert_eq!(replica.refresh(&session.refresh_token).await.is_ok(), lives);
        let rows = stage.rows("audit_events", &email, "kind = 'session_ended'").await;
        assert_eq!(rows, i64::from(!lives));
        assert!(replica.local_auth(&email).await.is_ok());
        !lives
    }
}

async fn signs_in(replica: &Replica, email: &str, code: &str) -> Result<pb::VerifyResponse, Status> {
    let challenge_id = replica.local_auth(email).await?.challenge_id;
    replica.verify("", &challenge_id, code).await
}
