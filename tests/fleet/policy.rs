//! The policy on several replicas: what is changed on one holds on all, and nobody is stranded while it changes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use countersign::wire::pb::{self, two_fa_service_client::TwoFaServiceClient};
use tokio::task::JoinSet;
use tonic::{Response, transport::Channel};

use crate::{
    provider::Provider,
    replica::{BUSY, Enrolled, Fleet, PASSWORD, Replica, reason, unix_seconds, until, with_token},
    servers::{redis, sql::Sql},
};

/// Every replica follows within this.
const FOLLOWED: Duration = Duration::from_secs(5);
const USERS: usize = 50;
const AT_ONCE: usize = 6;
fn off(methods: bool) -> pb::Settings {
    if methods {
        let allowed = [pb::Method::Phone, pb::Method::BackupCode].map(i32::from);
        let preferred_method = pb::Method::Phone.into();
        pb::Settings { allowed_methods: allowed.to_vec(), preferred_method, ..Default::default() }
    } else {
        pb::Settings { two_fa_enabled: Some(false), ..Default::default() }
    }
}

fn on() -> pb::Settings {
    let allowed = [pb::Method::Totp, pb::Method::Phone, pb::Method::BackupCode].map(i32::from);
    let preferred_method = pb::Method::Totp.into();
    pb::Settings {
        two_fa_enabled: Some(true),
        allowed_methods: allowed.to_vec(),
        preferred_method,
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_changed_on_one_replica_holds_on_another_within_five_seconds() {
    for sql in Sql::shared() {
        let fleet = Fleet::new(&sql.new_database(), &redis::url(redis::shared()));
        let (here, there) = (fleet.replica().await, fleet.replica().await);
        fleet.add_admin("admin@example.com");
        fleet.add_user("user@example.com");
        let admin = here.enrol("admin@example.com").await.session.access_token;
        let required = pb::Settings {
            required_for: pb::RequiredFor::All.into(),
            grace_period: Some(prost_types::Duration::default()),
            ..Default::default()
        };
        here.update_settings(&admin, required).await.unwrap();
        assert!(here.local_auth("user@example.com").await.unwrap().enrollment_required, "here at once");
        until("the other replica follows", FOLLOWED, async || {
            there.local_auth("user@example.com").await.is_ok_and(|answer| answer.enrollment_required)
        })
        .await;
    }
}

/// Whether a password may be enough now: from the moment that two-factor authentication is switched off until every replica knows
/// that it is on again.
#[derive(Default)]
struct Switch {
    is_off: AtomicBool,
    is_over: AtomicBool,
    sign_ins: AtomicUsize,
    waived: AtomicUsize,
}

/// Signs users in again and again, and looks at what each is asked.
async fn load(mut clients: Vec<TwoFaServiceClient<Channel>>, emails: Vec<String>, switch: Arc<Switch>, first: usize) {
    let mut n = first;
    while !switch.is_over.load(Ordering::SeqCst) {
        let email = &emails[n % emails.len()];
        let was_off = switch.is_off.load(Ordering::SeqCst);
        let request = pb::LocalAuthRequest { email: email.clone(), password: PASSWORD.to_owned() };
        let at = n % clients.len();
        let answer = clients[at].local_auth(request).await.map(Response::into_inner);
        let is_off = switch.is_off.load(Ordering::SeqCst);
        match answer {
            Ok(answer) if answer.two_fa_required => {
                assert!(answer.methods().any(|method| method == pb::Method::Totp), "{email} could not answer");
            }
            Ok(answer) => {
                assert!(!answer.access_token.is_empty(), "{email} was led to enrol what they have");
                assert!(was_off || is_off, "the factor of {email} was waived");
                switch.waived.fetch_add(1, Ordering::SeqCst);
            }
            Err(status) => assert!(BUSY.contains(&reason::<()>(&Err(status.clone())).as_str()), "{email}: {status:?}"),
        }
        switch.sign_ins.fetch_add(1, Ordering::SeqCst);
        n += AT_ONCE;
    }
}

async fn make_users(fleet: &Fleet, replica: &Replica, admin: &str) -> Vec<Enrolled> {
    // Without backup codes, which take a second to make.
    let without = pb::Settings { backup_codes_enabled: Some(false), ..Default::default() };
    replica.update_settings(admin, without).await.unwrap();
    let mut users = Vec::new();
    for n in 0..USERS {
        let email = format!("user{n}@example.com");
        let request = pb::CreateUserRequest {
            user: Some(pb::User { email: email.clone(), ..Default::default() }),
            password: PASSWORD.to_owned(),
            ..Default::default()
        };
        replica.admin.clone().create_user(with_token(request, admin)).await.unwrap();
        // By the code of the step before, for as long as it is that: the one of now and the next are good for later.
        until("a step with time left", Duration::from_secs(10), async || unix_seconds() % 30 < 24).await;
        users.push(replica.enrol_by(&email, unix_seconds() - 30).await);
    }
    assert_eq!(fleet.count("SELECT COUNT(*) AS n FROM factors WHERE method = 'totp'").await, 51);
    users
}

/// Every user signs in with a code, and then with the next one that is good.
async fn all_sign_in(replica: &Replica, users: &mut [Enrolled]) {
    for user in users {
        let answer = replica.patient_local_auth(&user.email).await;
        assert!(answer.two_fa_required, "{}", user.email);
        // The one before is used up; a code of the next step is good already.
        user.confirmed = (user.confirmed + 30).max(unix_seconds());
        until("the next code is good", Duration::from_secs(40), async || user.confirmed <= unix_seconds() + 29).await;
        let code = user.app.generate(user.confirmed).to_string();
        let session = replica.verify("", &answer.challenge_id, &code).await.unwrap();
        assert!(!session.access_token.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_users_can_sign_in_whatever_is_switched_off_and_on_again() {
    for sql in Sql::shared() {
        let provider = Provider::start().await;
        let fleet = Fleet::new(&sql.new_database(), &redis::url(redis::shared()));
        let replicas = [fleet.replica_with(&provider.twilio()).await, fleet.replica_with(&provider.twilio()).await];
        fleet.add_admin("admin@example.com");
        let admin = replicas[0].enrol("admin@example.com").await;
        let token = &admin.session.access_token;
        let mut users = make_users(&fleet, &replicas[0], token).await;
        let emails: Vec<_> = users.iter().map(|user| user.email.clone()).collect();
        let clients: Vec<_> = replicas.iter().map(|replica| replica.twofa.clone()).collect();
        let switch = Arc::new(Switch::default());
        let mut load_under_way = JoinSet::new();
        for n in 0..AT_ONCE {
            load_under_way.spawn(load(clients.clone(), emails.clone(), Arc::clone(&switch), n));
        }

        replicas[0].update_settings(token, off(true)).await.unwrap();
        all_sign_in(&replicas[1], &mut users).await;

        switch.is_off.store(true, Ordering::SeqCst);
        replicas[0].update_settings(token, off(false)).await.unwrap();
        until("the other replica follows", FOLLOWED, async || {
            replicas[1].patient_local_auth(&emails[0]).await.two_fa_required.eq(&false)
        })
        .await;
        assert!(replicas[1].patient_local_auth("admin@example.com").await.two_fa_required, "not for administrators");

        replicas[0].update_settings(token, on()).await.unwrap();
        until("the other replica follows", FOLLOWED, async || {
            replicas[1].patient_local_auth(&emails[0]).await.two_fa_required
        })
        .await;
        switch.is_off.store(false, Ordering::SeqCst);
        all_sign_in(&replicas[0], &mut users).await;

        switch.is_over.store(true, Ordering::SeqCst);
        load_under_way.join_all().await;
        let (sign_ins, waived) = (switch.sign_ins.load(Ordering::SeqCst), switch.waived.load(Ordering::SeqCst));
        assert!(sign_ins > 2 * USERS && waived > 0, "{sign_ins} {waived}");
        assert_eq!(fleet.count("SELECT COUNT(*) AS n FROM factors WHERE method = 'totp'").await, 51, "none is lost");
        let gone = "SELECT COUNT(*) AS n FROM audit_events WHERE kind = 'authn_factor_deleted'";
        assert_eq!(fleet.count(gone).await, 0);
    }
}
