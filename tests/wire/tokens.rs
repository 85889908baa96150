//! What is no access token, however much it looks like one.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign::{
    app::{Schema, open_store},
    clock::Clock,
    seal::KeyUse,
    wire::pb,
};
use serde_json::{Value, json};

use crate::world::{ALICE, World, reason};

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn decode(part: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// Header, claims and signature of a token.
fn parts(token: &str) -> (Value, Value, String) {
    let parts: Vec<_> = token.split('.').collect();
    (decode(parts[0]), decode(parts[1]), parts[2].to_owned())
}

/// A signer that uses the service's own key: what is refused then is refused for what it says.
struct Signer(jsonwebtoken::EncodingKey);

impl Signer {
    async fn own(world: &World) -> Self {
        let (store, ring) = open_store(&world.config, Schema::AsConfigured, world.clock.now()).await.unwrap();
        store.close().await.unwrap();
        let keys = ring.keys();
        Self::from_seed(keys.iter().find(|key| key.key_use == KeyUse::Sign).unwrap().secret.expose())
    }

    fn from_seed(seed: &[u8]) -> Self {
        let pair = aws_lc_rs::signature::Ed25519KeyPair::from_seed_unchecked(seed).unwrap();
        Self(jsonwebtoken::EncodingKey::from_ed_der(pair.to_pkcs8v1().unwrap().as_ref()))
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", encode(header), encode(claims));
        let signature =
            jsonwebtoken::crypto::sign(message.as_bytes(), &self.0, jsonwebtoken::Algorithm::EdDSA).unwrap();
        format!("{message}.{signature}")
    }
}

async fn is_refused(world: &World, token: &str, what: &str) {
    assert_eq!(world.validate(token).await.status(), pb::TokenStatus::Unauthenticated, "{what}");
    assert_eq!(reason(world.status(token).await), "UNAUTHENTICATED", "{what}");
}

#[tokio::test]
async fn the_token_says_what_it_should_and_is_signed_by_a_published_key() {
    let world = World::new().await;
    let token = world.sign_in(ALICE).await.access_token;
    let (header, claims, _) = parts(&token);
    assert_eq!((&header["alg"], &header["typ"]), (&json!("EdDSA"), &json!("at+jwt")));
    let keys = world.sessions.clone().get_jwks(pb::GetJwksRequest {}).await.unwrap().into_inner().keys;
    let key = keys.iter().find(|key| header["kid"] == key.kid.as_str()).unwrap();
    assert_eq!(
        (key.kty.as_str(), key.crv.as_str(), key.alg.as_str(), key.r#use.as_str()),
        ("OKP", "Ed25519", "EdDSA", "sig")
    );
    let decoding = jsonwebtoken::DecodingKey::from_ed_components(&key.x).unwrap();
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::EdDSA);
    validation.validate_exp = false;
    validation.set_audience(&["countersign"]);
    validation.set_issuer(&["http://localhost:3000"]);
    assert!(jsonwebtoken::decode::<Value>(&token, &decoding, &validation).is_ok());
    for name in ["iss", "sub", "aud", "exp", "iat", "nbf", "jti", "sid", "auth_time", "amr", "acr", "role"] {
        assert!(!claims[name].is_null(), "{name}");
    }
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 900);
    assert_eq!(
        (&claims["amr"], &claims["acr"], &claims["role"]),
        (&json!(["pwd"]), &json!("urn:countersign:acr:1"), &json!("user"))
    );
}

#[tokio::test]
async fn a_token_ends_after_fifteen_minutes_and_a_little_leeway() {
    let world = World::new().await;
    let token = world.sign_in(ALICE).await.access_token;
    world.advance(900 + 29);
    assert!(world.is_good(&token).await);
    world.advance(1);
    is_refused(&world, &token, "expired").await;
}

