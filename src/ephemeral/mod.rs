//! State that may be lost: open challenges, pending enrolments, how often each source was wrong, and how far the database has come.
//! Losing it makes a user start again and never lets anyone in.
//!
//! Everything that one user has open lies on one shelf. Each step is one atomic operation; nothing is read in one and written
//! back in another. Every entry holds its own end: that a store forgets late, or keeps its own time, does not matter.

mod memory;
mod redis;

use std::time::Duration;

use async_trait::async_trait;

pub use memory::Memory;
pub use redis::Redis;

use crate::{clock::Timestamp, error::Error, swap::Swap};

/// Where a user's entries lie together.
pub type Shelf = [u8; 16];

/// Hash of the secret that names an entry.
pub type EntryHash = [u8; 32];

/// How many entries of a kind a shelf holds; the oldest dies for a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// The name of the kind.
    pub name: &'static str,
    /// How many may be open at once.
    pub capacity: usize,
}

/// An entry that is being opened.
pub struct NewEntry {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub hash: EntryHash,
    /// Its sealed content.
    pub sealed: Vec<u8>,
    /// How many attempts it allows.
    pub attempts: u32,
    /// When it ends.
    pub end_time: Timestamp,
}

/// An entry, after one attempt was taken or looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Its name.
    pub hash: EntryHash,
    /// Its sealed content.
    pub sealed: Vec<u8>,
    /// The sealed code that was sent for it last, if one was.
    pub code: Option<Vec<u8>>,
    /// How many attempts are left.
    pub attempts_left: u32,
    /// When it ends.
    pub end_time: Timestamp,
}

/// What is open of several kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Newest {
    /// Nothing that has an attempt left.
    Nothing,
    /// Of one kind alone; an attempt of its newest is taken.
    Taken(Taken),
    /// Of more than one kind; nothing is taken.
    Several,
}

/// Keyed hash of a network address.
pub type SourceHash = [u8; 32];

/// How often a source may be wrong in a while, counted from the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceWindow {
    /// How often.
    pub capacity: u32,
    /// In how long a time.
    pub span: Duration,
}

/// What came of paying for a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payment {
    /// It is paid, and counts as a failure until it is taken back.
    Paid,
    /// Other tries of the source are under way, and how they end decides whether there is room for one more.
    Wait,
    /// The source was wrong as often as it may.
    Full {
        /// When its window ends.
        end_time: Timestamp,
    },
}

/// How a try that was paid for has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Try {
    /// It was wrong: the payment stays.
    Failed,
    /// It was right, or nothing was judged: the payment is taken back.
    TakenBack,
}

/// Keyed hash that names a database.
pub type DatabaseHash = [u8; 32];

/// A store for entries.
#[async_trait]
pub trait Ephemeral: Send + Sync {
    /// Opens an entry. When the shelf holds as many of the kind as it may, the oldest of them dies.
    async fn open(&self, shelf: Shelf, entry: NewEntry, now: Timestamp) -> Result<(), Error>;

    /// Takes one attempt of an entry, before anything is judged; None when it is unknown, has ended or has none left.
    async fn take(&self, shelf: Shelf, hash: EntryHash, now: Timestamp) -> Result<Option<Taken>, Error>;

    /// Looks at an entry without taking an attempt; None when it is unknown or has ended.
    async fn find(&self, shelf: Shelf, hash: EntryHash, now: Timestamp) -> Result<Option<Taken>, Error>;

    /// Takes one attempt of the newest entry of these kinds, unless entries of more than one of them are open.
    async fn take_newest(&self, shelf: Shelf, kinds: &[Kind], now: Timestamp) -> Result<Newest, Error>;

    /// Puts a code beside an entry, in the place of the one before. The attempts stay as they are. Stale when the entry is unknown,
    /// has ended or has no attempt left.
    async fn save_code(&self, shelf: Shelf, hash: EntryHash, code: &[u8], now: Timestamp) -> Result<Swap, Error>;

    /// Gives an attempt back that was taken but not used: nothing was judged.
    async fn give_back(&self, shelf: Shelf, hash: EntryHash) -> Result<(), Error>;

    /// Ends an entry.
    async fn close(&self, shelf: Shelf, hash: EntryHash) -> Result<(), Error>;

    /// Pays for a try of a source before it is judged. One that is never settled counts as a failure until the window ends.
    async fn pay(&self, source: SourceHash, window: SourceWindow, now: Timestamp) -> Result<Payment, Error>;

    /// Says how a try that was paid for has ended.
    async fn settle(&self, source: SourceHash, ended: Try, now: Timestamp) -> Result<(), Error>;

    /// Remembers how far a database has come, and answers the furthest that it knows of. It is never swept: losing it lets nobody in,
    /// but a database that was set back is not told by it any more.
    async fn raise_epoch(&self, database: DatabaseHash, epoch: Timestamp) -> Result<Timestamp, Error>;

    /// Whether the store answers.
    async fn ping(&self) -> Result<(), Error>;

    /// Forgets what has ended.
    async fn sweep(&self, now: Timestamp) -> Result<(), Error>;
}
