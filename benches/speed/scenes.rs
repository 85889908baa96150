//! The order of the measurements on one stack.

use std::time::Duration;

use tokio::task::JoinSet;

use crate::{
    crowd::Crowd,
    limits::{Limit, Limits},
    load::{Extent, Run, paced, saturate},
    seed::{self, Part},
    stack::{Fleet, Kind, Stack},
    table, usage,
    verbs::Verb,
};

/// Sessions that refreshes, validations and the like go round.
const SESSIONS: usize = 1000;
/// Challenges that are opened at a time: they are answered before they end.
const CHALLENGES: usize = 20_000;

/// What a run has used, in all.
pub struct Cost {
    pub service: Duration,
    pub stores: Duration,
    pub load: Duration,
    /// Memory of a replica at the end.
    pub resident: u64,
    /// What a replica's memory rose by at most, for each call that it had in its hands.
    pub each: u64,
}

/// Everything on one stack.
pub async fn play(kind: Kind, users: u32, replicas: &[usize], verbs: &[Verb], seconds: f64, brief: bool) {
    let stack = Stack::start(kind);
    let spare = seed::users(&stack, users).await;
    let limits = Limits::prepare(&stack, spare).await;
    let replicas = if kind == Kind::Sqlite { &[1] } else { replicas };
    // For the whole run, since calls under way outlive what started them.
    let crowd: &'static Crowd = Box::leak(Box::new(Crowd::new(users)));
    for count in replicas {
        let fleet = stack.serve(*count).await;
        crowd.connect(fleet.clients.clone());
        let plural = if *count == 1 { "replica" } else { "replicas" };
        table::title(&format!("{}: {count} {plural}, {users} users", kind.title()));
        table::calls_head();
        for verb in verbs {
            call(&stack, &fleet, crowd, *verb, seconds, &limits).await;
        }
        if !brief && *count == 1 {
            flood(crowd, seconds).await;
        }
    }
    if !brief {
        limits.rate(Limit::RedisScript, seconds).await;
        table::limits(&limits);
        start(&stack).await;
    }
}

async fn call(stack: &Stack, fleet: &Fleet, crowd: &'static Crowd, verb: Verb, seconds: f64, limits: &Limits) {
    if crowd.sessions.lock().unwrap().is_empty() {
        crowd.open_sessions(SESSIONS).await;
        crowd.introduce_regulars().await;
    }
    let callers = if verb.hashes() { 8 } else { 32 };
    let calls = prepare(crowd, verb, seconds).await;
    // Before and after, since the machine is not the same from minute to minute.
    let limit_before = limits.rate_of_all(verb.limit().0, seconds / 2.0).await;
    let replica = fleet.replicas[0].pid();
    usage::forget_peak(replica);
    let quiet = usage::resident(replica);
    let before = stack.spent(fleet);
    let fast = saturate(callers, Extent { seconds, calls }, move |_| verb.call(crowd)).await;
    let after = stack.spent(fleet);
    let peak = usage::peak(replica);
    let limit_after = limits.rate_of_all(verb.limit().0, seconds / 2.0).await;
    let cost = Cost {
        service: after.service.saturating_sub(before.service),
        stores: after.stores.saturating_sub(before.stores),
        load: after.load.saturating_sub(before.load),
        resident: usage::resident(replica),
        each: peak.saturating_sub(quiet) * fleet.replicas.len() as u64 / callers as u64,
    };
    let calls = prepare(crowd, verb, seconds).await;
    let slow: Run = paced(fast.rate() / 2.0, Extent { seconds, calls }, move |_| verb.call(crowd)).await;
    assert!(fast.done > 0 && fast.faults.is_empty() && slow.faults.is_empty(), "{:?} {:?}", fast.faults, slow.faults);
    let limit = (limit_before + limit_after) / 2.0;
    table::call(verb, &fast, &cost, &slow, limit.is_finite().then_some(limit));
}

/// Opens the challenges that a call needs; answers how many calls can be made.
async fn prepare(crowd: &'static Crowd, verb: Verb, seconds: f64) -> usize {
    if let Some(part) = verb.uses_codes_of() {
        crowd.wait_for_codes(part).await;
    }
    match verb {
        Verb::VerifyTotp | Verb::VerifyBackup => {
            let rate = if verb.hashes() { 300.0 } else { 3000.0 };
            crowd.challenges.lock().unwrap().clear();
            crowd.open_challenges(CHALLENGES.min((rate * seconds) as usize)).await;
            crowd.challenges.lock().unwrap().len()
        }
        // Each takes a code.
        Verb::SignIn => crowd.codes(Part::Enrolled),
        Verb::LocalAuth | Verb::WeakLocalAuth | Verb::Refresh | Verb::Validate | Verb::Status | Verb::Mix => usize::MAX,
    }
}

/// How long a replica takes until it answers, and its memory before anybody has signed in.
async fn start(stack: &Stack) {
    let mut times = Vec::new();
    for _ in 0..5 {
        times.push(stack.replica().await.1);
    }
    times.sort();
    let (replica, _) = stack.replica().await;
    let fresh = usage::resident(replica.pid());
    println!(
        "\nStart to the first answer: {:.0} ms (the middle of five); memory then: {:.1} MB.",
        times[2].as_secs_f64() * 1e3,
        table::megabytes(fresh)
    );
}

/// How long a Verify takes while more passwords come than can be hashed.
async fn flood(crowd: &'static Crowd, seconds: f64) {
    const RATE: f64 = 50.0;
    let seconds = seconds * 3.0;
    let (mut p50, mut p99) = (Vec::new(), Vec::new());
    for flooded in [false, true] {
        crowd.open_challenges((RATE * seconds * 2.0) as usize).await;
        let calls = crowd.challenges.lock().unwrap().len();
        let mut flood = JoinSet::new();
        flood.spawn(saturate(
            if flooded { 48 } else { 0 },
            Extent { seconds: seconds + 1.0, calls: usize::MAX },
            move |_| Verb::LocalAuth.call(crowd),
        ));
        tokio::time::sleep(Duration::from_millis(500)).await;
        let run = paced(RATE, Extent { seconds, calls }, move |_| Verb::VerifyTotp.call(crowd)).await;
        assert!(run.faults.is_empty(), "{:?}", run.faults);
        let flood = flood.join_next().await.unwrap().unwrap();
        if flooded {
            println!("\nFlood: {:.0} sign-ins a second, refused {:?}.", flood.rate(), flood.faults);
        }
        p99.push(run.percentile(99.0));
        p50.push(run.percentile(50.0));
        crowd.challenges.lock().unwrap().clear();
    }
    let bound = 2.0 * p99[0] + 5.0;
    println!(
        "\nVerify by TOTP, 50 a second: p50 {:.2} and p99 {:.2} ms in quiet, {:.2} and {:.2} ms in the flood (aim: p99 {bound:.2}).",
        p50[0], p99[0], p50[1], p99[1]
    );
}
