//! A database that was set back is told, does not serve, and after a fence lets nothing from before work again.

use std::{sync::Arc, time::Duration};

use countersign::{
    clock::{ManualClock, Timestamp},
    ephemeral::Memory,
    error::Error,
    flow::{
        self, SignIn, VerifyRequest,
        restore::{Fenced, Seen, Standing, admit, follow_epoch, restore_fence},
    },
    model::{
        Acr, Amr, Caller, Email, FactorData, FactorId, Method, NewFactor, NewSession, Origin, Proof, Session, SessionId,
    },
    secret::Secret,
    store::{Epoch, Held, Store},
    swap::Swap,
};
use tokio::task::JoinSet;

use crate::{
    ephemeral,
    home::{NOW, account, add, on_every_home},
    keys::told,
    kit::{Bench, PASSWORD, call},
};

const ALICE: &str = "alice@example.com";
const START: Timestamp = Timestamp::from_millis(0);

fn after(seconds: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(seconds))
}

/// An account with two authenticators, a phone, backup codes, a session and a password token.
async fn furnish(store: &Store, n: u8) {
    let owner = account(&format!("user{n}@example.com"));
    assert_eq!(add(store, &owner).await, Swap::Done);
    let tx = store.begin().await.unwrap();
    let data = FactorData::new(vec![1]);
    let spent = [(Method::Totp, 5), (Method::Totp, 500), (Method::Phone, 5), (Method::BackupCode, 5)];
    for (method, spent) in spent {
        let id = FactorId::new(NOW);
        tx.insert_factor(&NewFactor { id, user: owner.id, method, label: "", data: &data, spent }, NOW).await.unwrap();
    }
    let proof = Proof { auth_time: NOW, amr: Amr::password(), acr: Acr::One };
    let (idle_end_time, end_time) = (after(100), after(100));
    let session = Session { id: SessionId::new(NOW), user: owner.id, proof, idle_end_time, end_time };
    let new = NewSession { session, family_hash: [n; 32], refresh_hash: [n; 32] };
    tx.insert_session(&new, &Origin::command_line(), NOW).await.unwrap();
    tx.insert_password_token(&[n; 32], owner.id, end_time).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_fence_goes_through_every_table_to_its_end_and_may_do_so_again() {
    on_every_home(async |store| {
        for n in 0..7 {
            furnish(&store, n).await;
        }
        let raised = async |time: Timestamp| {
            let owner =
                store.find_account_by_email(&Email::parse("user6@example.com").unwrap()).await.unwrap().unwrap();
            assert_eq!(owner.security_version, time.millis());
            owner.id
        };
        for (round, begin) in [NOW, after(60)].into_iter().enumerate() {
            let of = |count: u64| if round == 0 { count } else { 0 };
            assert_eq!(store.fence_accounts(3, begin).await.unwrap(), 7);
            assert_eq!(store.fence_authenticators(3, 100).await.unwrap(), of(7), "those that were not that far");
            assert_eq!(store.fence_backup_codes(3).await.unwrap(), of(7));
            assert_eq!(store.fence_password_tokens(3).await.unwrap(), of(7));
            assert_eq!(store.fence_sessions(3).await.unwrap(), of(7));
            let owner = raised(begin).await;
            let left = store.factors(owner).await.unwrap();
            let mut left: Vec<_> = left.iter().map(|factor| (factor.method.as_str(), factor.spent)).collect();
            left.sort_unstable();
            assert_eq!(left, [("phone", 5), ("totp", 100), ("totp", 500)], "no step comes back");
            assert!(store.sessions(owner, None, 10, NOW).await.unwrap().is_empty());
            assert_eq!(store.find_password_token(&[6; 32], NOW).await.unwrap(), None);
        }
        // A clock that is behind takes no version back.
        assert_eq!(store.fence_accounts(1000, NOW).await.unwrap(), 7);
        raised(after(60).plus(Duration::from_millis(1))).await;
    })
    .await;
}

#[tokio::test]
async fn the_epoch_is_raised_from_what_it_is_and_not_while_a_fence_is_under_way() {
    on_every_home(async |store| {
        let epoch = |value, fence_begin| Epoch { value, fence_begin, fence_end: None };
        assert_eq!(store.epoch().await.unwrap(), epoch(START, None));
        assert_eq!(store.raise_epoch(START, NOW).await.unwrap(), Swap::Done);
        assert_eq!(store.raise_epoch(START, after(1)).await.unwrap(), Swap::Stale, "another was first");
        let before = epoch(NOW, None);
        assert_eq!(store.save_fence_begin(before, Some(after(2))).await.unwrap(), Swap::Done);
        assert_eq!(store.save_fence_begin(before, Some(after(3))).await.unwrap(), Swap::Stale, "one of two at once");
        assert_eq!(store.raise_epoch(NOW, after(4)).await.unwrap(), Swap::Stale);
        let (first, second) = (epoch(NOW, Some(after(2))), epoch(NOW, Some(after(5))));
        assert_eq!(store.save_fence_begin(first, second.fence_begin).await.unwrap(), Swap::Done, "it is taken over");
        let end = async |begun| {
            let tx = store.begin().await.unwrap();
            let ended = tx.end_fence(begun, after(6)).await.unwrap();
            tx.commit().await.unwrap();
            ended
        };
        assert_eq!((end(first).await, end(second).await), (Swap::Stale, Swap::Done));
        let ended = Epoch { value: after(6), fence_begin: None, fence_end: Some(after(6)) };
        assert_eq!(store.epoch().await.unwrap(), ended);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ephemeral_store_knows_the_furthest_that_a_database_has_come() {
    ephemeral::on_every_home(async |store| {
        let (one, other) = ([1; 32], [2; 32]);
        assert_eq!(store.raise_epoch(one, START).await.unwrap(), START, "a new store knows nothing");
        let mut raising = JoinSet::new();
        for n in 0..50 {
            let store = Arc::clone(&store);
            raising.spawn(async move { assert!(store.raise_epoch(one, after(n)).await.unwrap() >= after(n)) });
        }
        raising.join_all().await;
        assert_eq!(store.raise_epoch(one, START).await.unwrap(), after(49));
        assert_eq!(store.raise_epoch(one, after(48)).await.unwrap(), after(49));
        assert_eq!(store.raise_epoch(other, NOW).await.unwrap(), NOW, "each database has its own");
        store.sweep(after(1_000_000)).await.unwrap();
        assert_eq!(store.raise_epoch(one, START).await.unwrap(), after(49));
    })
    .await;
}

/// Fences the database of a bench at a moment.
async fn fence(bench: &Bench, now: Timestamp) -> Result<Fenced, Error> {
    let (store, ring) = (&bench.kit.store, &bench.kit.ring);
    restore_fence(store, bench.kit.ephemeral.as_ref(), ring, &ManualClock::at(now), &call(now)).await
}

/// Goes by the epoch for a while; answers whether it was good all the time.
async fn follow(bench: &Bench, seen: &mut Seen, seconds: std::ops::Range<u64>) -> bool {
    for second in seconds.step_by(2) {
        if !matches!(follow_epoch(&bench.kit, seen, after(second)).await.unwrap(), Standing::Good) {
            return false;
        }
    }
    true
}

#[tokio::test]
async fn a_database_that_was_set_back_is_told_and_serves_after_a_fence() {
    let bench = Bench::new(&[]).await;
    let mut seen = Seen::default();
    admit(&bench.kit, NOW).await.unwrap();
    assert!(follow(&bench, &mut seen, 0..60).await);
    let known = bench.kit.store.epoch().await.unwrap().value;
    assert!(known > after(50) && seen.epoch > Some(after(50)), "it is raised while the service runs");
    // As the backup of a minute before has it.
    bench.execute(&format!("UPDATE restore_fence SET epoch = {}", NOW.millis())).await;
    let refused = told(admit(&bench.kit, after(60)).await);
    for part in ["database.url", "was set back", "remedy", "countersign restore-fence"] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    assert!(!follow(&bench, &mut seen, 60..62).await, "nor does one go on that has served");
    let mut another = Seen::default();
    assert!(!follow(&bench, &mut another, 60..100).await, "and nobody raises it meanwhile");
    assert_eq!(bench.kit.store.epoch().await.unwrap().value, NOW);
    let fenced = fence(&bench, after(100)).await.unwrap();
    assert!(fenced.epoch > known && fenced.before == NOW && fenced.is_told, "{fenced:?}");
    admit(&bench.kit, after(100)).await.unwrap();
    assert!(follow(&bench, &mut Seen::default(), 100..160).await);
    assert_eq!(bench.count("SELECT COUNT(*) AS n FROM audit_events WHERE kind = 'sys_restore_fenced'").await, 1);
    assert!(!follow(&bench, &mut another, 160..162).await, "one that was suspended all the while does not go on");
    // Where clocks were set back too, it comes after what is known all the same.
    let again = fence(&bench, NOW).await.unwrap();
    assert!(again.epoch > fenced.epoch, "{again:?}");
    admit(&bench.kit, NOW).await.unwrap();
    bench.execute("UPDATE restore_fence SET epoch = 0").await;
    let anew = fence(&bench, NOW).await.unwrap();
    assert!(anew.epoch > again.epoch, "nor may the database know less than the ephemeral store: {anew:?}");
    admit(&bench.kit, NOW).await.unwrap();
}

#[tokio::test]
async fn a_replica_that_is_slow_takes_what_another_has_raised_meanwhile_for_no_restore() {
    let bench = Bench::new(&[]).await;
    let mut seen = Seen::default();
    assert!(follow(&bench, &mut seen, 0..20).await);
    let (store, from, to) = (bench.kit.store.clone(), bench.kit.store.epoch().await.unwrap().value, after(40));
    // It has read the database, and is held up before it asks the ephemeral store.
    bench
        .ephemeral
        .meanwhile(Box::pin(async move { assert_eq!(store.raise_epoch(from, to).await.unwrap(), Swap::Done) }), to);
    assert!(follow(&bench, &mut seen, 20..22).await);
    admit(&bench.kit, after(50)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_raise_it_at_once_take_none_of_each_other_for_a_restore() {
    let bench = Arc::new(Bench::new(&[]).await);
    let mut replicas = JoinSet::new();
    for _ in 0..4 {
        let bench = Arc::clone(&bench);
        replicas.spawn(async move {
            let mut seen = Seen::default();
            for second in (0..2000).step_by(5) {
                let standing = follow_epoch(&bench.kit, &mut seen, after(second)).await.unwrap();
                assert!(matches!(standing, Standing::Good), "{standing:?}");
            }
        });
    }
    replicas.join_all().await;
}

#[tokio::test]
async fn what_remembers_it_is_enough_when_the_ephemeral_store_was_flushed() {
    let bench = Bench::new(&[]).await;
    let mut seen = Seen::default();
    assert!(follow(&bench, &mut seen, 0..60).await);
    let flushed = Bench::over(Arc::new(Memory::new(10)), &[]).await;
    admit(&flushed.kit, NOW).await.unwrap();
    // Another database, and a process that has seen its own further.
    assert!(!follow(&flushed, &mut seen, 60..62).await);
    let mut anew = Seen::default();
    assert!(follow(&flushed, &mut anew, 60..80).await);
    flushed.execute(&format!("UPDATE restore_fence SET epoch = {}", NOW.millis())).await;
    assert!(told(admit(&flushed.kit, after(80)).await).contains("was set back"), "it is told there again");
}

#[tokio::test]
async fn a_fence_that_was_cut_off_lets_nobody_serve_until_it_is_done_again() {
    let bench = Bench::new(&[ALICE]).await;
    bench.token(ALICE).await;
    bench.execute("CREATE TRIGGER cut BEFORE DELETE ON sessions BEGIN SELECT RAISE(ABORT, 'cut'); END").await;
    assert!(fence(&bench, after(10)).await.is_err());
    let epoch = bench.kit.store.epoch().await.unwrap();
    assert_eq!(epoch, Epoch { value: START, fence_begin: Some(after(10)), fence_end: None });
    let refused = told(admit(&bench.kit, after(11)).await);
    assert!(refused.contains("being fenced") && refused.contains("remedy"), "{refused}");
    assert!(!follow(&bench, &mut Seen::default(), 11..13).await);
    bench.execute("DROP TRIGGER cut").await;
    let fenced = fence(&bench, after(10)).await.unwrap();
    assert_eq!((fenced.sessions, fenced.accounts), (1, 1));
    admit(&bench.kit, after(20)).await.unwrap();
}

#[tokio::test]
async fn a_fence_is_refused_while_a_replica_serves_and_leaves_everything_as_it_was() {
    let bench = Bench::new(&[ALICE]).await;
    let store = bench.kit.store.clone();
    bench.token(ALICE).await;
    // What a backup tells of replicas: of its time, and it stays so.
    store.report_replica("restored", &Held::default(), NOW).await.unwrap();
    store.report_replica("living", &Held::default(), NOW).await.unwrap();
    // Not even marked: a mark ends whoever serves.
    bench.execute("CREATE TRIGGER mark BEFORE UPDATE ON restore_fence BEGIN SELECT RAISE(ABORT, 'marked'); END").await;
    let speaks = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        store.report_replica("living", &Held::default(), after(2)).await.unwrap();
    };
    let (refused, ()) = tokio::join!(fence(&bench, after(1)), speaks);
    let refused = told(refused);
    assert!(refused.contains("1 replicas serve") && refused.contains("living"), "{refused}");
    assert!(!refused.contains("restored") && refused.contains("remedy"), "{refused}");
    assert_eq!(store.epoch().await.unwrap(), Epoch { value: START, fence_begin: None, fence_end: None });
    assert_eq!(bench.count("SELECT COUNT(*) AS n FROM sessions").await, 1);
    bench.execute("DROP TRIGGER mark").await;
    // Silent for half a minute.
    assert_eq!(fence(&bench, after(40)).await.unwrap().sessions, 1);
}

#[tokio::test]
async fn a_replica_that_starts_while_a_fence_begins_is_seen_by_it() {
    let bench = Bench::new(&[ALICE]).await;
    bench.token(ALICE).await;
    // It reports between the fence's first look and its mark.
    bench
        .execute(&format!(
            "CREATE TRIGGER starts BEFORE UPDATE ON restore_fence WHEN NEW.begin_time IS NOT NULL BEGIN INSERT OR REPLACE INTO \
             replicas VALUES ('late', {}, '', ''); END",
            after(1).millis()
        ))
        .await;
    let refused = told(fence(&bench, after(1)).await);
    assert!(refused.contains("late"), "{refused}");
    let (store, epoch) = (&bench.kit.store, Epoch { value: START, fence_begin: None, fence_end: None });
    assert_eq!(store.epoch().await.unwrap(), epoch, "the mark is taken away");
    assert_eq!(bench.count("SELECT COUNT(*) AS n FROM sessions").await, 1);
}

/// Opens a challenge of a sign-in.
async fn challenge(bench: &Bench, now: Timestamp) -> String {
    let signed_in = flow::local_auth(&bench.kit, ALICE, &Secret::new(PASSWORD.to_owned()), &call(now)).await;
    let SignIn::Challenge(open) = signed_in.unwrap() else { panic!("a factor is asked for") };
    open.handle.to_text()
}

async fn answer(bench: &Bench, challenge_id: String, code: String, now: Timestamp) -> String {
    let request = VerifyRequest { code, challenge_id, method: None };
    told(flow::verify(&bench.kit, &Caller::Anonymous, &request, &call(now)).await)
}

#[tokio::test]
async fn a_challenge_of_a_version_that_was_lost_is_not_opened_by_the_version_of_the_fence() {
    let bench = Bench::new(&[ALICE]).await;
    let token = bench.token(ALICE).await;
    let app = bench.enable(&token).await;
    let caller = bench.admit("TwoFaService/Verify", &token, NOW).await.unwrap();
    let request = VerifyRequest { code: app(NOW), challenge_id: String::new(), method: None };
    flow::verify(&bench.kit, &caller, &request, &call(NOW)).await.unwrap();
    // After the backup the account comes a version further, and a challenge is opened that Redis keeps; then the backup is restored.
    bench.execute("UPDATE users SET security_version = security_version + 1").await;
    let open = challenge(&bench, after(60)).await;
    bench.execute("UPDATE users SET security_version = security_version - 1").await;
    let spent = fence(&bench, after(60)).await.unwrap();
    assert_eq!((spent.authenticators, spent.backup_codes), (1, 1));
    let late = after(150);
    assert!(answer(&bench, open, app(late), late).await.contains("challenge"), "it is over");
    // A new one takes the next code, and none of those that could have been used.
    for used in [60, 90] {
        let open = challenge(&bench, after(70)).await;
        assert!(answer(&bench, open, app(after(used)), after(70)).await.contains("code is not valid"), "{used}");
    }
    let open = challenge(&bench, after(90)).await;
    assert_eq!(answer(&bench, open, app(after(120)), after(90)).await, "OK");
}
