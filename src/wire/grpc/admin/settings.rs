//! The policy, for administrators.

use std::time::Duration;

use super::{Admin, users::shortened};
use crate::{
    error::{Error, Refusal, Violation},
    flow::{
        Page,
        admin::{self, SettingsRequest, UserGroup},
    },
    model::{Method, RequiredFor, Settings, SettingsChange},
    store::Adoption,
    wire::{
        grpc::{
            Admitted,
            convert::{self, duration, methods, timestamp},
        },
        pb,
    },
};

/// What an administrator can change, as proto has it.
const FIELDS: [&str; 10] = [
    "two_fa_enabled",
    "allowed_methods",
    "preferred_method",
    "backup_codes_enabled",
    "required_for",
    "grace_period",
    "admin_grace_period",
    "totp_digits",
    "sms_digits",
    "sms_code_life",
];

impl Admin {
    pub(super) async fn settings(
        &self,
        admitted: &Admitted<pb::GetSettingsRequest>,
    ) -> Result<pb::GetSettingsResponse, Error> {
        let settings = admin::read_settings(&self.kit, &admitted.call).await?;
        Ok(pb::GetSettingsResponse { settings: Some(shown(&settings)) })
    }

    pub(super) async fn updated_settings(
        &self,
        admitted: &Admitted<pb::UpdateSettingsRequest>,
    ) -> Result<pb::UpdateSettingsResponse, Error> {
        let pb::UpdateSettingsRequest { settings, update_mask } = &admitted.message;
        let request = request(settings.as_ref(), update_mask.as_ref())?;
        let settings = admin::update_settings(&self.kit, admitted.admin()?, &request, &admitted.call).await?;
        Ok(pb::UpdateSettingsResponse { settings: Some(shown(&settings)) })
    }

    pub(super) async fn previewed_settings(
        &self,
        admitted: &Admitted<pb::PreviewSettingsRequest>,
    ) -> Result<pb::PreviewSettingsResponse, Error> {
        let pb::PreviewSettingsRequest { settings, update_mask } = &admitted.message;
        let request = request(settings.as_ref(), update_mask.as_ref())?;
        let preview = admin::preview_settings(&self.kit, &request, &admitted.call).await?;
        Ok(pb::PreviewSettingsResponse {
            settings: Some(shown(&preview.settings)),
            touched: Some(group(preview.touched)),
            unready: Some(group(preview.unready)),
            unready_at_once: Some(group(preview.unready_at_once)),
            losing_only_method: Some(group(preview.losing_only_method)),
        })
    }

    pub(super) async fn settings_versions(
        &self,
        admitted: &Admitted<pb::ListSettingsVersionsRequest>,
    ) -> Result<pb::ListSettingsVersionsResponse, Error> {
        let page = Page::of(admitted.message.page_size, &admitted.message.page_token)?;
        let page = admin::list_settings_versions(&self.kit, page, &admitted.call).await?;
        let version = |version: crate::model::SettingsVersion| pb::SettingsVersion {
            settings: Some(shown(&version.settings)),
            admin_user_id: version.admin.map(|admin| admin.to_string()).unwrap_or_default(),
        };
        Ok(pb::ListSettingsVersionsResponse {
            settings_versions: page.versions.into_iter().map(version).collect(),
            next_page_token: page.next.map(|version| version.to_string()).unwrap_or_default(),
        })
    }

    pub(super) async fn adoption(
        &self,
        admitted: &Admitted<pb::GetAdoptionReportRequest>,
    ) -> Result<pb::GetAdoptionReportResponse, Error> {
        let report = admin::adoption_report(&self.kit, &admitted.call).await?;
        let method = |adoption: Adoption| pb::MethodAdoption {
            method: pb::Method::from(adoption.method).into(),
            users: adoption.users,
            recent_users: adoption.recent_users,
            last_use_time: adoption.last_use_time.map(timestamp),
        };
        Ok(pb::GetAdoptionReportResponse {
            users: report.users,
            enrolled_users: report.enrolled_users,
            never_enrolled_users: report.never_enrolled_users,
            admins: report.admins,
            enrolled_admins: report.enrolled_admins,
            methods: report.methods.into_iter().map(method).collect(),
        })
    }
}

/// The change that a message asks for, or all that is wrong with it.
fn request(settings: Option<&pb::Settings>, mask: Option<&prost_types::FieldMask>) -> Result<SettingsRequest, Refusal> {
    let given = settings.cloned().unwrap_or_default();
    let mut violations = Vec::new();
    let fields = fields(&given, mask.map(|mask| mask.paths.as_slice()).unwrap_or_default(), &mut violations);
    let mut change = SettingsChange::default();
    for field in fields {
        if let Err(problem) = set(&mut change, field, &given) {
            violations.push(problem);
        }
    }
    let version = match given.etag.as_str() {
        "" => None,
        // One that is none of ours is that of no policy.
        etag => Some(etag.parse().unwrap_or(i64::MIN)),
    };
    if violations.is_empty() {
        Ok(SettingsRequest { change, version })
    } else {
        Err(Refusal::InvalidArgument(violations))
    }
}

/// The fields that are meant: those of the mask, or without one those that are set.
fn fields(given: &pb::Settings, mask: &[String], violations: &mut Vec<Violation>) -> Vec<&'static str> {
    for unknown in mask.iter().filter(|path| *path != "*" && !FIELDS.contains(&path.as_str())).take(1) {
        let all = FIELDS.join(", ");
        let description =
            format!("names {:?}; what can be set is {all}, and \"*\" for all of them.", shortened(unknown));
        violations.push(Violation { field: "update_mask", description });
    }
    let meant: Vec<_> = FIELDS
        .into_iter()
        .filter(|field| match mask {
            [] => is_set(given, field),
            mask => mask.iter().any(|path| path == field || path == "*"),
        })
        .collect();
    if meant.is_empty() && violations.is_empty() {
        let description = "must hold what is to be another way; 0, an empty list and an unspecified value count as not set, unless update_mask \
                           names them.".to_owned();
        violations.push(Violation { field: "settings", description });
    }
    meant
}

