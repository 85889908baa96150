//! How far two-factor authentication has come.

use std::time::Duration;

use super::record_read;
use crate::{
    error::Error,
    flow::{Call, Kit},
    model::Role,
    store::{Adoption, Cutoff},
};

const LATELY: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How far it has come.
#[derive(Default)]
pub struct AdoptionReport {
    /// All accounts.
    pub users: i64,
    /// Those with a second factor.
    pub enrolled_users: i64,
    /// Those that have never had one.
    pub never_enrolled_users: i64,
    /// Administrators.
    pub admins: i64,
    /// Administrators with a second factor.
    pub enrolled_admins: i64,
    /// The methods.
    pub methods: Vec<Adoption>,
}

/// The report.
#[tracing::instrument(target = "countersign::span", skip_all)]
pub async fn adoption_report(kit: &Kit, call: &Call) -> Result<AdoptionReport, Error> {
    // The report does not tell old accounts from new ones.
    let any = Cutoff { admins: call.now, users: call.now };
    let mut report = AdoptionReport {
        methods: kit.store.adoption(call.now.minus(LATELY)).await?,
        never_enrolled_users: kit.store.count_never_enrolled().await?,
        ..AdoptionReport::default()
    };
    for (group, count) in kit.store.census([any, any]).await? {
        let enrolled = if group.methods.is_empty() { 0 } else { count };
        report.users += count;
        report.enrolled_users += enrolled;
        if group.role == Role::Admin {
            report.admins += count;
            report.enrolled_admins += enrolled;
        }
    }
    record_read(kit, "GetAdoptionReport", None, call).await?;
    Ok(report)
}
