//! Phone numbers, and the codes that are sent to them.

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    secret::{self, Secret},
};

/// Digits of a prefix: what a block of numbers that an attacker rents has in common.
const PREFIX_DIGITS: usize = 7;

/// A phone number in E.164 form, "+306912345678". It cannot be printed; what is shown of it is masked.
pub struct PhoneNumber(Secret<String>);

impl PhoneNumber {
    /// Takes a number that is in E.164 form; None = it is not.
    pub fn from_e164(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('+')?;
        let is_one =
            (8..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
        is_one.then(|| Self(Secret::new(text.to_owned())))
    }

    /// The number, to be used on the spot.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// All but the last two digits hidden.
    pub fn masked(&self) -> String {
        let (hidden, shown) = self.expose().split_at(self.expose().len().saturating_sub(2));
        format!("+{}{shown}", "*".repeat(hidden.len().saturating_sub(1)))
    }

    /// What it has in common with its neighbours: the first seven digits, and never the last four.
    pub fn prefix(&self) -> &str {
        let digits = (self.expose().len() - 1).saturating_sub(4).min(PREFIX_DIGITS);
        self.expose().get(1..=digits).unwrap_or_default()
    }

    /// The hash that stands for it in a sealed place.
    pub fn fingerprint(&self) -> [u8; 32] {
        secret::fingerprint(self.expose().as_bytes())
    }
}

impl Clone for PhoneNumber {
    fn clone(&self) -> Self {
        Self(Secret::new(self.expose().to_owned()))
    }
}

/// A code that was sent for a challenge, as it lies beside it.
#[derive(Clone, Serialize, Deserialize)]
pub struct SentCode {
    /// Keyed hash of the code and the challenge.
    pub hash: [u8; 32],
    /// Fingerprint of the number that it went to.
    pub number: [u8; 32],
    /// When it ends.
    pub end_time: Timestamp,
    /// When the windows end in which its message counts as not answered.
    pub windows: [Timestamp; 2],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_e164_is_a_number() {
        for text in ["+306912345678", "+12025550123", "+12345678", "+123456789012345"] {
            assert!(PhoneNumber::from_e164(text).is_some(), "{text}");
        }
        for text in [
            "",
            "+",
            "306912345678",
            "+0306912345",
            "+1234567",
            "+1234567890123456",
            "+30 691234567",
            "+30691234567٣",
            "++306912345678",
        ] {
            assert!(PhoneNumber::from_e164(text).is_none(), "{text}");
        }
    }

    #[test]
    fn two_digits_are_shown_and_seven_are_the_prefix() {
        let number = PhoneNumber::from_e164("+306912345678");
        assert_eq!(number.as_ref().map(PhoneNumber::masked).as_deref(), Some("+**********78"));
        assert_eq!(number.as_ref().map(PhoneNumber::prefix), Some("3069123"));
        let short = PhoneNumber::from_e164("+298211234");
        assert_eq!(short.as_ref().map(PhoneNumber::prefix), Some("29821"), "a short one is not told by it");
    }
}
