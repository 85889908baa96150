//! The policy: read, changed, previewed, and what it was before.

use countersign::wire::pb;
use prost_types::{Duration, FieldMask};

use crate::{
    provider::Provider,
    world::{ADMIN, ALICE, BOB, World, reason, refusal, with_token},
};

fn mask(paths: &[&str]) -> Option<FieldMask> {
    Some(FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() })
}

async fn update(
    world: &World,
    token: &str,
    settings: pb::Settings,
    paths: &[&str],
) -> Result<pb::Settings, tonic::Status> {
    let update_mask = if paths.is_empty() { None } else { mask(paths) };
    let request = pb::UpdateSettingsRequest { settings: Some(settings), update_mask };
    let answer = world.admin.clone().update_settings(with_token(request, token)).await;
    answer.map(|answer| answer.into_inner().settings.unwrap())
}

fn violations<T>(result: Result<T, tonic::Status>) -> Vec<String> {
    let (_, details) = refusal(result);
    assert_eq!(details.error_info().unwrap().reason, "INVALID_ARGUMENT");
    details.bad_request().unwrap().field_violations.iter().map(|violation| violation.field.clone()).collect()
}

#[tokio::test]
async fn they_begin_as_the_contract_says() {
    let world = World::new().await;
    let (_, admin) = world.enrol(ADMIN).await;
    let settings = world.settings(&admin).await;
    assert_eq!((settings.two_fa_enabled, settings.backup_codes_enabled), (Some(true), Some(true)));
    assert_eq!(
        settings.allowed_methods().collect::<Vec<_>>(),
        [pb::Method::Totp, pb::Method::Phone, pb::Method::BackupCode]
    );
    assert_eq!((settings.preferred_method(), settings.required_for()), (pb::Method::Totp, pb::RequiredFor::Admins));
    let seconds = |span: &Option<Duration>| span.as_ref().unwrap().seconds;
    assert_eq!((seconds(&settings.grace_period), seconds(&settings.admin_grace_period)), (7 * 24 * 60 * 60, 0));
    assert_eq!((settings.totp_digits, settings.sms_digits, seconds(&settings.sms_code_life)), (6, 6, 300));
    assert!(!settings.etag.is_empty() && settings.update_time.is_none());
}

#[tokio::test]
async fn only_what_the_mask_names_is_changed_and_without_one_what_is_set() {
    let world = World::new().await;
    let (_, admin) = world.enrol(ADMIN).await;
    let both = pb::Settings { totp_digits: 8, sms_digits: 7, ..Default::default() };
    let changed = update(&world, &admin, both.clone(), &["sms_digits"]).await.unwrap();
    assert_eq!((changed.totp_digits, changed.sms_digits), (6, 7));
    let changed = update(&world, &admin, both, &[]).await.unwrap();
    assert_eq!((changed.totp_digits, changed.sms_digits), (8, 7));
    let changed = update(&world, &admin, pb::Settings::default(), &["allowed_methods"]).await;
    assert_eq!(
        violations(changed),
        ["settings.allowed_methods", "settings.preferred_method"],
        "an empty list is meant"
    );
    assert_eq!(violations(update(&world, &admin, pb::Settings::default(), &[]).await), ["settings"], "nothing is not");
    let unknown = update(&world, &admin, pb::Settings::default(), &["etag"]).await;
    assert_eq!(violations(unknown), ["update_mask"]);
    let whole = world.settings(&admin).await;
    let same = update(&world, &admin, pb::Settings { totp_digits: 6, ..whole.clone() }, &["*"]).await.unwrap();
    assert_eq!((same.totp_digits, same.sms_digits, same.grace_period), (6, 7, whole.grace_period));
    assert_ne!(same.etag, whole.etag);
    assert!(same.update_time.is_some());
    let again = update(&world, &admin, same.clone(), &["*"]).await.unwrap();
    assert_eq!(again, same, "what changes nothing is no version");
}

