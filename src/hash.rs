//! The Argon2id pool: as many threads as cores that run when nothing else does, each with one block of memory that it uses again and
//! again, behind two short queues. Hashing can fill its own cores and nothing else.

mod cost;

use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow};
use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::phc::{Output, ParamsString, PasswordHash, Salt},
};
use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
};
use tokio::sync::oneshot;

use cost::params;
pub use cost::{Cost, Costs};

use crate::{
    clock::steady_now,
    error::{Error, Refusal},
    secret::{self, Secret},
    telemetry::{UnderWay, meters},
};

const QUEUE_LENGTH: usize = 64;
/// Nobody waits longer: below the deadline of a call, so that whoever has paid for a try is still there to take it back.
const PATIENCE: Duration = Duration::from_secs(4);

/// Which queue a job waits in. The first is served before the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// Codes that must be hashed to be judged.
    SecondFactor,
    /// Passwords.
    SignIn,
}

impl Queue {
    /// The word in metrics.
    const fn as_str(self) -> &'static str {
        match self {
            Self::SecondFactor => "second_factor",
            Self::SignIn => "sign_in",
        }
    }
}

/// Hashes passwords and verifies them.
pub struct Hasher {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    stand_in: String,
    costs: Costs,
}

struct Shared {
    queues: Mutex<Queues>,
    work: Condvar,
    jobs_done: AtomicU64,
}

#[derive(Default)]
struct Queues {
    second_factor: VecDeque<Job>,
    sign_in: VecDeque<Job>,
    closed: bool,
}

struct Job {
    queue: Queue,
    task: Task,
    answer: oneshot::Sender<anyhow::Result<Answer>>,
    since: Instant,
    _under_way: UnderWay,
}

enum Task {
    Hash { password: Secret<String> },
    Verify { password: Secret<String>, phc: Secret<String> },
    Digests { texts: Vec<Secret<String>>, salt: [u8; 16], done: Vec<[u8; 32]> },
}

enum Answer {
    Hashed(Secret<String>),
    Verified(bool),
    Digested(Vec<[u8; 32]>),
}

impl Hasher {
    /// Starts a pool of `threads` threads.
    pub fn start(threads: usize) -> anyhow::Result<Self> {
        Self::with_cost(threads, Cost::DEFAULT)
    }

    /// Starts a pool whose new hashes cost something else.
    pub fn with_cost(threads: usize, costs: impl Into<Costs>) -> anyhow::Result<Self> {
        let costs: Costs = costs.into();
        let shared = Arc::new(Shared { queues: Mutex::default(), work: Condvar::new(), jobs_done: AtomicU64::new(0) });
        let threads = (0..threads.max(1))
            .map(|n| {
                let shared = Arc::clone(&shared);
                thread::Builder::new().name(format!("argon2-{n}")).spawn(move || work(&shared, costs))
            })
            .collect::<Result<_, _>>()
            .context("cannot start a hashing thread")?;
        // Never the hash of anything: no password gives this output.
        let salt = Salt::new(&secret::random::<16>()?).map_err(|fault| anyhow!("{fault}"))?;
        let stand_in = phc_string(costs.passwords, &salt, &secret::random()?)?;
        Ok(Self { shared, threads, stand_in, costs })
    }

    /// Hashes a password with a new salt; the answer is a PHC string.
    pub async fn hash(&self, queue: Queue, password: Secret<String>) -> Result<Secret<String>, Error> {
        match self.submit(queue, Task::Hash { password }).await? {
            Answer::Hashed(phc) => Ok(phc),
            Answer::Verified(_) | Answer::Digested(_) => Err(mixed_up()),
        }
    }

    /// Whether a hash has cost less than a new one would.
    pub fn is_outdated(&self, phc: &Secret<String>) -> bool {
        let Ok(stored) = PasswordHash::new(phc.expose()) else {
            return false;
        };
        let number = |name| stored.params.get_decimal(name).unwrap_or(u32::MAX);
        number("m") < self.costs.passwords.memory || number("t") < self.costs.passwords.passes
    }

    /// Whether the password is the one that was hashed. Without a hash it works as long, and says no.
    pub async fn verify(
        &self,
        queue: Queue,
        password: Secret<String>,
        phc: Option<&Secret<String>>,
    ) -> Result<bool, Error> {
        let stored = Secret::new(phc.map_or(&self.stand_in, |phc| phc.expose()).clone());
        match self.submit(queue, Task::Verify { password, phc: stored }).await? {
            Answer::Verified(right) => Ok(right && phc.is_some()),
            Answer::Hashed(_) | Answer::Digested(_) => Err(mixed_up()),
        }
    }

