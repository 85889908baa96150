//! Who calls, and whether they may: the access rule of each rpc is read from its proto option and enforced here. What has no
//! rule is refused, and an rpc of ours without one stops the start.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context, bail, ensure};
use http::HeaderMap;
use prost_reflect::{DescriptorPool, MethodDescriptor, Value};

use super::pb;
use crate::{
    error::{Error, Refusal},
    flow::{self, Authenticated, Call, Kit},
    model::{Caller, LiveSession, Principal, Role},
    policy::{self, Assurance},
    secret::Secret,
};

const PACKAGE: &str = "countersign.v1";
const OPTION: &str = "countersign.v1.access";

/// The access rule of an rpc.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    callers: Vec<pb::Caller>,
    assurance: Assurance,
    max_age: Option<Duration>,
    proof_in_call: bool,
}

/// The access rules of every rpc, by path.
pub struct Rules(HashMap<String, Rule>);

impl Rules {
    /// The rules of this release's rpcs.
    pub fn of_this_release() -> anyhow::Result<Self> {
        Self::read(pb::DESCRIPTORS)
    }

    /// Reads the rules from descriptors; fails naming every rpc without a valid one.
    pub fn read(descriptors: &[u8]) -> anyhow::Result<Self> {
        let pool = DescriptorPool::decode(descriptors).context("the descriptors are malformed")?;
        let mut rules = HashMap::new();
        let mut problems = Vec::new();
        for service in pool.services().filter(|service| service.package_name() == PACKAGE) {
            for method in service.methods() {
                match rule(&pool, &method) {
                    Ok(rule) => {
                        rules.insert(format!("/{}/{}", service.full_name(), method.name()), rule);
                    }
                    Err(problem) => problems.push(format!("{}: {problem:#}", method.full_name())),
                }
            }
        }
        ensure!(problems.is_empty(), "rpcs without a valid access option: {}", problems.join("; "));
        Ok(Self(rules))
    }

    /// The rule for a path; None = nobody may call it.
    pub fn find(&self, path: &str) -> Option<&Rule> {
        self.0.get(path)
    }
}

impl Rule {
    /// Who may call.
    pub fn callers(&self) -> &[pb::Caller] {
        &self.callers
    }

    /// How old the proof may be; None = of any age.
    pub fn max_age(&self) -> Option<Duration> {
        self.max_age
    }

    /// Whether administrators alone may call.
    pub fn is_for_administrators(&self) -> bool {
        self.callers == [pb::Caller::Admin]
    }

    /// Whether an operator may demand that services alone call.
    pub fn is_for_services(&self) -> bool {
        self.callers.contains(&pb::Caller::Service)
    }

    /// Finds out who calls, and refuses whoever does not meet the rule.
    pub async fn admit(&self, kit: &Kit, headers: &HeaderMap, call: &Call) -> Result<Caller, Error> {
        if self.callers.contains(&pb::Caller::Public) {
            return Ok(Caller::Anonymous);
        }
        let Some(token) = bearer(headers)? else {
            let without_token = self.callers.contains(&pb::Caller::Challenge);
            return if without_token { Ok(Caller::Anonymous) } else { Err(Refusal::Unauthenticated.into()) };
        };
        match flow::authenticate(kit, token.expose(), call).await? {
            None => Err(Refusal::Unauthenticated.into()),
            Some(Authenticated::Enrollee(enrollee)) if self.callers.contains(&pb::Caller::Enrollee) => {
                Ok(Caller::Enrollee(enrollee))
            }
            Some(Authenticated::Enrollee(_)) => Err(Refusal::EnrollmentRequired.into()),
            Some(Authenticated::Session(session)) => Ok(Caller::User(self.admit_session(session.1, call)?)),
        }
    }

    fn admit_session(&self, live: LiveSession, call: &Call) -> Result<Principal, Refusal> {
        if live.blocked {
            return Err(Refusal::UserBlocked);
        }
        let role_allows = match live.role {
            Role::User => self.callers.contains(&pb::Caller::User),
            Role::Admin => [pb::Caller::User, pb::Caller::Admin].iter().any(|kind| self.callers.contains(kind)),
        };
        if !role_allows {
            return Err(Refusal::PermissionDenied);
        }
        let assured = policy::assure(self.assurance, self.max_age, &live, call.now);
        let is_assured = assured.is_ok();
        if !self.proof_in_call {
            assured?;
        }
        Ok(Principal {
            user: live.session.user,
            session: live.session.id,
            role: live.role,
            proof: live.session.proof,
            is_assured,
        })
    }
}

/// The Bearer token; None when no authorization was sent. Another scheme is no token, and is not passed over.
pub fn bearer(headers: &HeaderMap) -> Result<Option<Secret<String>>, Refusal> {
    let mut values = headers.get_all(http::header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or(Refusal::Unauthenticated)?;
    if values.next().is_some() || !scheme.eq_ignore_ascii_case("bearer") || token.trim().is_empty() {
        return Err(Refusal::Unauthenticated);
    }
    Ok(Some(Secret::new(token.trim().to_owned())))
}

fn rule(pool: &DescriptorPool, method: &MethodDescriptor) -> anyhow::Result<Rule> {
    let option = pool.get_extension_by_name(OPTION).context("the option is not in the descriptors")?;
    let options = method.options();
    ensure!(options.has_extension(&option), "the option is missing");
    let value = options.get_extension(&option).into_owned();
    let Value::Message(message) = value else {
        bail!("the option is not a message");
    };
    let option: pb::AccessRule = message.transcode_to()?;
    ensure!(!option.callers.is_empty(), "callers is empty");
    ensure!(option.callers().all(|caller| caller != pb::Caller::Unspecified), "callers holds an unknown kind");
    let assurance = match option.assurance() {
        pb::Assurance::None => Assurance::None,
        pb::Assurance::Session => Assurance::Session,
        pb::Assurance::Highest => Assurance::Highest,
        pb::Assurance::SecondFactor => Assurance::SecondFactor,
        pb::Assurance::Unspecified => bail!("assurance is missing"),
    };
    let with_session = option.callers().any(|caller| matches!(caller, pb::Caller::User | pb::Caller::Admin));
    ensure!(!with_session || assurance != Assurance::None, "a user must have a session");
    let max_age = option.max_age.map(Duration::try_from).transpose().context("max_age is negative")?;
    Ok(Rule { callers: option.callers().collect(), assurance, max_age, proof_in_call: option.proof_in_call })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rpc_has_a_rule() {
        let rules = Rules::read(pb::DESCRIPTORS).map(|rules| rules.0.len());
        assert!(rules.is_ok_and(|count| count >= 33));
    }

    #[test]
    fn an_rpc_without_the_option_is_named_and_stops_the_start() {
        // The option's field number in the bytes of the descriptors, moved to one that nobody knows.
        let (known, unknown) = (prost_key(50051), prost_key(50052));
        let mut bytes = pb::DESCRIPTORS.to_vec();
        let found = bytes.windows(known.len()).rposition(|window| window == known);
        let Some(at) = found else {
            assert!(found.is_some(), "no rpc carries the option");
            return;
        };
        bytes[at..at + unknown.len()].copy_from_slice(&unknown);
        let problem = Rules::read(&bytes).err().map(|fault| fault.to_string()).unwrap_or_default();
        assert!(problem.ends_with("WatchAuditEvents: the option is missing"), "{problem}");
    }

    fn prost_key(field: u32) -> Vec<u8> {
        let mut key = Vec::new();
        prost::encoding::encode_key(field, prost::encoding::WireType::LengthDelimited, &mut key);
        key
    }
}