#[tokio::test]
async fn other_algorithms_types_and_keys_are_refused() {
    let world = World::new().await;
    let token = world.sign_in(ALICE).await.access_token;
    let (header, claims, signature) = parts(&token);
    let own = Signer::own(&world).await;
    assert!(world.is_good(&own.sign(&header, &claims)).await, "the signer itself is good");

    let with = |name: &str, value: Value| {
        let mut header = header.clone();
        header[name] = value;
        header
    };
    for (name, value) in [
        ("typ", json!("JWT")),
        ("typ", Value::Null),
        ("alg", json!("HS256")),
        ("kid", json!("sign-other")),
        ("kid", Value::Null),
        ("crit", json!(["exp"])),
    ] {
        is_refused(&world, &own.sign(&with(name, value.clone()), &claims), &format!("{name} = {value}")).await;
    }
    for alg in ["none", "None", "NONE"] {
        let message = format!("{}.{}", encode(&with("alg", json!(alg))), encode(&claims));
        is_refused(&world, &format!("{message}."), alg).await;
        is_refused(&world, &format!("{message}.{signature}"), alg).await;
    }
    let keys = world.sessions.clone().get_jwks(pb::GetJwksRequest {}).await.unwrap().into_inner().keys;
    let public = URL_SAFE_NO_PAD.decode(&keys[0].x).unwrap();
    let hs256 = with("alg", json!("HS256"));
    let confused = jsonwebtoken::EncodingKey::from_secret(&public);
    let message = format!("{}.{}", encode(&hs256), encode(&claims));
    let mac = jsonwebtoken::crypto::sign(message.as_bytes(), &confused, jsonwebtoken::Algorithm::HS256).unwrap();
    is_refused(&world, &format!("{message}.{mac}"), "the public key as HMAC key").await;
    is_refused(&world, &Signer::from_seed(&[7; 32]).sign(&header, &claims), "a foreign key").await;
}

#[tokio::test]
async fn a_claim_that_is_missing_or_of_another_type_is_no_claim() {
    let world = World::new().await;
    let token = world.sign_in(ALICE).await.access_token;
    let (header, claims, _) = parts(&token);
    let own = Signer::own(&world).await;
    for name in ["iss", "sub", "aud", "exp", "iat", "nbf", "jti", "sid", "auth_time", "amr", "acr", "role"] {
        let mut without = claims.clone();
        without.as_object_mut().unwrap().remove(name);
        is_refused(&world, &own.sign(&header, &without), &format!("without {name}")).await;
    }
    let now = claims["iat"].as_i64().unwrap();
    for (name, value) in [
        ("exp", json!((now + 900).to_string())),
        ("exp", json!(1e300)),
        ("exp", json!(now as f64 + 900.5)),
        ("exp", Value::Null),
        ("exp", json!(now - 31)),
        ("nbf", json!(now + 31)),
        ("iat", json!(now + 31)),
        ("iss", json!("https://elsewhere.example")),
        ("aud", json!("elsewhere")),
        ("aud", json!(["countersign", "elsewhere"])),
        ("sub", json!("usr_00000000000000000000000000000000")),
        ("sid", json!("ses_00000000000000000000000000000000")),
    ] {
        let mut changed = claims.clone();
        changed[name] = value.clone();
        is_refused(&world, &own.sign(&header, &changed), &format!("{name} = {value}")).await;
    }
}

#[tokio::test]
async fn no_other_secret_of_ours_is_an_access_token() {
    let world = World::new().await;
    let session = world.sign_in(ALICE).await;
    let (app, _) = world.enrol(ALICE).await;
    let challenge = world.challenge(ALICE).await;
    is_refused(&world, &challenge, "a challenge").await;
    is_refused(&world, &session.refresh_token, "a refresh token").await;
    is_refused(&world, &app.code(), "a code").await;
    for garbage in ["", ".", "..", "a.b.c", &"x".repeat(7000)] {
        assert_eq!(world.validate(garbage).await.status(), pb::TokenStatus::Unauthenticated);
    }
}

#[tokio::test]
async fn a_token_whose_bytes_were_touched_is_refused() {
    let world = World::new().await;
    let token = world.sign_in(ALICE).await.access_token;
    for at in (0..token.len()).step_by(7).filter(|at| token.as_bytes()[*at] != b'.') {
        let mut touched = token.clone().into_bytes();
        touched[at] = if touched[at] == b'A' { b'B' } else { b'A' };
        let touched = String::from_utf8(touched).unwrap();
        assert_eq!(world.validate(&touched).await.status(), pb::TokenStatus::Unauthenticated, "{at}");
    }
}
