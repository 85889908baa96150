//! Redis: one store for every replica. Each step is one script on one key, so that nothing comes between what it reads and what
//! it writes.

mod address;
mod link;

use ::redis::{FromRedisValue, Script};
use async_trait::async_trait;

use self::{address::Address, link::Link};
use super::{
    DatabaseHash, EntryHash, Ephemeral, Kind, NewEntry, Newest, Payment, Shelf, SourceHash, SourceWindow, Taken, Try,
};
use crate::{clock::Timestamp, config, error::Error, swap::Swap};

/// A store in Redis.
pub struct Redis {
    key_prefix: String,
    link: Link,
    scripts: Scripts,
}

struct Scripts {
    open: Step,
    take: Step,
    find: Step,
    take_newest: Step,
    save_code: Step,
    give_back: Step,
    close: Step,
    pay: Step,
    settle: Step,
    raise_epoch: Step,
}

/// A script and its hash, which is what it is called by once the server knows it.
struct Step {
    name: &'static str,
    code: &'static str,
    hash: String,
}

/// What a script answers of an entry: its hash, its sealed content, the attempts left, its end time, and the code beside it.
type Answer = Option<(Vec<u8>, Vec<u8>, u32, i64, Vec<u8>)>;

impl Redis {
    /// A store in the Redis that is configured. It connects when it is first used, so that the service starts without.
    pub fn new(config: &config::Redis) -> anyhow::Result<Self> {
        let link = Link::new(Address::read(config)?);
        Ok(Self { key_prefix: config.key_prefix.clone(), link, scripts: Scripts::new() })
    }

    fn shelf(&self, shelf: Shelf) -> String {
        // What stands in braces says which node of a cluster has the key.
        format!("{}{{{}}}", self.key_prefix, hex(&shelf))
    }

    fn source(&self, source: SourceHash) -> String {
        format!("{}source:{{{}}}", self.key_prefix, hex(&source))
    }

    fn database(&self, database: DatabaseHash) -> String {
        format!("{}epoch:{{{}}}", self.key_prefix, hex(&database))
    }

    async fn run<T: FromRedisValue>(&self, step: &Step, key: &str, args: &[&[u8]]) -> Result<T, Error> {
        Ok(self.link.run(step, key, args).await?)
    }
}

#[async_trait]
impl Ephemeral for Redis {
    async fn open(&self, shelf: Shelf, entry: NewEntry, now: Timestamp) -> Result<(), Error> {
        let args: [&[u8]; 7] = [
            &millis(now),
            &entry.hash,
            entry.kind.name.as_bytes(),
            &number(entry.kind.capacity),
            &number(entry.attempts),
            &millis(entry.end_time),
            &entry.sealed,
        ];
        self.run(&self.scripts.open, &self.shelf(shelf), &args).await
    }

    async fn take(&self, shelf: Shelf, hash: EntryHash, now: Timestamp) -> Result<Option<Taken>, Error> {
        taken(self.run(&self.scripts.take, &self.shelf(shelf), &[&millis(now), &hash]).await?)
    }

    async fn find(&self, shelf: Shelf, hash: EntryHash, now: Timestamp) -> Result<Option<Taken>, Error> {
        taken(self.run(&self.scripts.find, &self.shelf(shelf), &[&millis(now), &hash]).await?)
    }

    async fn take_newest(&self, shelf: Shelf, kinds: &[Kind], now: Timestamp) -> Result<Newest, Error> {
        let now = millis(now);
        let names = kinds.iter().map(|kind| kind.name.as_bytes());
        let args: Vec<&[u8]> = std::iter::once(now.as_slice()).chain(names).collect();
        let (open, entry): (u8, Answer) = self.run(&self.scripts.take_newest, &self.shelf(shelf), &args).await?;
        Ok(match (open, taken(entry)?) {
            (0 | 1, None) => Newest::Nothing,
            (_, Some(taken)) => Newest::Taken(taken),
            (_, None) => Newest::Several,
        })
    }