#[tokio::test]
async fn everything_that_is_wrong_is_told_at_once_and_changes_nothing() {
    let world = World::new().await;
    let (_, admin) = world.enrol(ADMIN).await;
    let before = world.settings(&admin).await;
    let minutes = |seconds| Some(Duration { seconds, nanos: 0 });
    let wrong = pb::Settings {
        preferred_method: pb::Method::BackupCode.into(),
        totp_digits: 5,
        sms_digits: 300,
        sms_code_life: minutes(601),
        grace_period: minutes(366 * 24 * 60 * 60),
        ..Default::default()
    };
    let fields = ["preferred_method", "grace_period", "totp_digits", "sms_digits", "sms_code_life"];
    let fields = fields.map(|field| format!("settings.{field}"));
    assert_eq!(violations(update(&world, &admin, wrong, &[]).await), fields);
    let wrong = pb::Settings {
        allowed_methods: vec![77],
        required_for: 9,
        grace_period: minutes(-1),
        admin_grace_period: Some(Duration { seconds: 1, nanos: 5 }),
        ..Default::default()
    };
    // JSON has no numbers for what is unknown: over REST the gateway says so first, and as fully.
    let told = violations(update(&world, &admin, wrong, &[]).await);
    assert!(told.iter().any(|field| field.starts_with("settings.allowed_methods")), "{told:?}");
    let phone_alone = pb::Settings {
        allowed_methods: vec![pb::Method::Phone.into()],
        preferred_method: pb::Method::Phone.into(),
        ..Default::default()
    };
    let told = violations(update(&world, &admin, phone_alone, &[]).await);
    assert_eq!(told, ["settings.allowed_methods"], "nobody could enrol: no text messages are sent here");
    let preferred = pb::Settings { preferred_method: pb::Method::Phone.into(), ..Default::default() };
    assert_eq!(
        violations(update(&world, &admin, preferred, &[]).await),
        ["settings.preferred_method"],
        "nor by default"
    );
    assert_eq!(world.settings(&admin).await, before);
}

#[tokio::test]
async fn of_two_who_have_read_the_same_one_is_told_that_it_was_changed() {
    let world = World::new().await;
    let (_, admin) = world.enrol(ADMIN).await;
    let etag = world.settings(&admin).await.etag;
    let change = |digits| pb::Settings { totp_digits: digits, etag: etag.clone(), ..Default::default() };
    assert!(update(&world, &admin, change(8), &[]).await.is_ok());
    assert_eq!(reason(update(&world, &admin, change(7), &[]).await), "VERSION_MISMATCH");
    let nonsense = pb::Settings { totp_digits: 7, etag: "nonsense".to_owned(), ..Default::default() };
    assert_eq!(reason(update(&world, &admin, nonsense, &[]).await), "VERSION_MISMATCH");
    assert_eq!(world.settings(&admin).await.totp_digits, 8);
}

#[tokio::test]
async fn every_version_is_kept_with_who_has_saved_it() {
    let world = World::new().await;
    let (_, admin) = world.enrol(ADMIN).await;
    let list = async |page_size, page_token: &str| {
        let request = pb::ListSettingsVersionsRequest { page_size, page_token: page_token.to_owned() };
        world.admin.clone().list_settings_versions(with_token(request, &admin)).await.unwrap().into_inner()
    };
    let first = list(0, "").await;
    assert_eq!((first.settings_versions.len(), first.next_page_token.as_str()), (1, ""));
    for digits in [7, 8] {
        update(&world, &admin, pb::Settings { totp_digits: digits, ..Default::default() }, &[]).await.unwrap();
    }
    let digits = |page: &pb::ListSettingsVersionsResponse| {
        page.settings_versions.iter().map(|v| v.settings.as_ref().unwrap().totp_digits).collect::<Vec<_>>()
    };
    let page = list(2, "").await;
    assert_eq!(digits(&page), [8, 7]);
    assert!(page.settings_versions.iter().all(|version| version.admin_user_id.starts_with("usr_")));
    let rest = list(2, &page.next_page_token).await;
    assert_eq!((digits(&rest), rest.next_page_token.as_str()), (vec![6], ""));
    assert_eq!(rest.settings_versions[0].admin_user_id, "", "nobody's but the service's");
    assert_eq!(world.audited("settings_updated").await, 2);
}

