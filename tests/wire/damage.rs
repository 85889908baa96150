//! Sealed values that were altered or moved behind the service's back: what they are of fails closed, everything else goes on, and
//! the audit log tells of it.

use std::time::Duration;

use countersign::wire::pb;

use crate::{
    stack::Stack,
    world::{ALICE, BOB, PASSWORD, World, reason, with_token},
};

/// The last two bytes of a value become zero.
fn flipped(column: &str) -> String {
    match Stack::chosen() {
        Stack::Sqlite => format!("CAST(substr({column}, 1, length({column}) - 2) || x'0000' AS BLOB)"),
        Stack::Postgres => format!("substring({column} from 1 for octet_length({column}) - 2) || '\\x0000'::bytea"),
        Stack::Mariadb => format!("CONCAT(LEFT({column}, LENGTH({column}) - 2), x'0000')"),
    }
}

/// Waits until the audit log tells of values of a column that do not open; answers of how many, and whether all are somebody's.
async fn told(world: &World, column: &str, count: i64) {
    let of = "SELECT COUNT(*) AS n FROM audit_events WHERE kind = 'sys_sealed_value_broken'";
    let note = match Stack::chosen() {
        Stack::Postgres => format!("convert_from(note, 'UTF8') LIKE '{column} %'"),
        Stack::Sqlite | Stack::Mariadb => format!("CAST(note AS CHAR) LIKE '{column} %'"),
    };
    let query = format!("{of} AND subject_id IS NOT NULL AND {note}");
    for _ in 0..400 {
        if world.count(&query).await >= count {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert_eq!(world.count(&query).await, count, "{column}");
}

#[tokio::test]
async fn an_authenticator_that_was_altered_is_asked_for_and_no_code_is_right_while_a_backup_code_is() {
    let world = World::new().await;
    let (app, confirmed) = world.enrol_whole(ALICE).await;
    let (other, _) = world.enrol(BOB).await;
    let alter = format!("UPDATE factors SET data = {} WHERE method = 'totp'", flipped("data"));
    let ids = "SELECT COUNT(*) AS n FROM factors WHERE method = 'totp'";
    assert_eq!(world.count(ids).await, 2);
    world.execute("CREATE TABLE kept AS SELECT * FROM factors WHERE method = 'totp'").await;
    world.execute(&alter).await;
    world.advance(30);
    let challenge = world.sign_in(ALICE).await;
    assert!(challenge.two_fa_required && challenge.methods.contains(&pb::Method::Totp.into()));
    let refused = world.verify(&challenge.challenge_id, &app.code()).await;
    assert_eq!(reason(refused), "INVALID_CODE", "and no detail");
    let token = world.verify(&challenge.challenge_id, &confirmed.backup_codes[0]).await.unwrap().access_token;
    let status = world.status(&token).await.unwrap();
    assert!(status.enabled && status.factors.len() == 1 && status.backup_codes_remaining == 9);
    // Of Bob's nobody knows yet.
    told(&world, "factors.data", 1).await;
    // What was altered is put back: everything is as it was.
    world
        .execute(
            "UPDATE factors SET data = (SELECT kept.data FROM kept WHERE kept.id = factors.id) WHERE method = 'totp'",
        )
        .await;
    let challenge = world.challenge(BOB).await;
    world.verify(&challenge, &other.code()).await.unwrap();
}

#[tokio::test]
async fn backup_codes_that_were_altered_are_none_and_the_authenticator_goes_on() {
    let world = World::new().await;
    let (app, confirmed) = world.enrol_whole(ALICE).await;
    let alter = format!("UPDATE factors SET data = {} WHERE method = 'backup_code'", flipped("data"));
    world.execute(&alter).await;
    world.advance(30);
    let challenge = world.sign_in(ALICE).await;
    assert_eq!(challenge.methods, [i32::from(pb::Method::Totp)]);
    assert_eq!(reason(world.verify(&challenge.challenge_id, &confirmed.backup_codes[0]).await), "INVALID_CODE");
    let token = world.verify(&challenge.challenge_id, &app.code()).await.unwrap().access_token;
    assert_eq!(world.status(&token).await.unwrap().backup_codes_remaining, 0);
    told(&world, "factors.data", 1).await;
    // New ones take their place.
    world.advance(30);
    let codes = world.backup_codes(&token, &app.code(), "").await.unwrap();
    world.sign_in_with(ALICE, &codes[0]).await;
}

#[tokio::test]
async fn a_factor_of_another_account_is_none_of_this_one() {
    let world = World::new().await;
    let (alice, _) = world.enrol(ALICE).await;
    let (bob, _) = world.enrol(BOB).await;
    // Each has the data of the other.
    world.execute("CREATE TABLE kept AS SELECT * FROM factors WHERE method = 'totp'").await;
    world
        .execute(
            "UPDATE factors SET data = (SELECT kept.data FROM kept WHERE kept.id <> factors.id) WHERE method = 'totp'",
        )
        .await;
    world.advance(30);
    for (email, app) in [(ALICE, &bob), (ALICE, &alice), (BOB, &alice)] {
        let challenge = world.challenge(email).await;
        assert_eq!(reason(world.verify(&challenge, &app.code()).await), "INVALID_CODE");
    }
    told(&world, "factors.data", 2).await;
}

#[tokio::test]
async fn a_password_that_was_altered_is_never_right_and_sessions_go_on() {
    let world = World::new().await;
    let token = world.sign_in(ALICE).await.access_token;
    let alter = format!("UPDATE users SET password_hash = {}", flipped("password_hash"));
    world.execute(&alter).await;
    for password in [PASSWORD, "wrong password 1"] {
        assert_eq!(reason(world.local_auth(ALICE, password).await), "INVALID_CREDENTIALS");
    }
    assert!(world.is_good(&token).await);
    told(&world, "users.password_hash", 1).await;
    let request = pb::SetPasswordRequest {
        token: world.password_token(ALICE).await,
        new_password: "another horse battery staple".to_owned(),
        ..Default::default()
    };
    world.set_password(request).await.unwrap();
    assert!(world.local_auth(ALICE, "another horse battery staple").await.is_ok());
}

#[tokio::test]
async fn a_successor_that_was_altered_ends_its_session() {
    let world = World::new().await;
    let session = world.sign_in(ALICE).await;
    world.refresh(&session.refresh_token).await.unwrap();
    world.execute(&format!("UPDATE sessions SET successor = {}", flipped("successor"))).await;
    assert_eq!(reason(world.refresh(&session.refresh_token).await), "UNAUTHENTICATED");
    assert!(!world.is_good(&session.access_token).await);
    told(&world, "sessions.successor", 1).await;
}

#[tokio::test]
async fn addresses_and_numbers_that_were_altered_are_none() {
    let world = World::new().await;
    let (_, admin) = world.enrol(crate::world::ADMIN).await;
    let user = pb::User {
        email: "new@example.com".to_owned(),
        phone_number: "+306912345678".to_owned(),
        notice_email: "second@example.com".to_owned(),
        ..Default::default()
    };
    let request = pb::CreateUserRequest { user: Some(user), password: PASSWORD.to_owned(), ..Default::default() };
    let made = world.admin.clone().create_user(with_token(request, &admin)).await.unwrap().into_inner().user.unwrap();
    for column in ["phone", "notice_email"] {
        world.execute(&format!("UPDATE users SET {column} = {} WHERE {column} IS NOT NULL", flipped(column))).await;
    }
    let request = with_token(pb::GetUserRequest { user_id: made.user_id }, &admin);
    let seen = world.admin.clone().get_user(request).await.unwrap().into_inner().user.unwrap();
    assert_eq!((seen.phone_number.as_str(), seen.notice_email.as_str()), ("", ""));
    assert!(world.local_auth("new@example.com", PASSWORD).await.is_ok());
    told(&world, "users.phone", 1).await;
    told(&world, "users.notice_email", 1).await;
}
