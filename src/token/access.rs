//! Access tokens: JWTs after RFC 9068, signed with EdDSA and nothing else.

use std::{
    collections::HashSet,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};
use jsonwebtoken::{Algorithm, Header, Validation};
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};

use super::keys::{PublicKey, SigningKeys};
use crate::{
    clock::Timestamp,
    model::{Role, Session, SessionId, TokenId, UserId},
};

const TYPE: &str = "at+jwt";

/// How long an access token lives.
pub const LIFE: Duration = Duration::from_secs(15 * 60);

const LEEWAY: Duration = Duration::from_secs(30);

/// Tokens whose signatures are known to be right; about half a kilobyte each.
const KNOWN: usize = 8192;

/// The claims. Every one is required and typed: a token with one missing or of another type is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Issuer.
    pub iss: String,
    /// Subject: the user.
    pub sub: UserId,
    /// Audience.
    pub aud: String,
    /// Expiration time, in seconds since 1970-01-01 UTC.
    pub exp: i64,
    /// Issued at, likewise.
    pub iat: i64,
    /// Not before, likewise.
    pub nbf: i64,
    /// Id of the token.
    pub jti: TokenId,
    /// Session.
    pub sid: SessionId,
    /// When the strongest factor of the session was last proven, likewise.
    pub auth_time: i64,
    /// Authentication methods.
    pub amr: Vec<String>,
    /// Authentication context.
    pub acr: String,
    /// Role.
    pub role: String,
}

/// Issues access tokens and reads them.
pub struct AccessTokens {
    issuer: String,
    audience: String,
    keys: RwLock<Arc<SigningKeys>>,
    validation: Validation,
    /// Claims by the hash of their token. A token is shown many times, and its signature does not change: that its key is there
    /// and its time has come is judged each time.
    known: Cache<[u8; 32], (String, Claims)>,
}

impl AccessTokens {
    /// Tokens of an issuer for an audience.
    pub fn new(issuer: String, audience: String, keys: SigningKeys) -> Self {
        let mut validation = Validation::new(Algorithm::EdDSA);
        // Every claim is judged here, by our own clock. The library judges algorithm and signature.
        validation.required_spec_claims = HashSet::new();
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        Self { issuer, audience, keys: RwLock::new(Arc::new(keys)), validation, known: Cache::new(KNOWN) }
    }

    /// A token for a session.
    pub fn issue(&self, session: &Session, role: Role, now: Timestamp) -> anyhow::Result<String> {
        let keys = self.keys();
        let key = keys.signer()?;
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(key.id.clone());
        let claims = Claims {
            iss: self.issuer.clone(),
            sub: session.user,
            aud: self.audience.clone(),
            exp: now.plus(LIFE).seconds(),
            iat: now.seconds(),
            nbf: now.seconds(),
            jti: TokenId::new(now),
            sid: session.id,
            auth_time: session.proof.auth_time.seconds(),
            amr: session.proof.amr.words().to_vec(),
            acr: session.proof.acr.urn().to_owned(),
            role: role.as_str().to_owned(),
        };
        Ok(jsonwebtoken::encode(&header, &claims, &key.encoding)?)
    }

    /// Reads a token; None when it is not one of ours, or not good at `now`. Whether its session lives is not looked at.
    pub fn read(&self, token: &str, now: Timestamp) -> Option<Claims> {
        let claims = self.signed(token)?;
        let ours = claims.iss == self.issuer && claims.aud == self.audience;
        let begun = now.plus(LEEWAY).seconds() >= claims.nbf.max(claims.iat);
        let ended = now.minus(LEEWAY).seconds() >= claims.exp;
        (ours && begun && !ended).then_some(claims)
    }

