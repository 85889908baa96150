//! Ways to prove oneself, a file each, and their register. A factor says right or wrong; attempts, locks, single use, audit
//! and tokens are the flow's, once.

pub mod backup_code;
mod common_passwords;
pub mod password;
pub mod phone;
mod qr;
pub mod totp;

use crate::{
    clock::Timestamp,
    error::{Error, Refusal},
    model::{EnrolledFactor, FactorData, Method, Offer, SentCode, Spend},
    secret::Secret,
};

/// What a factor says of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is not right.
    Wrong,
    /// It was right once; what it stands for is used up.
    Replay,
    /// It is right.
    Right {
        /// What it uses up.
        spend: Spend,
    },
}

/// A code on its way to be judged.
pub struct Answer {
    /// As the user typed it.
    pub input: Secret<String>,
    /// Its hash, where the factor compares hashes: with the factor's salt, or for the challenge that it answers.
    pub hash: Option<[u8; 32]>,
    /// The code that was sent for the challenge, if one was.
    pub sent: Option<SentCode>,
}

/// How an input is hashed before it is judged.
pub struct Stretch {
    /// What is hashed.
    pub text: Secret<String>,
    /// With what.
    pub salt: [u8; 16],
}

/// Whom an enrolment is for, as the authenticator shows it, and what policy asks of it.
pub struct Holder<'a> {
    /// The name of the service.
    pub issuer: &'a str,
    /// The name of the account.
    pub account: &'a str,
    /// How many digits its codes shall have.
    pub digits: u8,
}

/// An enrolment that has begun: what the service keeps, and what the user is shown once.
pub struct Enrolment {
    /// What the factor needs to judge a code.
    pub data: FactorData,
    /// A picture of `uri` as data URI.
    pub qr_code: Secret<String>,
    /// The shared secret in base32.
    pub secret: Secret<String>,
    /// The key URI.
    pub uri: Secret<String>,
    /// What the user does next.
    pub instruction: &'static str,
}

/// A way to prove a second factor.
pub trait Factor: Send + Sync {
    /// What it adds to `amr` (RFC 8176).
    fn amr(&self) -> &'static [&'static str];

    /// Begins an enrolment. A method that is not enrolled by a code of its own refuses.
    fn enrol(&self, _holder: &Holder<'_>) -> Result<Enrolment, Error> {
        Err(Refusal::TwoFaUnavailable.into())
    }

    /// How long a code is.
    fn code_length(&self, data: &FactorData) -> Result<u8, Error>;

    /// How long a code is mostly: what is said of a factor whose data do not open.
    fn usual_length(&self) -> u8 {
        6
    }

    /// Whether nothing is left of the factor.
    fn is_used_up(&self, _factor: &EnrolledFactor) -> Result<bool, Error> {
        Ok(false)
    }

    /// Whether the input has the form of a code of this method and length.
    fn fits(&self, input: &str, length: u8) -> bool;

    /// How the input is to be hashed before it can be judged; None = it is judged as it is.
    fn stretch(&self, _input: &str, _data: &FactorData) -> Result<Option<Stretch>, Error> {
        Ok(None)
    }

    /// Judges a code. `spent` is what is used up already.
    fn judge(&self, answer: &Answer, data: &FactorData, spent: i64, now: Timestamp) -> Result<Verdict, Error>;
}

/// The register: which file stands for which method.
pub fn of(method: Method) -> &'static dyn Factor {
    match method {
        Method::Totp => &totp::Totp,
        Method::Phone => &phone::Phone,
        Method::BackupCode => &backup_code::BackupCode,
    }
}

/// What can be asked of a user with these factors, each once: the preferred method first.
pub fn offers(factors: &[EnrolledFactor], preferred: Method) -> Result<Vec<Offer>, Error> {
    let mut offers = Vec::new();
    let others = Method::ALL.into_iter().filter(|method| *method != preferred);
    for method in std::iter::once(preferred).chain(others) {
        for factor in factors.iter().filter(|factor| factor.method == method) {
            let length = match factor.data.is_damaged() {
                true => of(method).usual_length(),
                false => of(method).code_length(&factor.data)?,
            };
            let offer = Offer { method, length };
            if !of(method).is_used_up(factor)? && !offers.contains(&offer) {
                offers.push(offer);
            }
        }
    }
    Ok(offers)
}

