//! The policy on the console: what is saved is what was changed, and nothing else.

use countersign::wire::pb;

use crate::{
    browser::{Browser, between},
    world::{ADMIN, World},
};

/// The fields of the form, as a browser sends them back when nothing was touched.
fn untouched(page: &str) -> Vec<(&'static str, String)> {
    let typed = |name: &str| {
        let tag = between(page, &format!(" name=\"{name}\""), ">").unwrap_or_else(|| panic!("no {name} in {page}"));
        between(tag, "value=\"", "\"").unwrap().to_owned()
    };
    let boxes = ["two_fa_enabled", "app", "phone", "backup_code", "backup_codes_enabled"];
    let is_checked = |name: &&str| between(page, &format!(" name=\"{name}\""), ">").unwrap().contains("checked");
    let mut fields: Vec<_> = boxes.into_iter().filter(is_checked).map(|name| (name, "on".to_owned())).collect();
    for name in ["etag", "grace_days", "admin_grace_days", "sms_code_life"] {
        fields.push((name, typed(name)));
    }
    for (name, value) in [("preferred", "app"), ("required_for", "2"), ("totp_digits", "6"), ("sms_digits", "6")] {
        fields.push((name, value.to_owned()));
    }
    fields
}

fn with<'a>(fields: &'a [(&'static str, String)], name: &'static str, value: &'a str) -> Vec<(&'static str, &'a str)> {
    let others = fields.iter().filter(|(known, _)| *known != name).map(|(name, value)| (*name, value.as_str()));
    others.chain([(name, value)]).collect()
}

fn span(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

#[tokio::test]
async fn a_grace_of_no_whole_days_is_what_it_was_when_something_else_is_saved() {
    let world = World::new().await;
    let (app, token) = world.enrol(ADMIN).await;
    let graces = pb::Settings { grace_period: span(3600), admin_grace_period: span(600), ..pb::Settings::default() };
    world.update_settings(&token, graces).await.unwrap();
    let mut browser = Browser::new(&world);
    browser.sign_in_with(ADMIN, &app, 1).await;
    let fields = untouched(&browser.get("/console/admin/settings").await.text);
    let same: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let answer = browser.post("/console/admin/settings/preview", &same).await;
    assert!(browser.follow(answer).await.text.contains("Nothing was changed, so there is nothing to save."));
    let changed = with(&fields, "sms_digits", "8");
    let preview = browser.post("/console/admin/settings/preview", &changed).await.text;
    assert!(preview.contains("Digits in text messages") && !preview.contains("Grace for"), "{preview}");
    browser.post("/console/admin/settings", &changed).await;
    let settings = world.settings(&token).await;
    assert_eq!((settings.sms_digits, settings.grace_period, settings.admin_grace_period), (8, span(3600), span(600)));
}

#[tokio::test]
async fn a_grace_that_is_changed_by_less_than_is_shown_is_in_the_preview() {
    let world = World::new().await;
    let (app, token) = world.enrol(ADMIN).await;
    world.update_settings(&token, pb::Settings { grace_period: span(3600), ..Default::default() }).await.unwrap();
    let mut browser = Browser::new(&world);
    browser.sign_in_with(ADMIN, &app, 1).await;
    let fields = untouched(&browser.get("/console/admin/settings").await.text);
    let changed = with(&fields, "grace_days", "0.04");
    let preview = browser.post("/console/admin/settings/preview", &changed).await.text;
    for told in ["Grace for users", "<del>3600 seconds</del>", "<ins>3456 seconds</ins>"] {
        assert!(preview.contains(told), "{told}: {preview}");
    }
    browser.post("/console/admin/settings", &changed).await;
    assert_eq!(world.settings(&token).await.grace_period, span(3456));
}

#[tokio::test]
async fn every_version_says_what_it_changed_and_is_shown_once() {
    let world = World::new().await;
    let (app, token) = world.enrol(ADMIN).await;
    for life in 0..23 {
        let settings = pb::Settings { sms_code_life: span(100 + life), ..pb::Settings::default() };
        world.update_settings(&token, settings).await.unwrap();
    }
    let mut browser = Browser::new(&world);
    browser.sign_in_with(ADMIN, &app, 1).await;
    let first = browser.get("/console/admin/settings/versions").await.text;
    let next = between(&first, "href=\"/console/admin/settings/versions?", "\"").unwrap().to_owned();
    let second = browser.get(&format!("/console/admin/settings/versions?{next}")).await.text;
    assert_eq!((first.matches("<strong>Version").count(), first.matches("<ins>").count()), (20, 20), "{first}");
    assert!(!first.contains("The first one"), "there are older ones");
    for life in 0..23 {
        let told = format!("<ins>{} seconds</ins>", 100 + life);
        assert_eq!(first.matches(&told).count() + second.matches(&told).count(), 1, "{told}");
    }
    assert_eq!(second.matches("The first one that is listed here.").count(), 1, "{second}");
}
