//! Random sequences of all verbs for three users, held step by step against a simple model of what must come of each.
//!
//! `PROPTEST_CASES` says how many sequences are run; without it there are 256.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail by panicking")]

#[path = "model/hand.rs"]
mod hand;
#[allow(dead_code, reason = "the contract suite uses what this one does not")]
#[path = "contract/kit.rs"]
mod kit;
#[allow(dead_code, reason = "the other suites use what this one does not")]
#[path = "servers/peek.rs"]
mod peek;
#[path = "model/reference.rs"]
mod reference;
#[path = "model/step.rs"]
mod step;
#[path = "model/system.rs"]
mod system;

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use step::Step;
use system::System;

const STEPS: usize = 60;

#[test]
fn every_sequence_of_verbs_does_what_the_model_says() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = Config { failure_persistence: None, max_shrink_iters: 2000, ..Config::default() };
    let steps = proptest::collection::vec(any::<Step>(), 1..STEPS);
    let outcome = TestRunner::new(config).run(&steps, |steps| {
        runtime.block_on(async {
            let mut system = System::new().await;
            for (number, step) in steps.iter().enumerate() {
                if let Err(difference) = system.take(step).await {
                    return Err(TestCaseError::fail(format!("step {number}, {step:?}: {difference}")));
                }
            }
            system.compare_all().await.map_err(|difference| TestCaseError::fail(format!("at the end: {difference}")))
        })
    });
    outcome.unwrap();
}
