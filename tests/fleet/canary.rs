//! What must not be found: in a dump of Redis, in a dump of the database server, and in the log of a replica at its finest level.

use std::{fs, process::Stdio};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};

use countersign::wire::pb;

use crate::{
    replica::{Fleet, PASSWORD, with_token},
    servers::{redis, sql::Sql},
};

const SERVICE_TOKEN: &str = "svt_0123456789abcdef0123456789abcdef";

/// A secret in the forms that it could lie about in.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    vec![
        secret.to_vec(),
        STANDARD_NO_PAD.encode(secret).into_bytes(),
        URL_SAFE_NO_PAD.encode(secret).into_bytes(),
        hex.to_uppercase().into_bytes(),
        hex.into_bytes(),
    ]
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Root keys and data keys, and the token of a service.
async fn keys(fleet: &Fleet) -> Vec<(&'static str, Vec<u8>)> {
    let ring = fs::read_to_string(fleet.keep_ring()).unwrap();
    let texts = ring.lines().filter_map(|line| line.strip_prefix("secret = \"")?.strip_suffix('"'));
    let mut secrets = vec![("the token of a service", SERVICE_TOKEN.into())];
    for text in texts {
        secrets.push(("a root key", STANDARD.decode(text).unwrap()));
        secrets.push(("a root key in base64", text.as_bytes().to_vec()));
    }
    let (store, roots) = fleet.open().await;
    for key in store.data_keys().await.unwrap() {
        secrets.push(("a data key", roots.unwrap(&key).unwrap().secret.expose().to_vec()));
    }
    store.close().await.unwrap();
    assert_eq!(secrets.len(), 6, "one root key in two forms, and three data keys");
    secrets
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_lies_in_a_dump_of_redis_or_of_the_database_or_in_a_log_at_trace_level() {
    for sql in Sql::shared() {
        let cache = redis::single();
        let database = sql.new_database();
        let fleet = Fleet::new(&database, &redis::url(&cache));
        let tokens = cache.home.join("tokens");
        fs::write(&tokens, format!("orders {SERVICE_TOKEN}\n")).unwrap();
        let tokens = format!("services.tokens_file={}", tokens.display());
        let replica = fleet.replica_with(&["telemetry.log_level=trace".to_owned(), tokens]).await;
        let email = "canary@example.com";
        fleet.add_user(email);
        let user = replica.enrol(email).await;
        let mut secrets: Vec<(&str, Vec<u8>)> = vec![
            ("the password", PASSWORD.into()),
            ("the authenticator's secret", user.app.secret().as_bytes().to_vec()),
            ("the authenticator's secret in base32", user.app.secret().to_base32().into_bytes()),
            ("an access token", user.session.access_token.clone().into_bytes()),
            ("a refresh token", user.refresh_token.clone().into_bytes()),
        ];
        secrets.extend(user.backup_codes.iter().map(|code| ("a backup code", code.clone().into_bytes())));
        // One challenge that is answered, one that waits, and a code that was wrong.
        let answered = replica.local_auth(email).await.unwrap();
        let session = replica.verify("", &answered.challenge_id, &user.backup_codes[0]).await.unwrap();
        let waiting = replica.local_auth(email).await.unwrap();
        assert!(replica.verify("", &waiting.challenge_id, "AAAA-2222").await.is_err());
        let known = pb::ValidateAccessTokenRequest { access_token: session.access_token.clone() };
        replica.sessions.clone().validate_access_token(with_token(known, SERVICE_TOKEN)).await.unwrap();
        let renewed = replica.refresh(&session.refresh_token).await.unwrap();
        for (name, text) in [
            ("a challenge", answered.challenge_id),
            ("a challenge", waiting.challenge_id),
            ("an access token", session.access_token),
            ("a refresh token", session.refresh_token),
            ("a refresh token", renewed.refresh_token),
        ] {
            secrets.push((name, text.into_bytes()));
        }
        secrets.extend(keys(&fleet).await);

        redis::cli(&cache, &["CONFIG", "SET", "rdbcompression", "no"]);
        redis::cli(&cache, &["SAVE"]);
        let mut places = vec![
            ("Redis".to_owned(), fs::read(cache.home.join("dump.rdb")).unwrap()),
            ("the log".to_owned(), fs::read(replica.process.home.join("log")).unwrap()),
        ];
        for (bytes, what_is_there) in places.iter().map(|(_, bytes)| bytes).zip(["countersign:", "serving"]) {
            assert!(holds(bytes, what_is_there.as_bytes()), "{what_is_there} is found where it is");
        }
        let dump = sql.dump(&database).stdout(Stdio::piped()).output().unwrap();
        assert!(dump.status.success() && holds(&dump.stdout, b"data_keys"));
        let is_found = |form: &Vec<u8>| holds(&dump.stdout, form);
        assert!(forms(email.as_bytes()).iter().any(is_found), "what is there is found");
        places.push(("the database".to_owned(), dump.stdout));
        for (place, bytes) in &places {
            for (name, secret) in &secrets {
                for form in forms(secret) {
                    assert!(!holds(bytes, &form), "{name} lies in {place}");
                }
            }
        }
    }
}
