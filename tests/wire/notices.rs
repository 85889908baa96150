//! Notices by mail: what users are told of their accounts, to both addresses; and that a mail server that is away delays nothing.

use std::time::Duration;

use countersign::wire::pb;
use tonic::Response;

use crate::{
    postbox::Postbox,
    world::{ADMIN, ALICE, BOB, PASSWORD, World, with_token},
};

const SECOND: &str = "alice.second@example.org";
const NEW_PASSWORD: &str = "another horse battery staple";

async fn world() -> (World, Postbox) {
    let postbox = Postbox::start().await;
    let world = World::with(&postbox.sets().iter().map(String::as_str).collect::<Vec<_>>()).await;
    for _ in 0..400 {
        if world.count("SELECT COUNT(*) AS n FROM delivery_cursors").await == 2 {
            return (world, postbox);
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("nobody reads the log");
}

async fn user_id(world: &World, admin: &str, email: &str) -> String {
    let request = with_token(pb::ListUsersRequest { search: email.to_owned(), ..Default::default() }, admin);
    world.admin.clone().list_users(request).await.unwrap().into_inner().users[0].user_id.clone()
}

async fn update(world: &World, admin: &str, user: pb::User) -> pb::User {
    let request = with_token(pb::UpdateUserRequest { user: Some(user), update_mask: None }, admin);
    world.admin.clone().update_user(request).await.map(Response::into_inner).unwrap().user.unwrap()
}

/// Waits until an address was told something.
async fn told(postbox: &Postbox, to: &str, subject: &str) {
    for _ in 0..800 {
        if postbox.subjects(to).iter().any(|one| one == subject) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{to}: {:?}", postbox.subjects(to));
}

fn sorted(mut subjects: Vec<String>) -> Vec<String> {
    subjects.sort();
    subjects
}

#[tokio::test]
async fn users_are_told_what_happens_to_their_account() {
    let (world, postbox) = world().await;
    let (app, confirmed) = world.enrol_whole(ALICE).await;
    let token = world.sign_in_with(ALICE, &confirmed.backup_codes[0]).await;
    world.advance(30);
    let request = pb::ChangePasswordRequest {
        current_password: PASSWORD.to_owned(),
        new_password: NEW_PASSWORD.to_owned(),
        ..Default::default()
    };
    world.change_password(&token, request).await.unwrap();
    world.advance(30);
    world.disable(&token, pb::DisableRequest { code: app.code(), ..Default::default() }).await.unwrap();
    let expected = [
        "a backup code was used",
        "a second factor was added",
        "a second factor was removed",
        "a second factor was removed",
        "the password came from a new network",
        "the password was changed",
    ];
    let taken = postbox.wait_for(expected.len()).await;
    assert_eq!(sorted(postbox.subjects(ALICE)), expected);
    let added = taken.iter().find(|mail| mail.subject() == "a second factor was added").unwrap();
    assert_eq!(added.header("From"), "Example <no-reply@example.com>");
    assert_eq!(added.header("Auto-Submitted"), "auto-generated");
    assert!(added.header("Message-ID").starts_with("<dlv_") && added.header("Message-ID").ends_with("@example.com>"));
    for part in ["authenticator app", "2027-01-15 08:00 UTC", "127.0.0.1", "Call extension 100."] {
        assert!(added.text.contains(part), "{part}: {}", added.text);
    }
    let used = taken.iter().find(|mail| mail.subject() == "a backup code was used").unwrap();
    assert!(used.text.contains("Unused codes: 9."), "{}", used.text);
    for mail in &taken {
        for secret in [app.code().as_str(), &confirmed.backup_codes[0], PASSWORD, &token, "://"] {
            assert!(!mail.text.contains(secret), "{}", mail.text);
        }
    }
}

#[tokio::test]
async fn few_backup_codes_are_told_and_a_new_set_is_too() {
    let (world, postbox) = world().await;
    let (app, confirmed) = world.enrol_whole(ALICE).await;
    for code in &confirmed.backup_codes[..7] {
        world.sign_in_with(ALICE, code).await;
    }
    postbox.wait_for(9).await;
    world.advance(30);
    world.backup_codes(&confirmed.access_token, &app.code(), "").await.unwrap();
    postbox.wait_for(10).await;
    let subjects = postbox.subjects(ALICE);
    let count = |subject: &str| subjects.iter().filter(|one| *one == subject).count();
    assert_eq!(count("few backup codes are left"), 1, "{subjects:?}");
    assert_eq!(count("a backup code was used"), 6, "{subjects:?}");
    assert_eq!(count("there are new backup codes"), 1, "not of those of the first factor: {subjects:?}");
}

#[tokio::test]
async fn what_an_administrator_does_is_told_to_both_addresses_and_to_the_one_that_was() {
    let (world, postbox) = world().await;
    let (_, admin) = world.enrol(ADMIN).await;
    world.enrol(ALICE).await;
    postbox.wait_for(4).await;
    let user_id = user_id(&world, &admin, ALICE).await;
    let of = |user: pb::User| pb::User { user_id: user_id.clone(), ..user };
    let updated = update(&world, &admin, of(pb::User { notice_email: SECOND.to_owned(), ..Default::default() })).await;
    assert_eq!((updated.email.as_str(), updated.notice_email.as_str()), (ALICE, SECOND));
    postbox.wait_for(6).await;
    let address_changed = "an e-mail address was changed";
    assert_eq!(postbox.subjects(SECOND), [address_changed]);
    let request =
        with_token(pb::ResetTwoFaRequest { user_id: user_id.clone(), reason: "lost her phone".to_owned() }, &admin);
    world.admin.clone().reset_two_fa(request).await.unwrap();
    let request =
        with_token(pb::IssuePasswordResetRequest { user_id: user_id.clone(), reason: "forgot it".to_owned() }, &admin);
    world.admin.clone().issue_password_reset(request).await.unwrap();
    let taken = postbox.wait_for(10).await;
    for to in [ALICE, SECOND] {
        let subjects = postbox.subjects(to);
        for subject in ["the second factors were reset", "a password can be set"] {
            assert!(subjects.iter().any(|one| one == subject), "{to}: {subjects:?}");
        }
    }
    let by_admin = taken.iter().filter(|mail| mail.text.contains("An administrator did this.")).count();
    assert_eq!(by_admin, 6, "two of the address, two of the reset, two of the token");

    let (old, new) = (postbox.subjects(ALICE).len(), "alice.new@example.com");
    update(&world, &admin, of(pb::User { email: new.to_owned(), ..Default::default() })).await;
    postbox.wait_for(13).await;
    assert_eq!(postbox.subjects(new), [address_changed]);
    assert_eq!(postbox.subjects(ALICE)[old..], [address_changed], "the one that it was, too");
    let mask = prost_types::FieldMask { paths: vec!["notice_email".to_owned()] };
    let none = pb::UpdateUserRequest { user: Some(of(pb::User::default())), update_mask: Some(mask) };
    let none = world.admin.clone().update_user(with_token(none, &admin)).await.unwrap().into_inner().user.unwrap();
    assert_eq!(none.notice_email, "");
    postbox.wait_for(15).await;
    assert_eq!(postbox.subjects(SECOND).last().map(String::as_str), Some(address_changed));
}

#[tokio::test]
async fn a_sign_in_that_stops_after_the_password_is_told_when_its_challenge_has_ended_and_once_an_hour() {
    let (world, postbox) = world().await;
    let (app, _) = world.enrol(ALICE).await;
    postbox.wait_for(2).await;
    world.advance(30);
    let challenge = world.challenge(ALICE).await;
    world.verify(&challenge, &app.code()).await.unwrap();
    world.advance(30);
    world.enrol(BOB).await;
    postbox.wait_for(4).await;
    world.advance(30);
    for _ in 0..3 {
        world.challenge(BOB).await;
    }
    tokio::time::sleep(Duration::from_millis(1200)).await;
    world.advance(5 * 60 + 59);
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(postbox.taken().len(), 4, "a code may still come: {:?}", postbox.subjects(BOB));
    world.advance(2);
    postbox.wait_for(5).await;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let abandoned = "a sign-in was not completed";
    assert_eq!(postbox.subjects(BOB).iter().filter(|one| *one == abandoned).count(), 1);
    assert!(!postbox.subjects(ALICE).iter().any(|one| one == abandoned), "hers was completed");
    world.advance(3600);
    world.challenge(BOB).await;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    world.advance(6 * 60 + 1);
    postbox.wait_for(6).await;
}

#[tokio::test]
async fn a_success_from_elsewhere_does_not_excuse_a_password_that_came_alone() {
    let (world, postbox) = world().await;
    let (app, _) = world.enrol(ALICE).await;
    postbox.wait_for(2).await;
    world.challenge(ALICE).await;
    world.execute("UPDATE audit_events SET source = '192.0.2.7' WHERE kind = 'authn_challenge_created'").await;
    world.advance(30);
    let challenge = world.challenge(ALICE).await;
    world.verify(&challenge, &app.code()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1200)).await;
    world.advance(6 * 60 + 1);
    postbox.wait_for(3).await;
    assert_eq!(postbox.subjects(ALICE).last().map(String::as_str), Some("a sign-in was not completed"));
    assert!(postbox.taken().last().unwrap().text.contains("192.0.2.7"));
}

#[tokio::test]
async fn a_mail_server_that_is_away_delays_nothing_and_gets_everything_afterwards() {
    let (world, postbox) = world().await;
    postbox.answers("451 later");
    let (_, token) = world.enrol(ALICE).await;
    assert!(world.is_good(&token).await);
    let tried = "SELECT COUNT(*) AS n FROM deliveries WHERE failure = 'the mail server answered 451'";
    for _ in 0..400 {
        if world.count(tried).await == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert_eq!((world.count(tried).await, postbox.taken().len()), (2, 0));
    let world = world.restarted().await;
    postbox.answers("");
    world.advance(3600);
    postbox.wait_for(2).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM deliveries").await, 0);
}

#[tokio::test]
async fn a_mailbox_that_is_not_there_is_not_written_to_again() {
    let (world, postbox) = world().await;
    postbox.answers("550 alice@example.com is unknown here");
    world.enrol(ALICE).await;
    let given_up =
        "SELECT COUNT(*) AS n FROM deliveries WHERE due_time IS NULL AND failure = 'the mail server answered 550'";
    for _ in 0..400 {
        if world.count(given_up).await == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert_eq!(world.count(given_up).await, 2);
    postbox.answers("");
    world.advance(3600);
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert!(postbox.taken().is_empty());
}

#[tokio::test]
async fn whoever_makes_a_thing_happen_again_and_again_is_told_of_it_ten_times_an_hour() {
    let (world, postbox) = world().await;
    let token = world.sign_in(ALICE).await.access_token;
    let passwords = [PASSWORD, NEW_PASSWORD];
    for n in 0..12 {
        let request = pb::ChangePasswordRequest {
            current_password: passwords[n % 2].to_owned(),
            new_password: passwords[(n + 1) % 2].to_owned(),
            ..Default::default()
        };
        world.change_password(&token, request).await.unwrap();
    }
    postbox.wait_for(11).await;
    world.enrol(BOB).await;
    postbox.wait_for(13).await;
    assert_eq!(postbox.subjects(ALICE).iter().filter(|one| *one == "the password was changed").count(), 10);
    assert_eq!(postbox.subjects(BOB).len(), 2, "others are told all the same");
}

#[tokio::test]
async fn whoever_takes_an_account_over_hides_nothing_by_taking_its_address() {
    let (world, postbox) = world().await;
    let (_, admin) = world.enrol(ADMIN).await;
    world.enrol(ALICE).await;
    postbox.wait_for(4).await;
    let user_id = user_id(&world, &admin, ALICE).await;
    let reason = || "lost her phone".to_owned();
    let reset = pb::ResetTwoFaRequest { user_id: user_id.clone(), reason: reason() };
    world.admin.clone().reset_two_fa(with_token(reset, &admin)).await.unwrap();
    let other = pb::User { user_id: user_id.clone(), email: "mallory@example.com".to_owned(), ..Default::default() };
    update(&world, &admin, other).await;
    let delete = pb::DeleteUserRequest { user_id, reason: reason(), ..Default::default() };
    world.admin.clone().delete_user(with_token(delete, &admin)).await.unwrap();
    told(&postbox, "mallory@example.com", "the account was removed").await;
    told(&postbox, ALICE, "an e-mail address was changed").await;
    told(&postbox, ALICE, "the second factors were reset").await;
}

#[tokio::test]
async fn a_record_of_a_clock_that_was_ahead_and_one_that_cannot_be_read_hold_up_no_other() {
    let (world, postbox) = world().await;
    world.enrol(ALICE).await;
    postbox.wait_for(2).await;
    world
        .execute("UPDATE audit_events SET create_time = create_time + 3600000 WHERE kind = 'authn_factor_created'")
        .await;
    if crate::stack::Stack::chosen() == crate::stack::Stack::Sqlite {
        world.execute("UPDATE audit_events SET source = x'ff00' WHERE kind = 'authn_login_success'").await;
    }
    world.execute("UPDATE delivery_cursors SET position = 0").await;
    world.enrol(BOB).await;
    postbox.wait_for(5).await;
    let added = "a second factor was added";
    assert_eq!(postbox.subjects(ALICE).iter().filter(|one| *one == added).count(), 2, "again");
    told(&postbox, BOB, added).await;
}

#[tokio::test]
async fn a_second_address_is_one_that_mail_can_be_sent_to_and_another_one() {
    let (world, _postbox) = world().await;
    let (_, admin) = world.enrol(ADMIN).await;
    let user_id = user_id(&world, &admin, ALICE).await;
    for address in ["a..b@example.com", "a,b@example.com", "Alice@Example.com", "no address"] {
        let user = pb::User { user_id: user_id.clone(), notice_email: address.to_owned(), ..Default::default() };
        let request = with_token(pb::UpdateUserRequest { user: Some(user), update_mask: None }, &admin);
        let refused = world.admin.clone().update_user(request).await;
        assert_eq!(crate::world::reason(refused), "INVALID_ARGUMENT", "{address}");
    }
}
