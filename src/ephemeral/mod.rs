//! State that may be lost: open challenges and pending enrolments. Losing it makes a user start again and never lets anyone in.
//!
//! Everything that one user has open lies on one shelf. Each step is one atomic operation; nothing is read in one and written
//! back in another. Every entry holds its own end: that a store forgets late, or keeps its own time, does not matter.

mod memory;

use async_trait::async_trait;

pub use memory::Memory;

use crate::{clock::Timestamp, error::Error};

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
    /// How many attempts are left.
    pub attempts_left: u32,
    /// When it ends.
    pub end_time: Timestamp,
}

/// A store for entries.
#[async_trait]
pub trait Ephemeral: Send + Sync {
    /// Opens an entry. When the shelf holds as many of the kind as it may, the oldest of them dies.
    async fn open(&self, shelf: Shelf, entry: NewEntry, now: Timestamp) -> Result<(), Error>;

    /// Takes one attempt of an entry, before anything is judged; None when it is unknown, has ended or has none left.
    async fn take(&self, shelf: Shelf, hash: EntryHash, now: Timestamp) -> Result<Option<Taken>, Error>;

    /// Looks at an entry without taking an attempt; None when it is unknown or has ended.
    async fn find(&self, shelf: Shelf, hash: EntryHash, now: Timestamp) -> Result<Option<Taken>, Error>;

    /// Takes one attempt of the newest entry of a kind.
    async fn take_newest(&self, shelf: Shelf, kind: Kind, now: Timestamp) -> Result<Option<Taken>, Error>;

    /// Gives an attempt back that was taken but not used: nothing was judged.
    async fn give_back(&self, shelf: Shelf, hash: EntryHash) -> Result<(), Error>;

    /// Ends an entry.
    async fn close(&self, shelf: Shelf, hash: EntryHash) -> Result<(), Error>;

    /// Forgets what has ended.
    async fn sweep(&self, now: Timestamp) -> Result<(), Error>;
}
