//! How many text messages are sent today, for administrators.

use super::record_read;
use crate::{
    error::Error,
    flow::{Call, Kit, SmsStatus, sms_status},
};

/// What was sent, and of how many; None = text messages are not configured.
pub async fn sms_usage(kit: &Kit, call: &Call) -> Result<Option<(SmsStatus, u32)>, Error> {
    let usage = match &kit.sms {
        Some(sms) => Some((sms_status(&kit.store, &kit.ring, sms.daily_budget(), call.now).await?, sms.daily_budget())),
        None => None,
    };
    record_read(kit, "GetSmsUsage", None, call).await?;
    Ok(usage)
}