    /// Hashes texts with a given salt, as one job; between two of them it lets others go first.
    pub async fn digests(
        &self,
        queue: Queue,
        texts: Vec<Secret<String>>,
        salt: [u8; 16],
    ) -> Result<Vec<[u8; 32]>, Error> {
        match self.submit(queue, Task::Digests { texts, salt, done: Vec::new() }).await? {
            Answer::Digested(digests) => Ok(digests),
            Answer::Hashed(_) | Answer::Verified(_) => Err(mixed_up()),
        }
    }

    /// How many jobs wait in a queue.
    pub fn waiting(&self, queue: Queue) -> usize {
        self.shared.lock().line(queue).len()
    }

    /// How many jobs were done since the start.
    pub fn jobs_done(&self) -> u64 {
        self.shared.jobs_done.load(Ordering::Relaxed)
    }

    async fn submit(&self, queue: Queue, task: Task) -> Result<Answer, Error> {
        let (answer, wait) = oneshot::channel();
        {
            let mut queues = self.shared.lock();
            let line = queues.line(queue);
            // Whoever has given up waiting does not keep others out.
            line.retain(|job| !job.answer.is_closed());
            if line.len() >= QUEUE_LENGTH {
                return Err(busy(queue).into());
            }
            let (since, _under_way) = (steady_now(), meters().hash_job(queue.as_str()));
            line.push_back(Job { queue, task, answer, since, _under_way });
        }
        self.shared.work.notify_one();
        let answer = tokio::time::timeout(PATIENCE, wait).await.map_err(|_| busy(queue))?;
        Ok(answer.context("the hash pool has stopped")??)
    }
}

impl Queues {
    fn line(&mut self, queue: Queue) -> &mut VecDeque<Job> {
        match queue {
            Queue::SecondFactor => &mut self.second_factor,
            Queue::SignIn => &mut self.sign_in,
        }
    }
}

