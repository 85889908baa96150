//! Makes calls: as fast as they are answered, or at a rate of its own.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use hdrhistogram::Histogram;
use tokio::{runtime::Handle, sync::mpsc, task::JoinSet};

use crate::clock::now;

/// How a call ended; a refusal by its words.
pub type Answer = Result<(), String>;

/// How much is done: whichever ends first.
#[derive(Clone, Copy)]
pub struct Extent {
    pub seconds: f64,
    pub calls: usize,
}

/// What was done.
pub struct Run {
    pub done: u64,
    pub seconds: f64,
    /// In microseconds.
    pub latencies: Histogram<u64>,
    pub faults: BTreeMap<String, u64>,
}

impl Run {
    fn new() -> Self {
        Self { done: 0, seconds: 0.0, latencies: histogram(), faults: BTreeMap::new() }
    }

    fn count(&mut self, latency: Duration, answer: Answer) {
        match answer {
            Ok(()) => {
                self.done += 1;
                self.latencies.record(u64::try_from(latency.as_micros()).unwrap()).unwrap();
            }
            Err(words) => *self.faults.entry(words).or_default() += 1,
        }
    }

    fn add(&mut self, other: Self) {
        self.done += other.done;
        self.latencies.add(other.latencies).unwrap();
        for (words, count) in other.faults {
            *self.faults.entry(words).or_default() += count;
        }
    }

    pub fn rate(&self) -> f64 {
        self.done as f64 / self.seconds
    }

    /// Milliseconds that so many of a hundred calls stay below.
    pub fn percentile(&self, percent: f64) -> f64 {
        self.latencies.value_at_percentile(percent) as f64 / 1000.0
    }
}

/// Calls by `callers` who each wait for their answer: as fast as it goes.
pub async fn saturate<F, A>(callers: usize, extent: Extent, call: F) -> Run
where
    F: Fn(usize) -> A + Clone + Send + 'static,
    A: Future<Output = Answer> + Send,
{
    let next = Arc::new(AtomicUsize::new(0));
    let begun = now();
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let (next, call) = (Arc::clone(&next), call.clone());
        tasks.spawn(async move {
            let mut run = Run::new();
            while begun.elapsed().as_secs_f64() < extent.seconds {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= extent.calls {
                    break;
                }
                let called = now();
                let answer = call(number).await;
                run.count(called.elapsed(), answer);
            }
            run
        });
    }
    let mut all = Run::new();
    while let Some(run) = tasks.join_next().await {
        all.add(run.unwrap());
    }
    all.seconds = begun.elapsed().as_secs_f64();
    all
}

/// Calls at a rate, at moments that chance has chosen and no answer moves. A latency begins when the call was due, so a server
/// that stalls is charged for every call that it kept from being made.
pub async fn paced<F, A>(rate: f64, extent: Extent, call: F) -> Run
where
    F: Fn(usize) -> A + Clone + Send + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    let (sender, mut answers) = mpsc::unbounded_channel();
    let runtime = Handle::current();
    let begun = now();
    // A thread of its own: the timers of the runtime are a millisecond apart.
    let pacer = thread::spawn(move || {
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
        let mut due = Duration::ZERO;
        for number in 0..extent.calls {
            due += Duration::from_secs_f64(-dice.roll().ln() / rate);
            if due.as_secs_f64() > extent.seconds {
                break;
            }
            thread::sleep(due.saturating_sub(begun.elapsed()));
            let (call, sender) = (call.clone(), sender.clone());
            runtime.spawn(async move {
                let answer = call(number).await;
                // Nobody hears it when the run was given up.
                let _ = sender.send((begun.elapsed().saturating_sub(due), answer));
            });
        }
    });
    let mut run = Run::new();
    while let Some((latency, answer)) = answers.recv().await {
        run.count(latency, answer);
    }
    pacer.join().unwrap();
    run.seconds = begun.elapsed().as_secs_f64();
    run
}

fn histogram() -> Histogram<u64> {
    Histogram::new(3).unwrap()
}

/// Chance that is the same in every run (xorshift64*).
struct Dice(u64);

impl Dice {
    /// Between 0 and 1, never 0.
    fn roll(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11;
        (bits + 1) as f64 / (1_u64 << 53) as f64
    }
}
