//! Codes by text message. The factor is the number; a code is made for one challenge and lies beside it, hashed.

use anyhow::{Context, anyhow};

use super::{Answer, Factor, Verdict, digits};
use crate::{
    clock::Timestamp,
    error::Error,
    model::{FactorData, PhoneNumber, Spend},
    secret::{self, Secret},
};

const FORMAT: u8 = 1;
/// What confirms a number must be told of it (NIST SP 800-63B-4 section 3.2.9).
pub const NOTICE: &str = "Text messages can be redirected by whoever takes over your number. An authenticator app is safer; keep your \
                          backup codes in any case.";

/// The factor. It uses nothing up: a code goes with the challenge that it was made for.
pub struct Phone;

/// What is kept of a number whose codes shall have so many digits.
pub fn data(number: &PhoneNumber, length: u8) -> FactorData {
    let mut data = vec![FORMAT, length];
    data.extend_from_slice(number.expose().as_bytes());
    FactorData::new(data)
}

/// The number.
pub fn number(data: &FactorData) -> Result<PhoneNumber, Error> {
    Ok(parts(data)?.1)
}

/// A new code of a number: each with the same chance.
pub fn new_code(data: &FactorData) -> Result<Secret<String>, Error> {
    let (length, _) = parts(data)?;
    let mut code = String::with_capacity(usize::from(length));
    while code.len() < usize::from(length) {
        let [byte] = secret::random::<1>()?;
        // 250 is the last multiple of ten: what lies above would make some digits likelier.
        if byte < 250 {
            code.push(char::from(b'0' + byte % 10));
        }
    }
    Ok(Secret::new(code))
}

/// The input as it is hashed: its digits, or as it is when it is no code.
pub fn canonical(input: &str, length: u8) -> Secret<String> {
    digits(input, usize::from(length)).unwrap_or_else(|| Secret::new(input.to_owned()))
}

impl Factor for Phone {
    fn amr(&self) -> &'static [&'static str] {
        &["sms", "mfa"]
    }

    fn code_length(&self, data: &FactorData) -> Result<u8, Error> {
        Ok(parts(data)?.0)
    }

    fn fits(&self, input: &str, length: u8) -> bool {
        digits(input, usize::from(length)).is_some()
    }

    fn judge(&self, answer: &Answer, data: &FactorData, _spent: i64, now: Timestamp) -> Result<Verdict, Error> {
        let (_, number) = parts(data)?;
        let (Some(sent), Some(hash)) = (&answer.sent, &answer.hash) else {
            return Ok(Verdict::Wrong);
        };
        // A code that went to another number proves nothing about this one.
        let is_own = secret::same(&sent.number, &number.fingerprint());
        let is_right = secret::same(&sent.hash, hash);
        let is_open = now < sent.end_time;
        Ok(if is_own && is_right && is_open { Verdict::Right { spend: Spend::Challenge } } else { Verdict::Wrong })
    }
}

fn parts(data: &FactorData) -> anyhow::Result<(u8, PhoneNumber)> {
    let [FORMAT, length, number @ ..] = data.expose() else {
        return Err(anyhow!("a stored phone has an unknown form"));
    };
    let number = std::str::from_utf8(number).ok().and_then(PhoneNumber::from_e164);
    Ok((*length, number.context("a stored phone number is none")?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SentCode;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn judge(number: &str, answered: u8, sent_to: Option<&str>, seconds: i64) -> Option<Verdict> {
        let number = PhoneNumber::from_e164(number)?;
        let sent = match sent_to {
            Some(to) => Some(SentCode {
                hash: [7; 32],
                number: PhoneNumber::from_e164(to)?.fingerprint(),
                end_time: NOW,
                windows: [NOW; 2],
            }),
            None => None,
        };
        let answer = Answer { input: Secret::new(String::new()), hash: Some([answered; 32]), sent };
        Phone.judge(&answer, &data(&number, 6), 0, Timestamp::from_seconds(seconds)).ok()
    }

    #[test]
    fn a_code_is_right_for_its_number_until_it_ends() {
        let (own, other, end) = ("+306912345678", "+306912345679", NOW.seconds());
        let right = Some(Verdict::Right { spend: Spend::Challenge });
        assert_eq!(judge(own, 7, Some(own), end - 1), right);
        for (answered, sent_to, seconds) in
            [(8, Some(own), end - 1), (7, Some(other), end - 1), (7, Some(own), end), (7, None, end - 1)]
        {
            assert_eq!(
                judge(own, answered, sent_to, seconds),
                Some(Verdict::Wrong),
                "{answered} {sent_to:?} {seconds}"
            );
        }
    }

    #[test]
    fn codes_have_their_length_and_every_digit() -> Result<(), Error> {
        let number = PhoneNumber::from_e164("+306912345678").context("no number")?;
        let mut seen = std::collections::BTreeSet::new();
        for length in 6..=8 {
            for _ in 0..50 {
                let code = new_code(&data(&number, length))?;
                assert_eq!(code.expose().len(), usize::from(length));
                seen.extend(code.expose().chars());
            }
        }
        assert_eq!(seen.into_iter().collect::<String>(), "0123456789");
        Ok(())
    }
}
