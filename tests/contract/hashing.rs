//! What the hash pool promises: one hash a password, also for strangers; bounded queues; second factors first.

use std::sync::{Arc, Mutex};

use countersign::{
    error::{Error, Refusal},
    flow::{self, SignIn},
    hash::{Cost, Costs, Hasher, Queue},
    model::Email,
    secret::Secret,
};
use tokio::task::JoinSet;

use crate::kit::{Bench, NOW, PASSWORD, call};

fn text(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

#[tokio::test]
async fn a_password_verifies_against_its_own_hash_alone() {
    let hasher = Hasher::start(1).unwrap();
    let hash = hasher.hash(Queue::SignIn, text("a password")).await.unwrap();
    assert!(hash.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.expose());
    assert!(hasher.verify(Queue::SignIn, text("a password"), Some(&hash)).await.unwrap());
    assert!(!hasher.verify(Queue::SignIn, text("another"), Some(&hash)).await.unwrap());
    let again = hasher.hash(Queue::SignIn, text("a password")).await.unwrap();
    assert_ne!(hash.expose(), again.expose(), "each has its own salt");
}

#[tokio::test]
async fn the_hash_is_what_any_other_argon2_makes() {
    let hasher = Hasher::start(1).unwrap();
    let foreign = "$argon2id$v=19$m=8192,t=3,p=1$c29tZXNhbHRzb21lc2FsdA$";
    let mut output = [0; 32];
    let params = argon2::Params::new(8192, 3, 1, Some(32)).unwrap();
    argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params)
        .hash_password_into(b"a password", b"somesaltsomesalt", &mut output)
        .unwrap();
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD_NO_PAD, output);
    let phc = text(&format!("{foreign}{encoded}"));
    assert!(hasher.verify(Queue::SignIn, text("a password"), Some(&phc)).await.unwrap());
}

#[tokio::test]
async fn a_stranger_costs_as_many_hashes_as_a_wrong_password_and_is_never_right() {
    let hasher = Hasher::start(1).unwrap();
    let hash = hasher.hash(Queue::SignIn, text("a password")).await.unwrap();
    let before = hasher.jobs_done();
    assert!(!hasher.verify(Queue::SignIn, text("wrong"), Some(&hash)).await.unwrap());
    assert_eq!(hasher.jobs_done(), before + 1);
    assert!(!hasher.verify(Queue::SignIn, text("wrong"), None).await.unwrap());
    assert_eq!(hasher.jobs_done(), before + 2);
}

#[tokio::test]
async fn ten_digests_are_one_job_and_let_others_go_first() {
    let hasher = Hasher::start(1).unwrap();
    let before = hasher.jobs_done();
    let order = Mutex::new(Vec::new());
    let digests = async |name: &'static str, texts: Vec<Secret<String>>, salt| {
        let digests = hasher.digests(Queue::SignIn, texts, salt).await.unwrap();
        order.lock().unwrap().push(name);
        digests
    };
    // Both are in the queue before either can be done: the one that takes long first.
    let ten = (0..10).map(|n| text(&n.to_string())).collect();
    let (many, one) = tokio::join!(digests("ten", ten, [7; 16]), digests("one", vec![text("3")], [7; 16]));
    assert_eq!(*order.lock().unwrap(), ["one", "ten"]);
    assert_eq!((many.len(), hasher.jobs_done()), (10, before + 2));
    assert_eq!(many[3], one[0]);
    assert_ne!(many[3], digests("other", vec![text("3")], [8; 16]).await[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_at_once_and_the_other_queue_does_not_care() {
    let hasher = Arc::new(Hasher::start(1).unwrap());
    let mut sign_ins = JoinSet::new();
    for _ in 0..80 {
        let hasher = Arc::clone(&hasher);
        sign_ins.spawn(async move { hasher.verify(Queue::SignIn, text("wrong"), None).await });
    }
    let code = hasher.verify(Queue::SecondFactor, text("wrong"), None).await;
    assert!(code.is_ok());
    let (mut refused, mut done) = (0, 0);
    for result in sign_ins.join_all().await {
        match result {
            Ok(_) => done += 1,
            Err(Error::Refused(Refusal::RateLimited { retry_after: Some(_) })) => refused += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(refused + done, 80);
    // Whoever waited too long on a slow machine is refused as well.
    assert!(done >= 1 && refused >= 15, "{done} done, {refused} refused");
}

/// Field 41 of /proc/…/stat is the policy, and 5 is SCHED_IDLE (proc(5), sched(7)).
#[tokio::test]
async fn the_threads_run_when_nothing_else_wants_the_core() {
    const IDLE: &str = "5";
    let hasher = Hasher::start(1).unwrap();
    for _ in 0..5 {
        hasher.hash(Queue::SignIn, text("a password")).await.unwrap();
    }
    let mut policies = Vec::new();
    for thread in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        // A thread of another test may have ended meanwhile.
        let Ok(stat) = std::fs::read_to_string(thread.path().join("stat")) else { continue };
        let (name, fields) = stat.rsplit_once(") ").unwrap();
        // Those of a hasher that has just begun have not come to it yet.
        if name.contains("(argon2-") && fields.split(' ').nth(11) != Some("0") {
            policies.push(fields.split(' ').nth(38).unwrap().to_owned());
        }
    }
    assert!(!policies.is_empty() && policies.iter().all(|policy| policy == IDLE), "{policies:?}");
}

#[tokio::test]
async fn a_password_that_was_hashed_for_less_is_hashed_anew_when_it_is_right_and_no_other_is() {
    const ALICE: &str = "alice@example.com";
    let mut bench = Bench::new(&[ALICE]).await;
    let email = Email::parse(ALICE).unwrap();
    let stored = async |bench: &Bench| {
        let account = bench.kit.store.find_account_by_email(&email).await.unwrap().unwrap();
        (account.password_hash.unwrap().expose().clone(), account.security_version)
    };
    let (before, _) = stored(&bench).await;
    assert!(before.contains("m=8,t=1,"), "{before}");
    let dearer = Cost { memory: 16, passes: 2 };
    bench.kit.hasher =
        Hasher::with_cost(1, Costs { passwords: dearer, digests: Cost { memory: 8, passes: 1 } }).unwrap();
    let wrong = flow::local_auth(&bench.kit, ALICE, &text("a wrong password"), &call(NOW)).await;
    assert!(wrong.is_err());
    assert_eq!(stored(&bench).await.0, before);
    bench.enrol(&bench.token(ALICE).await).await;
    let (after, _) = stored(&bench).await;
    assert!(after.contains("m=16,t=2,"), "{after}");
    let again = flow::local_auth(&bench.kit, ALICE, &text(PASSWORD), &call(NOW)).await.unwrap();
    assert!(matches!(again, SignIn::Challenge(_)), "the password is as it was");
    assert_eq!(stored(&bench).await.0, after, "once");
    // What costs less now is left as it is.
    bench.kit.hasher = Hasher::with_cost(1, Cost { memory: 8, passes: 1 }).unwrap();
    flow::local_auth(&bench.kit, ALICE, &text(PASSWORD), &call(NOW)).await.unwrap();
    assert_eq!(stored(&bench).await.0, after);
}