fn is_set(given: &pb::Settings, field: &str) -> bool {
    match field {
        "two_fa_enabled" => given.two_fa_enabled.is_some(),
        "allowed_methods" => !given.allowed_methods.is_empty(),
        "preferred_method" => given.preferred_method != 0,
        "backup_codes_enabled" => given.backup_codes_enabled.is_some(),
        "required_for" => given.required_for != 0,
        "grace_period" => given.grace_period.is_some(),
        "admin_grace_period" => given.admin_grace_period.is_some(),
        "totp_digits" => given.totp_digits != 0,
        "sms_digits" => given.sms_digits != 0,
        _ => field == "sms_code_life" && given.sms_code_life.is_some(),
    }
}

/// Takes one field over into the change.
fn set(change: &mut SettingsChange, field: &str, given: &pb::Settings) -> Result<(), Violation> {
    const BOOLEAN: &str = "must be true or false.";
    match field {
        "two_fa_enabled" => {
            change.two_fa_enabled = Some(there(given.two_fa_enabled, "settings.two_fa_enabled", BOOLEAN)?);
        }
        "allowed_methods" => {
            let mut all = Vec::new();
            for number in &given.allowed_methods {
                let method = method(*number, "settings.allowed_methods")?;
                if !all.contains(&method) {
                    all.push(method);
                }
            }
            change.allowed_methods = Some(all);
        }
        "preferred_method" => {
            change.preferred_method = Some(method(given.preferred_method, "settings.preferred_method")?);
        }
        "backup_codes_enabled" => {
            let value = there(given.backup_codes_enabled, "settings.backup_codes_enabled", BOOLEAN)?;
            change.backup_codes_enabled = Some(value);
        }
        "required_for" => {
            let value = required_for(given.required_for);
            let problem = "must be REQUIRED_FOR_NOBODY, REQUIRED_FOR_ADMINS or REQUIRED_FOR_ALL.";
            change.required_for = Some(there(value, "settings.required_for", problem)?);
        }
        "grace_period" => change.grace_period = Some(span(given.grace_period, "settings.grace_period")?),
        "admin_grace_period" => {
            change.admin_grace_period = Some(span(given.admin_grace_period, "settings.admin_grace_period")?);
        }
        // What is no small number is no number of digits either: the policy says so.
        "totp_digits" => change.totp_digits = Some(u8::try_from(given.totp_digits).unwrap_or(0)),
        "sms_digits" => change.sms_digits = Some(u8::try_from(given.sms_digits).unwrap_or(0)),
        _ => change.sms_code_life = Some(span(given.sms_code_life, "settings.sms_code_life")?),
    }
    Ok(())
}

fn there<T>(value: Option<T>, field: &'static str, problem: &str) -> Result<T, Violation> {
    value.ok_or_else(|| Violation { field, description: problem.to_owned() })
}

fn method(number: i32, field: &'static str) -> Result<Method, Violation> {
    let method = convert::method(number).ok().flatten();
    there(method, field, "must be METHOD_TOTP, METHOD_PHONE or METHOD_BACKUP_CODE.")
}

fn span(given: Option<prost_types::Duration>, field: &'static str) -> Result<Duration, Violation> {
    let span = given.and_then(|span| Duration::try_from(span).ok()).filter(|span| span.subsec_nanos() == 0);
    there(span, field, "must be a duration of whole seconds, such as \"604800s\" for 7 days, and not negative.")
}

fn required_for(number: i32) -> Option<RequiredFor> {
    match pb::RequiredFor::try_from(number).ok()? {
        pb::RequiredFor::Unspecified => None,
        pb::RequiredFor::Nobody => Some(RequiredFor::Nobody),
        pb::RequiredFor::Admins => Some(RequiredFor::Admins),
        pb::RequiredFor::All => Some(RequiredFor::All),
    }
}

fn shown(settings: &Settings) -> pb::Settings {
    let required_for = match settings.required_for {
        RequiredFor::Nobody => pb::RequiredFor::Nobody,
        RequiredFor::Admins => pb::RequiredFor::Admins,
        RequiredFor::All => pb::RequiredFor::All,
    };
    pb::Settings {
        two_fa_enabled: Some(settings.two_fa_enabled),
        allowed_methods: methods(settings.allowed_methods.clone()),
        preferred_method: pb::Method::from(settings.preferred_method).into(),
        backup_codes_enabled: Some(settings.backup_codes_enabled),
        required_for: required_for.into(),
        grace_period: Some(duration(settings.users.period)),
        admin_grace_period: Some(duration(settings.admins.period)),
        totp_digits: settings.totp_digits.into(),
        sms_digits: settings.sms_digits.into(),
        sms_code_life: Some(duration(settings.sms_code_life)),
        etag: settings.version.to_string(),
        update_time: settings.change_time.map(timestamp),
    }
}

fn group(group: UserGroup) -> pb::UserGroup {
    let reference = |(id, email): (crate::model::UserId, crate::model::Email)| pb::UserReference {
        user_id: id.to_string(),
        email: email.typed().to_owned(),
    };
    pb::UserGroup { count: group.count, examples: group.examples.into_iter().map(reference).collect() }
}