#[tokio::test]
async fn a_changed_length_holds_for_new_enrolments_alone() {
    let world = World::new().await;
    let (_, admin) = world.enrol(ADMIN).await;
    let (alice, _) = world.enrol(ALICE).await;
    update(&world, &admin, pb::Settings { totp_digits: 8, ..Default::default() }, &[]).await.unwrap();
    let (bob, _) = world.enrol(BOB).await;
    assert_eq!((alice.code_in(1).len(), bob.code_in(1).len()), (6, 8));
    assert!(world.verify(&world.challenge(ALICE).await, &alice.code_in(1)).await.is_ok());
    assert!(world.verify(&world.challenge(BOB).await, &bob.code_in(1)).await.is_ok());
}

#[tokio::test]
async fn a_method_that_is_switched_off_is_proven_still_and_leads_to_another() {
    let provider = Provider::start().await;
    let sets = provider.twilio();
    let world = World::with(&sets.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let (_, admin) = world.enrol(ADMIN).await;
    let (app, token) = world.enrol(ALICE).await;
    let phones = pb::Settings {
        allowed_methods: vec![pb::Method::Phone.into(), pb::Method::BackupCode.into()],
        preferred_method: pb::Method::Phone.into(),
        ..Default::default()
    };
    update(&world, &admin, phones, &[]).await.unwrap();
    let status = world.status(&token).await.unwrap();
    assert!(status.enabled && status.enrollment_recommended);
    let challenge = world.sign_in(ALICE).await;
    assert!(challenge.two_fa_required, "an enrolled factor is never waived");
    let signed_in = world.verify(&challenge.challenge_id, &app.code_in(1)).await.unwrap();
    assert!(signed_in.enrollment_recommended && signed_in.message.contains("enrol another"));
    let totp = pb::EnableRequest { method: pb::Method::Totp.into(), ..Default::default() };
    let refused = world.twofa.clone().enable(with_token(totp, &signed_in.access_token)).await;
    assert_eq!(reason(refused), "TWO_FA_UNAVAILABLE");
    let phone = pb::EnableRequest { phone_number: "+306912345678".to_owned(), ..Default::default() };
    let enabled = world.twofa.clone().enable(with_token(phone, &signed_in.access_token)).await.unwrap().into_inner();
    assert_eq!(enabled.method(), pb::Method::Phone, "the preferred method is what is meant");
    let confirmed = world.verify_as(&signed_in.access_token, &enabled.challenge_id, &provider.code()).await.unwrap();
    assert!(!confirmed.enrollment_recommended);
    assert!(!world.status(&confirmed.access_token).await.unwrap().enrollment_recommended);
}

#[tokio::test]
async fn a_preview_says_whom_a_change_touches_and_changes_nothing() {
    let world = World::new().await;
    let (_, admin) = world.enrol(ADMIN).await;
    world.enrol(ALICE).await;
    let before = world.settings(&admin).await;
    let preview = async |settings: pb::Settings| {
        let request = pb::PreviewSettingsRequest { settings: Some(settings), update_mask: None };
        world.admin.clone().preview_settings(with_token(request, &admin)).await.unwrap().into_inner()
    };
    let emails = |group: &Option<pb::UserGroup>| {
        let group = group.as_ref().unwrap();
        let emails: Vec<_> = group.examples.iter().map(|user| user.email.clone()).collect();
        assert_eq!(i64::try_from(emails.len()).unwrap(), group.count);
        emails
    };
    let all = preview(pb::Settings { required_for: pb::RequiredFor::All.into(), ..Default::default() }).await;
    assert_eq!((emails(&all.touched), emails(&all.unready)), (vec![BOB.to_owned()], vec![BOB.to_owned()]));
    assert!(emails(&all.unready_at_once).is_empty() && emails(&all.losing_only_method).is_empty());
    let at_once = pb::Settings {
        required_for: pb::RequiredFor::All.into(),
        grace_period: Some(Duration { seconds: 0, nanos: 0 }),
        ..Default::default()
    };
    assert_eq!(emails(&preview(at_once).await.unready_at_once), [BOB]);
    let off = preview(pb::Settings { two_fa_enabled: Some(false), ..Default::default() }).await;
    assert_eq!(emails(&off.touched), [ALICE], "her factor would be waived; the administrator's would not");
    assert!(emails(&off.unready).is_empty());
    let shown = off.settings.unwrap();
    assert_eq!((shown.two_fa_enabled, &shown.etag), (Some(false), &before.etag), "to be saved, it is sent back");
    assert_eq!(world.settings(&admin).await, before);
}

#[tokio::test]
async fn a_preview_names_those_who_would_have_a_method_alone_that_is_off() {
    let provider = Provider::start().await;
    let sets = provider.twilio();
    let world = World::with(&sets.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let (_, admin) = world.enrol(ADMIN).await;
    world.enrol(ALICE).await;
    let phones = pb::Settings {
        allowed_methods: vec![pb::Method::Phone.into()],
        preferred_method: pb::Method::Phone.into(),
        ..Default::default()
    };
    let request = pb::PreviewSettingsRequest { settings: Some(phones), update_mask: None };
    let preview = world.admin.clone().preview_settings(with_token(request, &admin)).await.unwrap().into_inner();
    let mut losing: Vec<_> = preview.losing_only_method.unwrap().examples.into_iter().map(|user| user.email).collect();
    losing.sort();
    assert_eq!(losing, [ADMIN, ALICE]);
    assert_eq!(preview.touched.unwrap().count, 0, "they sign in as before");
}

#[tokio::test]
async fn the_report_tells_who_has_enrolled_what_and_when_it_was_last_used() {
    let world = World::new().await;
    let (_, admin) = world.enrol(ADMIN).await;
    let (alice, token) = world.enrol(ALICE).await;
    let report = async |token: &str| {
        let request = with_token(pb::GetAdoptionReportRequest {}, token);
        world.admin.clone().get_adoption_report(request).await.unwrap().into_inner()
    };
    let now = report(&admin).await;
    assert_eq!((now.users, now.enrolled_users, now.never_enrolled_users), (3, 2, 1));
    assert_eq!((now.admins, now.enrolled_admins), (1, 1));
    let of = |report: &pb::GetAdoptionReportResponse, method: pb::Method| {
        report.methods.iter().find(|adoption| adoption.method() == method).cloned().unwrap()
    };
    assert_eq!(of(&now, pb::Method::Totp).users, 2);
    assert_eq!((of(&now, pb::Method::Totp).recent_users, of(&now, pb::Method::Totp).last_use_time), (0, None));
    world.verify(&world.challenge(ALICE).await, &alice.code_in(1)).await.unwrap();
    let used = of(&report(&admin).await, pb::Method::Totp);
    assert_eq!(used.recent_users, 1);
    assert_eq!(used.last_use_time.map(|time| time.seconds), Some(world.now()));
    world.disable(&token, pb::DisableRequest::default()).await.unwrap();
    let now = report(&admin).await;
    assert_eq!((now.enrolled_users, now.never_enrolled_users), (1, 1), "she had one once");
}

trait Clocked {
    fn now(&self) -> i64;
}

impl Clocked for World {
    fn now(&self) -> i64 {
        use countersign::clock::Clock;
        self.clock.now().seconds()
    }
}
