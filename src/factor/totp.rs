//! Codes by time from an authenticator app (RFC 6238): SHA-1, 30 s, what every app supports.

use anyhow::anyhow;

use super::{Answer, Enrolment, Factor, Holder, Verdict, digits, qr};
use crate::{
    clock::Timestamp,
    error::Error,
    model::{FactorData, Spend},
    secret::{self, Secret},
};

const FORMAT: u8 = 1;
const STEP_SECONDS: u64 = 30;
const SECRET_BYTES: usize = 20;
/// Steps before and after the present one that are accepted too.
const SKEW: i64 = 1;

/// The factor. Its `spent` is the last step of which a code was used.
pub struct Totp;

impl Factor for Totp {
    fn amr(&self) -> &'static [&'static str] {
        &["otp", "mfa"]
    }

    fn enrol(&self, holder: &Holder<'_>) -> Result<Enrolment, Error> {
        let secret: [u8; SECRET_BYTES] = secret::random()?;
        let key = builder(secret.as_slice(), holder.digits)
            .with_issuer(Some(without_colon(holder.issuer)))
            .with_account_name(without_colon(holder.account))
            .build()
            .map_err(|fault| anyhow!("cannot make a TOTP key: {fault}"))?;
        let uri = Secret::new(key.to_url().map_err(|fault| anyhow!("cannot make a key URI: {fault}"))?);
        let mut data = Vec::with_capacity(2 + SECRET_BYTES);
        data.extend_from_slice(&[FORMAT, holder.digits]);
        data.extend_from_slice(&secret);
        Ok(Enrolment {
            data: FactorData::new(data),
            qr_code: qr::data_uri(uri.expose())?,
            secret: Secret::new(key.secret().to_base32()),
            uri,
            instruction: "Scan the QR code with your authenticator app, or type the secret in, and confirm with the code that \
                          the app shows.",
        })
    }

    fn code_length(&self, data: &FactorData) -> Result<u8, Error> {
        Ok(parts(data)?.0)
    }

    fn fits(&self, input: &str, length: u8) -> bool {
        digits(input, usize::from(length)).is_some()
    }

    fn judge(&self, answer: &Answer, data: &FactorData, spent: i64, now: Timestamp) -> Result<Verdict, Error> {
        let (length, secret) = parts(data)?;
        let Some(code) = digits(answer.input.expose(), usize::from(length)) else {
            return Ok(Verdict::Wrong);
        };
        let key = builder(secret, length).build().map_err(|fault| anyhow!("a stored TOTP key is bad: {fault}"))?;
        let step = step(now);
        let mut verdict = Verdict::Wrong;
        // Every step is looked at, so that the time does not tell which one fits. The newest that fits counts.
        for step in step - SKEW..=step + SKEW {
            let fits = u64::try_from(step).is_ok_and(|step| key.check(code.expose(), step * STEP_SECONDS).is_some());
            if fits && step > spent {
                verdict = Verdict::Right { spend: Spend::UpTo(step) };
            } else if fits && verdict == Verdict::Wrong {
                verdict = Verdict::Replay;
            }
        }
        Ok(verdict)
    }
}

/// The last step whose code is accepted at a moment.
pub fn last_step(now: Timestamp) -> i64 {
    step(now) + SKEW
}

fn step(now: Timestamp) -> i64 {
    now.seconds().div_euclid(STEP_SECONDS.cast_signed())
}

/// One step at a time: the window is ours, because the step that fits must be compared with the ones that are used.
fn builder(secret: &[u8], length: u8) -> totp_rs::Builder {
    totp_rs::Builder::new()
        .with_algorithm(totp_rs::Algorithm::SHA1)
        .with_digits(length)
        .with_skew(0)
        .with_step_duration(STEP_SECONDS)
        .with_secret(secret.to_vec())
}

fn parts(data: &FactorData) -> anyhow::Result<(u8, &[u8])> {
    match data.expose() {
        [FORMAT, length, secret @ ..] => Ok((*length, secret)),
        _ => Err(anyhow!("stored TOTP data has an unknown form")),
    }
}

/// A colon parts issuer and account in a key URI, so neither may hold one.
fn without_colon(name: &str) -> String {
    name.replace(':', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(secret: &[u8], length: u8, code: &str, spent: i64, seconds: i64) -> Verdict {
        let data = FactorData::new([&[FORMAT, length], secret].concat());
        let answer = Answer { input: Secret::new(code.to_owned()), hash: None, sent: None };
        Totp.judge(&answer, &data, spent, Timestamp::from_seconds(seconds)).unwrap_or(Verdict::Wrong)
    }

    fn right(step: i64) -> Verdict {
        Verdict::Right { spend: Spend::UpTo(step) }
    }

    #[test]
    fn the_vectors_of_rfc_6238_are_right() {
        let vectors = [
            (59, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000, "65353130"),
        ];
        for (seconds, code) in vectors {
            let right = right(seconds / 30);
            assert_eq!(judge(b"12345678901234567890", 8, code, 0, seconds), right, "{seconds}");
        }
    }

    #[test]
    fn the_vectors_of_rfc_4226_are_right() {
        let codes =
            ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"];
        for (counter, code) in (0..).zip(codes) {
            let right = right(counter);
            assert_eq!(judge(b"12345678901234567890", 6, code, -1, counter * 30), right, "{counter}");
        }
    }

    #[test]
    fn one_step_before_and_after_is_right_and_two_is_wrong() {
        let at = |seconds| judge(b"12345678901234567890", 6, "359152", -1, seconds);
        assert_eq!(at(0), Verdict::Wrong);
        assert_eq!(at(30), right(2));
        assert_eq!(at(119), right(2));
        assert_eq!(at(120), Verdict::Wrong);
    }

    #[test]
    fn a_used_step_and_those_before_it_are_replays() {
        let after = |spent| judge(b"12345678901234567890", 6, "359152", spent, 60);
        assert_eq!(after(1), right(2));
        assert_eq!(after(2), Verdict::Replay);
        assert_eq!(after(3), Verdict::Replay);
    }

    #[test]
    fn spaces_and_hyphens_are_removed_and_nothing_else_is_forgiven() {
        let is_right = |code| judge(b"12345678901234567890", 6, code, -1, 60) == right(2);
        assert!(is_right("359 152") && is_right("359-152") && is_right(" 35-91 52 "));
        for code in
            ["+59152", "35915", "3591520", "0359152", "359152\n", "٣٥٩١٥٢", "３５９１５２", "", "35915a", "359_152"]
        {
            assert!(!is_right(code), "{code:?}");
        }
    }
}
