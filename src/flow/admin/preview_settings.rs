//! Tells whom a change of the policy touches, before it is made.

use super::{
    record_read,
    update_settings::{SettingsRequest, next},
};
use crate::{
    clock::Timestamp,
    error::Error,
    flow::{Call, Kit},
    model::{Email, Role, Settings, UserId},
    policy::{self, Standing},
    store::{Cutoff, Group},
};

const EXAMPLES: u64 = 20;

/// What a change would do.
pub struct Preview {
    /// The policy as it would be.
    pub settings: Settings,
    /// Accounts whose next sign-in would go another way.
    pub touched: UserGroup,
    /// Accounts that would have to have a second factor, and have none.
    pub unready: UserGroup,
    /// Of those, the ones whose grace would be over.
    pub unready_at_once: UserGroup,
    /// Accounts that would have methods alone that are switched off.
    pub losing_only_method: UserGroup,
}

/// Some accounts.
pub struct UserGroup {
    /// How many.
    pub count: i64,
    /// Some of them.
    pub examples: Vec<(UserId, Email)>,
}

/// Who is who under the old policy and the new one.
struct Census {
    old: Settings,
    new: Settings,
    now: Timestamp,
    cutoffs: [Cutoff; 2],
    groups: Vec<(Group, i64)>,
}

/// Tells whom a change touches, and changes nothing.
#[tracing::instrument(target = "countersign::span", skip_all)]
pub async fn preview_settings(kit: &Kit, request: &SettingsRequest, call: &Call) -> Result<Preview, Error> {
    let old = kit.store.settings().await?;
    let new = next(kit, &old, request, call)?;
    let cutoffs = [cutoff(&old, call.now), cutoff(&new, call.now)];
    let groups = kit.store.census(cutoffs).await?;
    let census = Census { old, new, now: call.now, cutoffs, groups };
    let preview = Preview {
        touched: census.pick(kit, |group| census.before(group) != census.after(group)).await?,
        unready: census
            .pick(kit, |group| group.methods.is_empty() && policy::is_required(&census.new, group.role))
            .await?,
        unready_at_once: census.pick(kit, |group| census.after(group) == Way::Enrolment).await?,
        losing_only_method: census
            .pick(kit, |group| policy::is_led_on(&census.new, group.role, &group.methods, kit.sms.is_some()))
            .await?,
        // It is no version yet: whoever saves it shows what they have read.
        settings: Settings { version: census.old.version, change_time: census.old.change_time, ..census.new.clone() },
    };
    record_read(kit, "PreviewSettings", None, call).await?;
    Ok(preview)
}

/// The way that a sign-in goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Password,
    PasswordInGrace,
    Challenge,
    Enrolment,
}

impl Census {
    fn before(&self, group: &Group) -> Way {
        self.way(&self.old, group, 0)
    }

    fn after(&self, group: &Group) -> Way {
        self.way(&self.new, group, 1)
    }

    fn way(&self, settings: &Settings, group: &Group, at: usize) -> Way {
        // One who stands for all of the group: made long ago, or just now.
        let role_time = if group.is_old[at] { Timestamp::from_millis(0) } else { self.now };
        let account = Standing { role: group.role, role_time, has_factor: !group.methods.is_empty() };
        match policy::sign_in(settings, account, self.now) {
            policy::SignIn::Session { grace_end: None } => Way::Password,
            policy::SignIn::Session { grace_end: Some(_) } => Way::PasswordInGrace,
            policy::SignIn::Challenge => Way::Challenge,
            policy::SignIn::Enrolment => Way::Enrolment,
        }
    }

    async fn pick(&self, kit: &Kit, is_meant: impl Fn(&Group) -> bool) -> Result<UserGroup, Error> {
        let (groups, counts): (Vec<_>, Vec<_>) =
            self.groups.iter().filter(|(group, _)| is_meant(group)).cloned().unzip();
        let examples = kit.store.examples(self.cutoffs, &groups, EXAMPLES).await?;
        Ok(UserGroup { count: counts.iter().sum(), examples })
    }
}

/// Whoever was made by then has no grace left.
fn cutoff(settings: &Settings, now: Timestamp) -> Cutoff {
    let of = |role| now.minus(settings.grace(role).period);
    Cutoff { admins: of(Role::Admin), users: of(Role::User) }
}
