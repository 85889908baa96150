//! A session that ends after its call was let in, and before the call does what it asks for.

use countersign::{
    error::{Error, Refusal},
    flow::{self, ChangePasswordRequest, DisableRequest, InCall, SignIn, What},
    model::{Caller, Principal},
    secret::Secret,
};

use crate::kit::{Bench, NOW, PASSWORD, call};

const ALICE: &str = "alice@example.com";

fn no_code() -> InCall {
    InCall { code: String::new(), challenge_id: String::new() }
}

fn principal(caller: Caller) -> Principal {
    let Caller::User(principal) = caller else { panic!("a user") };
    principal
}

/// An account with a factor, and the token of a session that was proven by it a moment ago.
async fn enrolled() -> (Bench, String) {
    let bench = Bench::new(&[ALICE]).await;
    let token = bench.token(ALICE).await;
    bench.enrol(&token).await;
    (bench, token)
}

#[tokio::test]
async fn it_changes_nothing_any_more() {
    let (bench, token) = enrolled().await;
    let kit = &bench.kit;
    let let_in = async |rpc| principal(bench.admit(rpc, &token, NOW).await.unwrap());
    let generating = let_in("TwoFaService/GenerateBackupCodes").await;
    let disabling = let_in("TwoFaService/Disable").await;
    let changing = let_in("SessionService/ChangePassword").await;
    let ending = let_in("SessionService/EndSession").await;
    assert!(generating.is_assured && disabling.is_assured && changing.is_assured);
    flow::end_session(kit, &ending, false, &call(NOW)).await.unwrap();

    let refused = |result: Result<(), Error>| {
        assert!(matches!(result, Err(Error::Refused(Refusal::Unauthenticated))), "{result:?}");
    };
    refused(flow::generate_backup_codes(kit, &generating, &no_code(), &call(NOW)).await.map(|_| ()));
    let request = DisableRequest { what: What::All, proof: no_code() };
    refused(flow::disable(kit, &disabling, &request, &call(NOW)).await.map(|_| ()));
    for current in ["", PASSWORD] {
        let request = ChangePasswordRequest {
            current_password: Secret::new(current.to_owned()),
            new_password: Secret::new("the password of a thief 9".to_owned()),
            proof: no_code(),
        };
        refused(flow::change_password(kit, &changing, &request, &call(NOW)).await);
    }
    let right = Secret::new(PASSWORD.to_owned());
    let signed_in = flow::local_auth(kit, ALICE, &right, &call(NOW)).await.unwrap();
    assert!(matches!(signed_in, SignIn::Challenge(_)), "the password and the factor are as they were");
}
