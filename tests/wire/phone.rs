//! Codes by text message: enrolled, asked for, sent again, judged; and what they may cost.

use std::collections::BTreeSet;

use countersign::wire::pb;
use tonic::{Code, Response, Status};

use crate::{
    provider::Provider,
    world::{ADMIN, ALICE, World, answer, optional_token, reason, refusal, retry_after, with_token},
};

pub const NUMBER: &str = "+306912345678";
pub const OTHER: &str = "+306912345679";

/// A world with a fake Twilio.
pub async fn world() -> (World, Provider) {
    let provider = Provider::start().await;
    let sets = provider.twilio();
    let sets: Vec<_> = sets.iter().map(String::as_str).collect();
    (World::with(&sets).await, provider)
}

pub async fn enable(world: &World, token: &str, number: &str) -> Result<pb::EnableResponse, Status> {
    let request =
        pb::EnableRequest { method: pb::Method::Phone.into(), phone_number: number.to_owned(), ..Default::default() };
    world.twofa.clone().enable(with_token(request, token)).await.map(Response::into_inner)
}

/// Signs in and enrols a phone; answers the access token of the session.
pub async fn enrol(world: &World, provider: &Provider, email: &str, number: &str) -> pb::VerifyResponse {
    let response = world.sign_in(email).await;
    let token = if response.enrollment_required { response.enrollment_token } else { response.access_token };
    enable(world, &token, number).await.unwrap();
    world.verify_as(&token, "", &provider.code()).await.unwrap()
}

pub async fn send(world: &World, token: &str, challenge_id: &str) -> Result<pb::SendCodeResponse, Status> {
    let request = pb::SendCodeRequest { challenge_id: challenge_id.to_owned(), method: 0 };
    world.twofa.clone().send_code(optional_token(request, token)).await.map(Response::into_inner)
}

pub fn wrong(code: &str) -> String {
    let first = if code.starts_with('0') { '1' } else { '0' };
    format!("{first}{}", &code[1..])
}

#[tokio::test]
async fn a_phone_is_enrolled_and_signs_in() {
    let (world, provider) = world().await;
    let token = world.sign_in(ALICE).await.access_token;
    let enabled = enable(&world, &token, NUMBER).await.unwrap();
    assert_eq!((enabled.method(), enabled.masked_phone_number.as_str()), (pb::Method::Phone, "+**********78"));
    assert!(enabled.secret.is_empty() && enabled.qr_code.is_empty() && enabled.message.contains("redirected"));
    let message = provider.messages().remove(0);
    assert_eq!((message.to.as_str(), message.path.as_str()), (NUMBER, "/2010-04-01/Accounts/AC1/Messages.json"));
    assert!(message.authorization.starts_with("Basic "));
    let code = message.code();
    assert!(code.len() == 6 && message.text.ends_with(&format!("\n\n@login.example.com #{code}")), "{}", message.text);
    assert!(!world.sign_in(ALICE).await.two_fa_required, "not on before it is confirmed");
    assert_eq!(reason(world.verify_as(&token, "", &wrong(&code)).await), "INVALID_CODE");
    let confirmed = world.verify_as(&token, "", &code).await.unwrap();
    assert_eq!((confirmed.purpose(), confirmed.backup_codes.len()), (pb::Purpose::Enrollment, 10));

    let status = world.status(&confirmed.access_token).await.unwrap();
    assert_eq!((status.enabled, status.factors[0].masked_phone_number.as_str()), (true, "+**********78"));
    let challenge = world.sign_in(ALICE).await;
    assert_eq!((challenge.two_fa_required, challenge.masked_phone_number.as_str()), (true, "+**********78"));
    assert_eq!(challenge.methods, [pb::Method::Phone as i32, pb::Method::BackupCode as i32]);
    assert_eq!(provider.count(), 2);
    assert_eq!(reason(world.verify(&challenge.challenge_id, &code).await), "INVALID_CODE", "the code of the enrolment");
    let code = provider.code();
    let spaced = format!("{} {}", &code[..3], &code[3..]);
    let verified = world.verify(&challenge.challenge_id, &spaced).await.unwrap();
    let claims = world.validate(&verified.access_token).await.claims.unwrap();
    assert_eq!(
        (claims.amr, claims.acr.as_str()),
        (vec!["pwd".into(), "sms".into(), "mfa".into()], "urn:countersign:acr:2")
    );
    assert_eq!(world.audited("authn_code_sent").await, 2);
}

#[tokio::test]
async fn a_code_of_one_challenge_is_none_of_another() {
    let (world, provider) = world().await;
    enrol(&world, &provider, ALICE, NUMBER).await;
    let first = world.challenge(ALICE).await;
    let code = provider.code();
    let second = world.challenge(ALICE).await;
    assert_eq!(reason(world.verify(&second, &code).await), "INVALID_CODE");
    assert!(world.verify(&first, &code).await.is_ok());
    assert_eq!(reason(world.verify(&first, &code).await), "CHALLENGE_EXPIRED", "and it works once");
}