/// The one method that a code is judged by: the one that is named, else the first whose form it has, a phone first where a code was
/// sent and nowhere else; None = it fits nothing that the user has.
pub fn choose(named: Option<Method>, input: &str, offers: &[Offer], was_sent: bool) -> Option<Method> {
    let fits = |method: &Method| {
        let mut own = offers.iter().filter(|offer| offer.method == *method);
        match named {
            Some(named) => named == *method && own.next().is_some(),
            None => (*method != Method::Phone || was_sent) && own.any(|offer| of(*method).fits(input, offer.length)),
        }
    };
    [Method::Phone, Method::Totp, Method::BackupCode].into_iter().find(fits)
}

/// The input without spaces and hyphens, which are removed once.
fn without_separators(input: &str) -> Secret<String> {
    Secret::new(input.chars().filter(|c| !matches!(c, ' ' | '-')).collect())
}

/// The input as exactly `count` ASCII digits.
fn digits(input: &str, count: usize) -> Option<Secret<String>> {
    let digits = without_separators(input);
    let fits = digits.expose().len() == count && digits.expose().bytes().all(|b| b.is_ascii_digit());
    fits.then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOTP: Offer = Offer { method: Method::Totp, length: 6 };
    const LONG_TOTP: Offer = Offer { method: Method::Totp, length: 8 };
    const PHONE: Offer = Offer { method: Method::Phone, length: 6 };
    const BACKUP: Offer = Offer { method: Method::BackupCode, length: 8 };

    #[test]
    fn the_method_that_is_named_is_chosen_whatever_the_code_looks_like() {
        let all = [TOTP, BACKUP];
        assert_eq!(choose(Some(Method::Totp), "ABCDEFGH", &all, false), Some(Method::Totp));
        assert_eq!(choose(Some(Method::BackupCode), "123456", &all, false), Some(Method::BackupCode));
        assert_eq!(choose(Some(Method::BackupCode), "ABCDEFGH", &[TOTP], false), None);
    }

    #[test]
    fn without_a_name_the_form_of_the_code_decides() {
        let all = [TOTP, LONG_TOTP, BACKUP];
        for (input, method) in [
            ("123456", Some(Method::Totp)),
            ("123-456", Some(Method::Totp)),
            ("23456789", Some(Method::Totp)),
            ("abcd-efgh", Some(Method::BackupCode)),
            ("A2345678", Some(Method::BackupCode)),
            ("1234567", None),
            ("ABCDEFG", None),
            ("ABCDEFG1", None),
            ("", None),
        ] {
            assert_eq!(choose(None, input, &all, false), method, "{input:?}");
        }
        assert_eq!(choose(None, "23456789", &[TOTP, BACKUP], false), None, "a backup code always holds a letter");
        assert_eq!(choose(None, "123456", &[BACKUP], false), None);
    }
    #[test]
    fn digits_are_of_the_phone_only_while_a_code_was_sent() {
        let all = [TOTP, PHONE, BACKUP];
        assert_eq!(choose(None, "123456", &all, true), Some(Method::Phone));
        assert_eq!(choose(None, "123456", &all, false), Some(Method::Totp));
        assert_eq!(choose(None, "123456", &[PHONE, BACKUP], false), None);
        assert_eq!(choose(Some(Method::Phone), "123456", &all, false), Some(Method::Phone), "named, it is judged");
        assert_eq!(choose(Some(Method::Totp), "123456", &all, true), Some(Method::Totp));
        assert_eq!(choose(None, "ABCD-EFGH", &all, true), Some(Method::BackupCode));
        assert_eq!(choose(None, "123456", &[TOTP], true), Some(Method::Totp));
    }
}
