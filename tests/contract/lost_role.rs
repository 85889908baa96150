//! An administrator who is one no more when the write begins, though the call was let in: nothing is written.

use std::{future::Future, pin::Pin, time::Duration};

use countersign::{
    clock::Timestamp,
    error::{Error, Refusal},
    flow::admin::{self, CreateUserRequest, SettingsRequest, UpdateUserRequest},
    model::{Caller, Email, Principal, Role, SettingsChange, UserId},
    secret::Secret,
    token::refresh::IDLE_LIFE,
};

use crate::kit::{Bench, NOW, call};

const BOSS: &str = "boss@example.com";
const BOB: &str = "bob@example.com";

/// Everything that an administrator can write. What comes last leaves nobody to do it to.
const WRITES: [&str; 11] = [
    "create a user",
    "create an administrator",
    "update",
    "block",
    "unblock",
    "unlock",
    "reset",
    "revoke",
    "issue a token",
    "settings",
    "delete",
];

async fn user(bench: &Bench, email: &str) -> UserId {
    bench.kit.store.find_account_by_email(&Email::parse(email).unwrap()).await.unwrap().unwrap().id
}

/// A bench, an administrator who was let in with a fresh second factor, and somebody else.
async fn bench() -> (Bench, Principal, UserId) {
    let bench = Bench::new(&[BOSS, BOB]).await;
    let token = bench.token(BOSS).await;
    bench.enrol(&token).await;
    let boss = user(&bench, BOSS).await;
    set_role(&bench, boss, "admin").await;
    let Caller::User(principal) = bench.admit("AdminService/BlockUser", &token, NOW).await.unwrap() else {
        panic!("an administrator")
    };
    assert!(principal.role == Role::Admin && principal.is_assured);
    let bob = user(&bench, BOB).await;
    (bench, principal, bob)
}

async fn set_role(bench: &Bench, user: UserId, role: &str) {
    bench.execute(&format!("UPDATE users SET role = '{role}' WHERE id = x'{}'", user.uuid().simple())).await;
}

fn new(email: &str, role: Role) -> CreateUserRequest {
    CreateUserRequest {
        email: email.to_owned(),
        role,
        phone_number: String::new(),
        notice_email: String::new(),
        password: Secret::new(String::new()),
        request_id: String::new(),
    }
}

async fn write(bench: &Bench, boss: &Principal, what: &str, bob: UserId, now: Timestamp) -> Result<(), Error> {
    let (kit, call, why) = (&bench.kit, &call(now), "asked for");
    let update = UpdateUserRequest {
        user: bob,
        etag: String::new(),
        email: Some("robert@example.com".to_owned()),
        notice_email: None,
        role: None,
        blocked: false,
        phone_number: String::new(),
    };
    let change = SettingsChange { totp_digits: Some(8), ..SettingsChange::default() };
    let settings = SettingsRequest { change, version: None };
    let (user, admin) = (new("carol@example.com", Role::User), new("dave@example.com", Role::Admin));
    // Boxed, so that all of them are of one type.
    let written: Pin<Box<dyn Future<Output = Result<(), Error>> + '_>> = match what {
        "create a user" => Box::pin(async { admin::create_user(kit, boss, &user, call).await.map(|_| ()) }),
        "create an administrator" => Box::pin(async { admin::create_user(kit, boss, &admin, call).await.map(|_| ()) }),
        "update" => Box::pin(async { admin::update_user(kit, boss, &update, call).await.map(|_| ()) }),
        "block" => Box::pin(async { admin::block_user(kit, boss, bob, why, call).await.map(|_| ()) }),
        "unblock" => Box::pin(async { admin::unblock_user(kit, boss, bob, why, call).await.map(|_| ()) }),
        "unlock" => Box::pin(admin::unlock(kit, boss, bob, why, call)),
        "reset" => Box::pin(async { admin::reset_two_fa(kit, boss, bob, why, call).await.map(|_| ()) }),
        "revoke" => Box::pin(async { admin::revoke_sessions(kit, boss, bob, why, call).await.map(|_| ()) }),
        "issue a token" => Box::pin(async { admin::issue_password_reset(kit, boss, bob, why, call).await.map(|_| ()) }),
        "settings" => Box::pin(async { admin::update_settings(kit, boss, &settings, call).await.map(|_| ()) }),
        "delete" => Box::pin(admin::delete_user(kit, boss, bob, "", why, call)),
        other => panic!("{other}"),
    };
    written.await
}

async fn records(bench: &Bench) -> i64 {
    bench.count("SELECT COUNT(*) AS n FROM audit_events").await
}

/// Tries every write, each of which must be refused and leave no record: of what is written there is one.
async fn nothing_is_written(bench: &Bench, boss: &Principal, bob: UserId, now: Timestamp, refusal: &Refusal) {
    let before = records(bench).await;
    for what in WRITES {
        let refused = write(bench, boss, what, bob, now).await;
        assert!(matches!(&refused, Err(Error::Refused(why)) if why == refusal), "{what}: {refused:?}");
        assert_eq!(records(bench).await, before, "{what}");
    }
}

#[tokio::test]
async fn an_administrator_whose_role_went_after_the_call_was_let_in_writes_nothing() {
    let (bench, boss, bob) = bench().await;
    set_role(&bench, boss.user, "user").await;
    nothing_is_written(&bench, &boss, bob, NOW, &Refusal::PermissionDenied).await;
}

#[tokio::test]
async fn nor_does_one_who_was_blocked_or_whose_session_has_ended() {
    let (bench, boss, bob) = bench().await;
    let late = NOW.plus(IDLE_LIFE);
    nothing_is_written(&bench, &boss, bob, late, &Refusal::Unauthenticated).await;
    let of_boss = boss.user.uuid().simple();
    bench.execute(&format!("UPDATE users SET blocked = TRUE WHERE id = x'{of_boss}'")).await;
    nothing_is_written(&bench, &boss, bob, NOW, &Refusal::Unauthenticated).await;
    bench.execute("UPDATE users SET blocked = FALSE").await;
    bench.execute(&format!("DELETE FROM sessions WHERE user_id = x'{of_boss}'")).await;
    nothing_is_written(&bench, &boss, bob, NOW, &Refusal::Unauthenticated).await;
}

#[tokio::test]
async fn whoever_still_is_one_to_the_last_moment_of_the_session_writes_all_of_it() {
    let (bench, boss, bob) = bench().await;
    let last = NOW.plus(IDLE_LIFE - Duration::from_millis(1));
    for what in WRITES {
        let before = records(&bench).await;
        write(&bench, &boss, what, bob, last).await.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        assert!(records(&bench).await > before, "{what}");
    }
}