    async fn save_code(&self, shelf: Shelf, hash: EntryHash, code: &[u8], now: Timestamp) -> Result<Swap, Error> {
        let args: [&[u8]; 3] = [&millis(now), &hash, code];
        let saved: u64 = self.run(&self.scripts.save_code, &self.shelf(shelf), &args).await?;
        Ok(Swap::from_rows(saved))
    }

    async fn give_back(&self, shelf: Shelf, hash: EntryHash) -> Result<(), Error> {
        self.run(&self.scripts.give_back, &self.shelf(shelf), &[&hash]).await
    }

    async fn close(&self, shelf: Shelf, hash: EntryHash) -> Result<(), Error> {
        self.run(&self.scripts.close, &self.shelf(shelf), &[&hash]).await
    }

    async fn pay(&self, source: SourceHash, window: SourceWindow, now: Timestamp) -> Result<Payment, Error> {
        let args: [&[u8]; 3] = [&millis(now), &number(window.capacity), &millis(now.plus(window.span))];
        let (outcome, end_time): (u8, i64) = self.run(&self.scripts.pay, &self.source(source), &args).await?;
        match outcome {
            0 => Ok(Payment::Paid),
            1 => Ok(Payment::Wait),
            2 => Ok(Payment::Full { end_time: Timestamp::from_millis(end_time) }),
            _ => Err(link::outage("a script's answer cannot be read").into()),
        }
    }

    async fn settle(&self, source: SourceHash, ended: Try, now: Timestamp) -> Result<(), Error> {
        let failures = number(u8::from(ended == Try::Failed));
        self.run(&self.scripts.settle, &self.source(source), &[&millis(now), &failures]).await
    }

    async fn raise_epoch(&self, database: DatabaseHash, epoch: Timestamp) -> Result<Timestamp, Error> {
        let known = self.run(&self.scripts.raise_epoch, &self.database(database), &[&millis(epoch)]).await?;
        Ok(Timestamp::from_millis(known))
    }

    async fn ping(&self) -> Result<(), Error> {
        Ok(self.link.ping().await?)
    }

    async fn sweep(&self, _: Timestamp) -> Result<(), Error> {
        // The keys have a time to live.
        Ok(())
    }
}

impl Scripts {
    fn new() -> Self {
        Self {
            open: Step::new("open", include_str!("redis/open.lua")),
            take: Step::new("take", include_str!("redis/take.lua")),
            find: Step::new("find", include_str!("redis/find.lua")),
            take_newest: Step::new("take_newest", include_str!("redis/take_newest.lua")),
            save_code: Step::new("save_code", include_str!("redis/save_code.lua")),
            give_back: Step::new("give_back", include_str!("redis/give_back.lua")),
            close: Step::new("close", include_str!("redis/close.lua")),
            pay: Step::new("pay", include_str!("redis/pay.lua")),
            settle: Step::new("settle", include_str!("redis/settle.lua")),
            raise_epoch: Step::new("raise_epoch", include_str!("redis/raise_epoch.lua")),
        }
    }
}

impl Step {
    fn new(name: &'static str, code: &'static str) -> Self {
        Self { name, code, hash: Script::new(code).get_hash().to_owned() }
    }
}

fn taken(answer: Answer) -> Result<Option<Taken>, Error> {
    let Some((hash, sealed, attempts_left, end_time, code)) = answer else {
        return Ok(None);
    };
    let hash = hash.try_into().map_err(|_| link::outage("a script's answer cannot be read"))?;
    let (code, end_time) = (Some(code).filter(|code| !code.is_empty()), Timestamp::from_millis(end_time));
    Ok(Some(Taken { hash, sealed, code, attempts_left, end_time }))
}

fn millis(time: Timestamp) -> Vec<u8> {
    number(time.millis())
}

fn number(number: impl ToString) -> Vec<u8> {
    number.to_string().into_bytes()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
