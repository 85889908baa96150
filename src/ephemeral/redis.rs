//! Redis: what replicas share. Each step is one script on one key, so that it is atomic, and works on a cluster.

mod link;

use ::redis::Script;
use async_trait::async_trait;

use super::{EntryHash, Ephemeral, Kind, NewEntry, Payment, Shelf, SourceHash, SourceWindow, Taken, Try};
use crate::{clock::Timestamp, config, error::Error};
use link::Link;

/// Redis, as one server, sentinels or a cluster.
pub struct Redis {
    link: Link,
    key_prefix: String,
    scripts: Scripts,
}

struct Scripts {
    open: Script,
    take: Script,
    take_newest: Script,
    find: Script,
    give_back: Script,
    close: Script,
    pay: Script,
    settle: Script,
}

/// Hash, sealed content, attempts left, end time.
type TakenReply = Option<(Vec<u8>, Vec<u8>, u32, i64)>;

impl Redis {
    /// A store at this address. It connects when it is first used, so that a service starts while Redis is away.
    pub fn new(config: &config::Redis) -> anyhow::Result<Self> {
        let scripts = Scripts {
            open: Script::new(include_str!("redis/open.lua")),
            take: Script::new(include_str!("redis/take.lua")),
            take_newest: Script::new(include_str!("redis/take_newest.lua")),
            find: Script::new(include_str!("redis/find.lua")),
            give_back: Script::new(include_str!("redis/give_back.lua")),
            close: Script::new(include_str!("redis/close.lua")),
            pay: Script::new(include_str!("redis/pay.lua")),
            settle: Script::new(include_str!("redis/settle.lua")),
        };
        Ok(Self { link: Link::new(config)?, key_prefix: config.key_prefix.clone(), scripts })
    }

    /// Everything that a user has open lies under one key.
    fn shelf(&self, shelf: &Shelf) -> String {
        format!("{}shelf:{{{}}}", self.key_prefix, hex(shelf))
    }

    fn source(&self, source: &SourceHash) -> String {
        format!("{}source:{{{}}}", self.key_prefix, hex(source))
    }
}

#[async_trait]
impl Ephemeral for Redis {
    async fn open(&self, shelf: Shelf, entry: NewEntry, now: Timestamp) -> Result<(), Error> {
        let mut call = self.scripts.open.key(self.shelf(&shelf));
        call.arg(now.millis()).arg(&entry.hash[..]).arg(entry.kind.name).arg(entry.kind.capacity);
        call.arg(entry.attempts).arg(entry.end_time.millis()).arg(entry.sealed);
        self.link.run(&call).await
    }

    async fn take(&self, shelf: Shelf, hash: EntryHash, now: Timestamp) -> Result<Option<Taken>, Error> {
        let mut call = self.scripts.take.key(self.shelf(&shelf));
        call.arg(now.millis()).arg(&hash[..]);
        taken(self.link.run(&call).await?)
    }

    async fn find(&self, shelf: Shelf, hash: EntryHash, now: Timestamp) -> Result<Option<Taken>, Error> {
        let mut call = self.scripts.find.key(self.shelf(&shelf));
        call.arg(now.millis()).arg(&hash[..]);
        taken(self.link.run(&call).await?)
    }

    async fn take_newest(&self, shelf: Shelf, kind: Kind, now: Timestamp) -> Result<Option<Taken>, Error> {
        let mut call = self.scripts.take_newest.key(self.shelf(&shelf));
        call.arg(now.millis()).arg(kind.name);
        taken(self.link.run(&call).await?)
    }

    async fn give_back(&self, shelf: Shelf, hash: EntryHash) -> Result<(), Error> {
        let mut call = self.scripts.give_back.key(self.shelf(&shelf));
        call.arg(&hash[..]);
        self.link.run(&call).await
    }

    async fn close(&self, shelf: Shelf, hash: EntryHash) -> Result<(), Error> {
        let mut call = self.scripts.close.key(self.shelf(&shelf));
        call.arg(&hash[..]);
        self.link.run(&call).await
    }

    async fn pay(&self, source: SourceHash, window: SourceWindow, now: Timestamp) -> Result<Payment, Error> {
        let span = i64::try_from(window.span.as_millis()).unwrap_or(i64::MAX);
        let mut call = self.scripts.pay.key(self.source(&source));
        call.arg(now.millis()).arg(window.capacity).arg(span);
        Ok(match self.link.run::<i64>(&call).await? {
            0 => Payment::Paid,
            1 => Payment::Wait,
            end_time => Payment::Full { end_time: Timestamp::from_millis(end_time) },
        })
    }

    async fn settle(&self, source: SourceHash, ended: Try, now: Timestamp) -> Result<(), Error> {
        let mut call = self.scripts.settle.key(self.source(&source));
        call.arg(now.millis()).arg(u32::from(ended == Try::Failed));
        self.link.run(&call).await
    }

    async fn ping(&self) -> Result<(), Error> {
        self.link.ping().await
    }

    async fn sweep(&self, _: Timestamp) -> Result<(), Error> {
        // Redis does it.
        Ok(())
    }
}

fn taken(reply: TakenReply) -> Result<Option<Taken>, Error> {
    let Some((hash, sealed, attempts_left, end_time)) = reply else {
        return Ok(None);
    };
    let hash = hash.try_into().map_err(|_| anyhow::anyhow!("Redis answers a hash that is not 32 bytes"))?;
    Ok(Some(Taken { hash, sealed, attempts_left, end_time: Timestamp::from_millis(end_time) }))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