impl Drop for Hasher {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.work.notify_all();
        for thread in self.threads.drain(..) {
            // A thread that panicked has reported it; there is nothing left to do for it.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a job that is not done behind those that wait.
    fn put_back(&self, job: Job) {
        self.lock().line(job.queue).push_back(job);
        self.work.notify_one();
    }

    fn next(&self) -> Option<Job> {
        let mut queues = self.lock();
        loop {
            if queues.closed {
                return None;
            }
            let job = queues.second_factor.pop_front().or_else(|| queues.sign_in.pop_front());
            match job {
                Some(job) if job.answer.is_closed() => {}
                Some(job) => return Some(job),
                None => queues = self.work.wait(queues).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

fn work(shared: &Shared, costs: Costs) {
    give_way();
    let mut memory = Vec::new();
    while let Some(mut job) = shared.next() {
        let begun = steady_now();
        let waited = begun.saturating_duration_since(job.since);
        let worked = work_on(&mut job.task, costs, &mut memory);
        meters().hashed(job.queue.as_str(), waited, begun.elapsed());
        let Some(answer) = worked else {
            job.since = steady_now();
            shared.put_back(job);
            continue;
        };
        shared.jobs_done.fetch_add(1, Ordering::Relaxed);
        // The caller may have gone; then nobody needs the answer.
        let _ = job.answer.send(answer);
    }
}

/// Works on a job, for one hash; None = there is more to it.
fn work_on(task: &mut Task, costs: Costs, memory: &mut Vec<Block>) -> Option<anyhow::Result<Answer>> {
    Some(match task {
        Task::Hash { password } => hash(costs.passwords, password, memory).map(Answer::Hashed),
        Task::Verify { password, phc } => verify(password, phc, costs.passwords, memory).map(Answer::Verified),
        Task::Digests { texts, salt, done } => match digest_next(costs.digests, texts, salt, done, memory) {
            Ok(()) if done.len() < texts.len() => return None,
            Ok(()) => Ok(Answer::Digested(std::mem::take(done))),
            Err(fault) => Err(fault),
        },
    })
}

/// Lets this thread run when nothing else wants its core. The lowest priority alone does not do: Linux lets a thread of any
/// priority run on for a moment when another wakes, and a call wakes a dozen times.
fn give_way() {
    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    if let Err(fault) = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle) {
        tracing::warn!(?fault, "hashing threads delay others");
    }
}

fn digest_next(
    cost: Cost,
    texts: &[Secret<String>],
    salt: &[u8; 16],
    done: &mut Vec<[u8; 32]>,
    memory: &mut Vec<Block>,
) -> anyhow::Result<()> {
    if let Some(text) = texts.get(done.len()) {
        done.push(argon2id(cost.params()?, text, salt, memory)?);
    }
    Ok(())
}

fn busy(queue: Queue) -> Refusal {
    meters().hash_refused(queue.as_str());
    Refusal::RateLimited { retry_after: Some(Duration::from_secs(1)) }
}

fn mixed_up() -> Error {
    anyhow!("the hash pool mixed up its answers").into()
}

fn hash(cost: Cost, password: &Secret<String>, memory: &mut Vec<Block>) -> anyhow::Result<Secret<String>> {
    let salt = Salt::new(&secret::random::<16>()?).map_err(|fault| anyhow!("{fault}"))?;
    let output = argon2id(cost.params()?, password, &salt, memory)?;
    Ok(Secret::new(phc_string(cost, &salt, &output)?))
}

/// A wrong password takes as long whatever its hash has cost: else an account that was not hashed anew yet could be told from a name
/// that does not exist.
fn verify(
    password: &Secret<String>,
    phc: &Secret<String>,
    cost: Cost,
    memory: &mut Vec<Block>,
) -> anyhow::Result<bool> {
    let stored = PasswordHash::new(phc.expose()).map_err(|fault| anyhow!("a stored hash is malformed: {fault}"))?;
    anyhow::ensure!(stored.algorithm == argon2::ARGON2ID_IDENT, "a stored hash is not Argon2id");
    let number = |name| stored.params.get_decimal(name).with_context(|| format!("a stored hash lacks {name}"));
    let had = Cost { memory: number("m")?, passes: number("t")? };
    let params = params(had.memory, had.passes, number("p")?)?;
    let (salt, expected) = stored.salt.zip(stored.hash).context("a stored hash lacks its salt or output")?;
    let output = argon2id(params, password, &salt, memory)?;
    let is_right = secret::same(&output, expected.as_bytes());
    if let Some(rest) = cost.beyond(had).filter(|_| !is_right) {
        argon2id(rest.params()?, password, &salt, memory)?;
    }
    Ok(is_right)
}

fn argon2id(
    params: Params,
    password: &Secret<String>,
    salt: &[u8],
    memory: &mut Vec<Block>,
) -> anyhow::Result<[u8; 32]> {
    let blocks = params.block_count();
    if memory.len() < blocks {
        memory.resize(blocks, Block::default());
    }
    let mut output = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(password.expose().as_bytes(), salt, &mut output, &mut memory[..blocks])
        .map_err(|fault| anyhow!("Argon2 failed: {fault}"))?;
    Ok(output)
}

fn phc_string(cost: Cost, salt: &Salt, output: &[u8; 32]) -> anyhow::Result<String> {
    let number = |text: &mut ParamsString, name: &str, value| text.add_decimal(name, value);
    let mut text = ParamsString::new();
    number(&mut text, "m", cost.memory)
        .and_then(|()| number(&mut text, "t", cost.passes))
        .and_then(|()| number(&mut text, "p", Cost::LANES))
        .map_err(|fault| anyhow!("{fault}"))?;
    let hash = PasswordHash {
        algorithm: argon2::ARGON2ID_IDENT,
        version: Some(Version::V0x13.into()),
        params: text,
        salt: Some(*salt),
        hash: Some(Output::new(output).map_err(|fault| anyhow!("{fault}"))?),
    };
    Ok(hash.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_password_costs_the_same_whatever_its_hash_has_cost() -> anyhow::Result<()> {
        let cost = |memory, passes| Cost { memory, passes };
        let (now, work) = (cost(64, 3), |cost: Cost| cost.memory * cost.passes);
        for before in [cost(64, 1), cost(16, 3), cost(32, 2), cost(8, 1)] {
            let rest = now.beyond(before).map_or(0, work);
            assert!(work(now).abs_diff(work(before) + rest) < 8, "{before:?}");
            let password = Secret::new("right".to_owned());
            let hashed = hash(before, &password, &mut Vec::new())?;
            let (mut right, mut wrong) = (Vec::new(), Vec::new());
            assert!(verify(&password, &hashed, now, &mut right)?);
            assert!(!verify(&Secret::new("wrong".to_owned()), &hashed, now, &mut wrong)?);
            let rest_memory = now.beyond(before).map_or(0, |rest| rest.memory);
            // Argon2 takes whole groups of four.
            let blocks = [before.memory, before.memory.max(rest_memory)].map(|kib| (kib / 4 * 4) as usize);
            assert_eq!([right.len(), wrong.len()], blocks, "the rest was hashed, too");
        }
        assert_eq!([now.beyond(now), now.beyond(cost(128, 3))], [None, None]);
        Ok(())
    }
}