    /// The claims of a token that one of our keys has signed.
    fn signed(&self, token: &str) -> Option<Claims> {
        let hash: [u8; 32] = digest(&SHA256, token.as_bytes()).as_ref().try_into().ok()?;
        let keys = self.keys();
        if let Some((key, claims)) = self.known.get(&hash) {
            return keys.find(&key).map(|_| claims);
        }
        let header = jsonwebtoken::decode_header(token).ok()?;
        if header.typ.as_deref() != Some(TYPE) || header.crit.is_some() {
            return None;
        }
        let key = keys.find(header.kid.as_deref()?)?;
        let claims = jsonwebtoken::decode::<Claims>(token, &key.decoding, &self.validation).ok()?.claims;
        self.known.insert(hash, (key.id.clone(), claims.clone()));
        Some(claims)
    }

    /// The keys that sign them.
    pub fn keys(&self) -> Arc<SigningKeys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Goes by these keys from now on.
    pub fn follow(&self, keys: SigningKeys) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
    }

    /// The keys that the tokens can be checked with.
    pub fn public_keys(&self) -> Vec<PublicKey> {
        self.keys().public()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{Acr, Amr, Proof},
        seal::KeyRing,
    };

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn tokens(ring: &KeyRing, issuer: &str, audience: &str) -> anyhow::Result<AccessTokens> {
        Ok(AccessTokens::new(issuer.to_owned(), audience.to_owned(), SigningKeys::from_ring(ring)?))
    }

    fn session() -> Session {
        let proof = Proof { auth_time: NOW, amr: Amr::password(), acr: Acr::One };
        Session { id: SessionId::new(NOW), user: UserId::new(NOW), proof, idle_end_time: NOW, end_time: NOW }
    }

    #[test]
    fn a_token_is_good_for_its_issuer_audience_and_time_alone() -> anyhow::Result<()> {
        let ring = KeyRing::generate(NOW)?;
        let (own, session) = (tokens(&ring, "issuer", "audience")?, session());
        let token = own.issue(&session, Role::Admin, NOW)?;
        let claims = own.read(&token, NOW);
        assert!(claims.is_some_and(|claims| {
            (claims.sub, claims.sid, claims.exp) == (session.user, session.id, NOW.seconds() + 900)
                && claims.role == "admin"
                && claims.acr == "urn:countersign:acr:1"
        }));
        assert!(tokens(&ring, "another", "audience")?.read(&token, NOW).is_none());
        assert!(tokens(&ring, "issuer", "another")?.read(&token, NOW).is_none());
        assert!(tokens(&KeyRing::generate(NOW)?, "issuer", "audience")?.read(&token, NOW).is_none());
        let at = |seconds| own.read(&token, Timestamp::from_seconds(NOW.seconds() + seconds)).is_some();
        assert_eq!([at(-31), at(-30), at(929), at(930)], [false, true, true, false]);
        Ok(())
    }

    #[test]
    fn a_token_that_is_known_is_judged_anew_each_time() -> anyhow::Result<()> {
        let ring = KeyRing::generate(NOW)?;
        let own = tokens(&ring, "issuer", "audience")?;
        let token = own.issue(&session(), Role::User, NOW)?;
        let altered = token.replacen("eyJ", "eyK", 1);
        for _ in 0..2 {
            assert!(own.read(&token, NOW).is_some());
            assert!(own.read(&token, Timestamp::from_seconds(NOW.seconds() + 930)).is_none(), "it has ended");
            assert!(own.read(&altered, NOW).is_none());
            assert!(own.read(&token[..token.len() - 1], NOW).is_none());
        }
        own.follow(SigningKeys::from_ring(&KeyRing::generate(NOW)?)?);
        assert!(own.read(&token, NOW).is_none(), "its key is gone");
        Ok(())
    }

    #[test]
    fn the_published_keys_are_those_that_sign() -> anyhow::Result<()> {
        let ring = KeyRing::generate(NOW)?;
        let own = tokens(&ring, "issuer", "audience")?;
        let token = own.issue(&session(), Role::User, NOW)?;
        let kid = jsonwebtoken::decode_header(&token)?.kid;
        let keys = own.public_keys();
        assert_eq!(keys.len(), 1);
        assert_eq!(Some(&keys[0].kid), kid.as_ref());
        assert_eq!(keys[0].x.len(), 43, "32 bytes in base64url");
        Ok(())
    }
}
