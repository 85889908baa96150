//! How many text messages are sent today, and to which blocks of numbers.

use super::send_code::budget_hash;
use crate::{
    clock::Timestamp,
    error::Error,
    limit,
    seal::KeyRing,
    store::{Collapse, SmsPrefix, Store},
};

/// The day's text messages.
pub struct SmsStatus {
    /// How many were sent since midnight UTC.
    pub sent: i64,
    /// Whether that is four fifths of the budget or more.
    pub is_alarming: bool,
    /// Blocks of numbers that messages went to in the last hour, the busiest first; closed = hardly a code came back.
    pub prefixes: Vec<(SmsPrefix, bool)>,
}

/// The day's text messages against a budget.
pub async fn sms_status(store: &Store, ring: &KeyRing, budget: u32, now: Timestamp) -> Result<SmsStatus, Error> {
    let count = store.bucket_count(&budget_hash(ring)?).await?;
    let sent = count.filter(|(_, end_time)| now < *end_time).map_or(0, |(count, _)| count);
    let is_closed = |prefix: &SmsPrefix| {
        let Collapse { sent, one_in, .. } = limit::SMS_COLLAPSE;
        prefix.sent >= sent && prefix.verified.saturating_mul(one_in) < prefix.sent
    };
    let prefixes = store.sms_prefixes(now).await?.into_iter().map(|prefix| {
        let is_closed = is_closed(&prefix);
        (prefix, is_closed)
    });
    Ok(SmsStatus { sent, is_alarming: limit::is_alarming(sent, budget), prefixes: prefixes.collect() })
}