#[tokio::test]
async fn a_code_ends_before_its_enrolment_does() {
    let (world, provider) = world().await;
    let token = world.sign_in(ALICE).await.access_token;
    enable(&world, &token, NUMBER).await.unwrap();
    let old = provider.code();
    world.advance(300);
    assert_eq!(reason(world.verify_as(&token, "", &old).await), "INVALID_CODE");
    send(&world, &token, "").await.unwrap();
    assert!(world.verify_as(&token, "", &provider.code()).await.is_ok());
}

#[tokio::test]
async fn an_authenticator_and_a_phone_stand_side_by_side() {
    let (world, provider) = world().await;
    let (app, token) = world.enrol(ALICE).await;
    enable(&world, &token, NUMBER).await.unwrap();
    let confirmed = world.verify_as(&token, "", &provider.code()).await.unwrap();
    assert!(confirmed.backup_codes.is_empty(), "they came with the first factor");
    let challenge = world.sign_in(ALICE).await;
    let (totp, phone, backup) = (pb::Method::Totp as i32, pb::Method::Phone as i32, pb::Method::BackupCode as i32);
    assert_eq!((challenge.methods, challenge.masked_phone_number.as_str()), (vec![totp, phone, backup], ""));
    assert_eq!(provider.count(), 1, "a code is sent only when it is asked for");
    world.advance(30);
    let digits = app.code();
    assert!(world.verify(&challenge.challenge_id, &digits).await.is_ok(), "six digits are of the app");
    let challenge = world.challenge(ALICE).await;
    send(&world, "", &challenge).await.unwrap();
    let code = provider.code();
    world.advance(30);
    let named =
        |code: &str, method: pb::Method| pb::VerifyRequest { method: method.into(), ..answer(&challenge, code) };
    if code != app.code() {
        assert_eq!(reason(world.verify_message("", named(&code, pb::Method::Totp)).await), "INVALID_CODE");
        assert_eq!(
            reason(world.verify(&challenge, &app.code()).await),
            "INVALID_CODE",
            "of the phone, once one was sent"
        );
    }
    assert!(world.verify(&challenge, &code).await.is_ok());
    world.advance(30);
    let challenge = world.challenge(ALICE).await;
    send(&world, "", &challenge).await.unwrap();
    let named = pb::VerifyRequest { method: totp, ..answer(&challenge, &app.code()) };
    assert!(world.verify_message("", named).await.is_ok(), "unless the app is named");
}

#[tokio::test]
async fn one_phone_at_most_and_a_new_one_takes_its_place_once_confirmed() {
    let (world, provider) = world().await;
    let token = enrol(&world, &provider, ALICE, NUMBER).await.access_token;
    let (_, details) = refusal(enable(&world, &token, OTHER).await);
    assert_eq!(details.bad_request().unwrap().field_violations[0].field, "factor_id");
    let old = world.status(&token).await.unwrap().factors.remove(0).factor_id;
    let request = pb::EnableRequest {
        method: pb::Method::Phone.into(),
        phone_number: OTHER.to_owned(),
        factor_id: old,
        ..Default::default()
    };
    world.twofa.clone().enable(with_token(request, &token)).await.unwrap();
    assert_eq!(provider.messages().last().unwrap().to, OTHER);
    let of_new = provider.code();
    world.challenge(ALICE).await;
    assert_eq!(provider.messages().last().unwrap().to, NUMBER, "the old one works until then");
    world.verify_as(&token, "", &of_new).await.unwrap();
    world.advance(60);
    world.challenge(ALICE).await;
    assert_eq!(provider.messages().last().unwrap().to, OTHER);
}

#[tokio::test]
async fn the_code_of_one_start_never_confirms_the_number_of_another() {
    let (world, provider) = world().await;
    let token = world.sign_in(ALICE).await.access_token;
    let first = enable(&world, &token, NUMBER).await.unwrap().challenge_id;
    let of_first = provider.code();
    let second = enable(&world, &token, OTHER).await.unwrap().challenge_id;
    let of_second = provider.code();
    if of_first != of_second {
        assert_eq!(reason(world.verify_as(&token, &second, &of_first).await), "INVALID_CODE");
    }
    assert_eq!(
        reason(world.verify_as(&token, &first, &of_first).await),
        "CHALLENGE_EXPIRED",
        "a new start ends the old one"
    );
    let confirmed = world.verify_as(&token, "", &of_second).await.unwrap();
    let factors = world.status(&confirmed.access_token).await.unwrap().factors;
    assert_eq!((factors.len(), factors[0].masked_phone_number.as_str()), (1, "+**********79"));
}

#[tokio::test]
async fn of_two_pending_enrolments_the_method_must_be_said() {
    let (world, provider) = world().await;
    let token = world.sign_in(ALICE).await.access_token;
    let app = world.authenticator(&world.enable(&token).await.unwrap());
    enable(&world, &token, NUMBER).await.unwrap();
    let (code, details) = refusal(world.verify_as(&token, "", &app.code()).await);
    assert_eq!(
        (code, details.bad_request().unwrap().field_violations[0].field.as_str()),
        (Code::InvalidArgument, "method")
    );
    let named = pb::VerifyRequest { method: pb::Method::Phone.into(), ..answer("", &provider.code()) };
    assert!(world.verify_message(&token, named).await.is_ok());
}

