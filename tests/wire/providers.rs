//! Who sends text messages, and what is done when they do not.

use tonic::Code;

use crate::{
    phone::{NUMBER, enable, enrol, send, world},
    provider::{Manner, Provider},
    world::{ALICE, World, reason, refusal, retry_after},
};

#[tokio::test]
async fn a_provider_that_fails_is_told_of_and_costs_no_other_method() {
    let (world, provider) = world().await;
    let backup = enrol(&world, &provider, ALICE, NUMBER).await.backup_codes;
    for (manner, backup) in
        [(Manner::Answers(503), &backup[0]), (Manner::Redirects, &backup[1]), (Manner::Answers(400), &backup[2])]
    {
        provider.answers(manner);
        let before = provider.count();
        let challenge = world.sign_in(ALICE).await;
        assert_eq!((challenge.two_fa_required, challenge.masked_phone_number.as_str()), (true, ""), "{manner:?}");
        let (code, details) = refusal(send(&world, "", &challenge.challenge_id).await);
        assert_eq!((code, details.error_info().unwrap().reason.as_str()), (Code::Unavailable, "SMS_DELIVERY_FAILED"));
        assert_eq!(provider.count(), before + 2, "and no redirect was followed");
        assert!(world.verify(&challenge.challenge_id, backup).await.is_ok(), "a backup code signs in");
    }
    assert!(provider.messages().iter().all(|message| message.path.ends_with("Messages.json")));
    provider.answers(Manner::Takes);
    let challenge = world.challenge(ALICE).await;
    assert!(world.verify(&challenge, &provider.code()).await.is_ok(), "what was not sent has used nothing up");
}

#[tokio::test]
async fn a_provider_that_hangs_holds_a_sign_in_for_two_seconds_and_its_message_counts() {
    let (world, provider) = world().await;
    let backup = enrol(&world, &provider, ALICE, NUMBER).await.backup_codes;
    provider.answers(Manner::Hangs);
    let challenge = tokio::time::timeout(std::time::Duration::from_secs(4), world.challenge(ALICE)).await.unwrap();
    assert_eq!(retry_after(send(&world, "", &challenge).await), 30, "it may have been sent");
    let code = provider.code();
    world.advance(30);
    assert_eq!(
        reason(send(&world, "", &challenge).await),
        "SMS_DELIVERY_FAILED",
        "the caller is told before the deadline"
    );
    assert_ne!(provider.code(), code);
    assert!(world.verify(&challenge, &backup[0]).await.is_ok());
    provider.answers(Manner::Drips);
    world.advance(3600);
    let challenge = world.challenge(ALICE).await;
    assert!(world.verify(&challenge, &provider.code()).await.is_ok(), "a body is not waited for");
}

#[tokio::test]
async fn the_fallback_is_asked_after_a_refusal_and_never_after_a_silence() {
    let (first, second) = (Provider::start().await, Provider::start().await);
    let mut sets = first.twilio();
    sets.extend([
        "sms.fallback=http".to_owned(),
        format!("sms.http.url=http://{}/send?key=a%20b", second.address),
        "sms.http.headers=Content-Type: application/json\nAuthorization: Bearer token".to_owned(),
        r#"sms.http.body={"recipient": "{to}", "message": "{text}"}"#.to_owned(),
    ]);
    let sets: Vec<_> = sets.iter().map(String::as_str).collect();
    let world = World::with(&sets).await;
    let token = world.sign_in(ALICE).await.access_token;
    first.answers(Manner::Answers(400));
    enable(&world, &token, NUMBER).await.unwrap();
    let message = second.messages().remove(0);
    assert_eq!(
        (message.to.as_str(), message.path.as_str(), message.authorization.as_str()),
        (NUMBER, "/send", "Bearer token")
    );
    assert!(message.text.contains("\n\n@login.example.com #"));
    world.verify_as(&token, "", &message.code()).await.unwrap();
    first.answers(Manner::Hangs);
    world.challenge(ALICE).await;
    assert_eq!((first.count(), second.count()), (2, 1), "the first may have sent it");
    first.answers(Manner::Breaks);
    world.challenge(ALICE).await;
    assert_eq!((first.count(), second.count()), (3, 1), "and so it may have when it hangs up");
}

#[tokio::test]
async fn kannel_is_sent_a_query() {
    let provider = Provider::start().await;
    let url = format!("sms.kannel.base_url=http://{}/", provider.address);
    let sets = [
        "sms.provider=kannel",
        "sms.allowed_countries=GR",
        &url,
        "sms.kannel.user=u",
        "sms.kannel.password=p w",
        "sms.kannel.from=Service",
        "sms.locale=el",
    ];
    let world = World::with(&sets).await;
    let token = world.sign_in(ALICE).await.access_token;
    enable(&world, &token, NUMBER).await.unwrap();
    let message = provider.messages().remove(0);
    assert_eq!((message.to.as_str(), message.path.as_str()), (NUMBER, "/cgi-bin/sendsms"));
    let code = message.text.split(':').next().unwrap().to_owned();
    assert!(message.text.contains("κωδικός") && world.verify_as(&token, "", &code).await.is_ok());
}

#[tokio::test]
async fn an_answer_after_which_the_message_may_arrive_counts_as_one_that_was_sent() {
    let (world, provider) = world().await;
    enrol(&world, &provider, ALICE, NUMBER).await;
    provider.answers(Manner::Answers(500));
    let challenge = world.sign_in(ALICE).await;
    assert_eq!((challenge.two_fa_required, challenge.masked_phone_number.as_str()), (true, ""));
    assert_eq!(retry_after(send(&world, "", &challenge.challenge_id).await), 30);
    assert_eq!(provider.count(), 2);
    assert!(world.verify(&challenge.challenge_id, &provider.code()).await.is_ok(), "it did arrive");
}

#[tokio::test]
async fn a_number_that_is_refused_is_not_asked_for_without_end() {
    let (world, provider) = world().await;
    let token = world.sign_in(ALICE).await.access_token;
    provider.answers(Manner::Answers(400));
    assert_eq!(reason(enable(&world, &token, NUMBER).await), "SMS_DELIVERY_FAILED");
    let mut reasons = Vec::new();
    for _ in 0..25 {
        reasons.push(reason(send(&world, &token, "").await));
    }
    assert_eq!(provider.count(), 20);
    assert_eq!(
        reasons[18..],
        vec!["SMS_DELIVERY_FAILED".to_owned(), "RATE_LIMITED".to_owned()]
            .into_iter()
            .chain(vec!["RATE_LIMITED".to_owned(); 5])
            .collect::<Vec<_>>()
    );
    assert_eq!(world.audited("authn_code_not_sent").await, 20);
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM sms_prefixes WHERE sent > 0").await, 0);
    provider.answers(Manner::Takes);
    world.advance(3600);
    let token = world.sign_in(ALICE).await.access_token;
    assert!(enable(&world, &token, NUMBER).await.is_ok());
}
