//! Lists in pages, each of which names the one that follows by its last entry (a keyset): no page costs more than the first.

use std::str::FromStr;

use crate::error::Refusal;

const DEFAULT_SIZE: u64 = 50;
const MAX_SIZE: u64 = 200;

/// The page that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page<K> {
    /// The last entry of the page before; None = the first page.
    pub after: Option<K>,
    size: u64,
}

impl<K: FromStr> Page<K> {
    /// The page that a request asks for: of `size` entries (0 = as many as is usual), after the one that `token` names.
    pub fn of(size: i32, token: &str) -> Result<Self, Refusal> {
        let size = u64::try_from(size).map_err(|_| Refusal::field("page_size", "must not be negative."))?;
        let size = if size == 0 { DEFAULT_SIZE } else { size.min(MAX_SIZE) };
        let after = match token {
            "" => None,
            token => Some(token.parse().map_err(|_| Refusal::field("page_token", "must be a next_page_token."))?),
        };
        Ok(Self { after, size })
    }
}

impl<K> Page<K> {
    /// The largest page, after this entry.
    pub fn largest(after: Option<K>) -> Self {
        Self { after, size: MAX_SIZE }
    }

    /// How many entries to read: one more than are shown tells that there is a next page.
    pub fn one_more(&self) -> u64 {
        self.size + 1
    }

    /// The entries of the page, and the name of the last one when more follow.
    pub fn cut<T>(&self, mut entries: Vec<T>, key: impl Fn(&T) -> K) -> (Vec<T>, Option<K>) {
        let is_last = entries.len() <= usize::try_from(self.size).unwrap_or(usize::MAX);
        if !is_last {
            entries.pop();
        }
        let next = entries.last().map(key).filter(|_| !is_last);
        (entries, next)
    }
}