#[tokio::test]
async fn whoever_has_a_phone_alone_makes_backup_codes_and_disables_by_it() {
    let (world, provider) = world().await;
    let token = enrol(&world, &provider, ALICE, NUMBER).await.access_token;
    world.advance(301);
    let step_up = async || world.step_up(&token).await.unwrap();
    let challenge = step_up().await;
    assert_eq!(challenge.masked_phone_number, "+**********78");
    assert_eq!(world.backup_codes(&token, &provider.code(), &challenge.challenge_id).await.unwrap().len(), 10);
    world.advance(60);
    let challenge_id = step_up().await.challenge_id;
    let request = pb::DisableRequest { code: provider.code(), challenge_id, ..Default::default() };
    world.disable(&token, request).await.unwrap();
    assert!(!world.sign_in(ALICE).await.two_fa_required);
}

#[tokio::test]
async fn an_administrator_with_a_phone_alone_works_a_day() {
    let (world, provider) = world().await;
    enrol(&world, &provider, ADMIN, NUMBER).await;
    for _ in 0..4 {
        world.advance(2 * 3600);
        let session = world.sign_in(ADMIN).await;
        let mut token = world.verify(&session.challenge_id, &provider.code()).await.unwrap().access_token;
        for _ in 0..4 {
            world.advance(600);
            let challenge = world.step_up(&token).await.unwrap();
            assert_eq!(challenge.masked_phone_number, "+**********78");
            let proven = world.verify_as(&token, &challenge.challenge_id, &provider.code()).await.unwrap();
            token = proven.access_token;
            assert!(enable(&world, &token, "").await.is_err(), "there is a phone");
        }
    }
    assert_eq!(provider.count(), 21);
}

#[tokio::test]
async fn a_phone_that_fails_too_often_waits_and_locks_no_other_method() {
    let (world, provider) = world().await;
    let backup = enrol(&world, &provider, ALICE, NUMBER).await.backup_codes;
    let challenge = world.challenge(ALICE).await;
    let code = provider.code();
    for _ in 0..4 {
        assert_eq!(reason(world.verify(&challenge, &wrong(&code)).await), "INVALID_CODE");
    }
    world.advance(60);
    let challenge = world.challenge(ALICE).await;
    assert_eq!(reason(world.verify(&challenge, &wrong(&provider.code())).await), "INVALID_CODE");
    assert_eq!(
        retry_after(world.verify(&challenge, &provider.code()).await),
        30,
        "a new code does not reset the count"
    );
    assert!(world.verify(&challenge, &backup[0]).await.is_ok());
}

#[tokio::test]
async fn codes_are_of_every_kind() {
    let (world, provider) = world().await;
    let token = world.sign_in(ALICE).await.access_token;
    let mut codes = BTreeSet::new();
    for n in 0..4 {
        world.advance(u64::from(n > 0) * 40);
        enable(&world, &token, NUMBER).await.unwrap();
        codes.insert(provider.code());
    }
    assert!(
        codes.len() > 2 && codes.iter().all(|code| code.len() == 6 && code.bytes().all(|b| b.is_ascii_digit())),
        "{codes:?}"
    );
}

#[tokio::test]
async fn the_number_that_was_confirmed_is_the_account_s_from_then_on() {
    let (world, provider) = world().await;
    let token = enrol(&world, &provider, ALICE, NUMBER).await.access_token;
    world.disable(&token, pb::DisableRequest::default()).await.unwrap();
    let token = world.sign_in(ALICE).await.access_token;
    let enabled = enable(&world, &token, "").await.unwrap();
    assert_eq!(enabled.masked_phone_number, "+**********78");
    assert_eq!(provider.messages().last().unwrap().to, NUMBER);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_starts_that_race_each_code_confirms_its_own_number_or_none() {
    let (world, provider) = world().await;
    let token = world.sign_in(ALICE).await.access_token;
    let (first, second) = tokio::join!(enable(&world, &token, NUMBER), enable(&world, &token, OTHER));
    let mut challenges = vec![String::new()];
    for start in [first, second] {
        match start {
            Ok(enabled) => challenges.push(enabled.challenge_id),
            // The other one began before the code of this one was there.
            Err(status) => assert_eq!(reason::<()>(Err(status)), "CHALLENGE_EXPIRED"),
        }
    }
    assert!(challenges.len() > 1, "one of two stands");
    let mut confirmed = Vec::new();
    for message in provider.messages() {
        for challenge in &challenges {
            let answer = world.verify_as(&token, challenge, &message.code()).await;
            confirmed.extend(answer.ok().map(|answer| (answer.access_token, message.to.clone())));
        }
    }
    let [(token, number)] = confirmed.as_slice() else {
        panic!("{} were confirmed", confirmed.len());
    };
    let factors = world.status(token).await.unwrap().factors;
    assert_eq!((factors.len(), &factors[0].masked_phone_number[11..]), (1, &number[11..]));
}
