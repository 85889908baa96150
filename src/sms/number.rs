//! Reads phone numbers: E.164 only, one form, and none that costs more than a message.

use phonenumber::{Mode, Type, country, metadata::DATABASE};

use crate::model::PhoneNumber;

/// Why a text is no number that messages go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It is no number in E.164 form.
    Malformed,
    /// It is a number that text messages are not sent to: of a premium service, a satellite, a landline.
    NotMobile,
    /// Its country is not served here.
    NotServed,
}

impl Problem {
    /// What is told of it, as a sentence.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Malformed => "must be a phone number in international form, such as +306912345678.",
            Self::NotMobile => "must be the number of a mobile phone.",
            Self::NotServed => "is of a country that is not served here. Use another number or another method.",
        }
    }
}

/// The number that a text is, and its country.
pub fn parse(text: &str) -> Result<(PhoneNumber, country::Id), Problem> {
    // The form is looked at first: a parser of everything that people write is not fed with everything.
    let number = PhoneNumber::from_e164(text).ok_or(Problem::Malformed)?;
    let parsed = phonenumber::parse(None, number.expose()).map_err(|_| Problem::Malformed)?;
    if !parsed.is_valid() || parsed.format().mode(Mode::E164).to_string() != number.expose() {
        return Err(Problem::Malformed);
    }
    // Satellites and international services belong to no country.
    let country = parsed.country().id().ok_or(Problem::NotMobile)?;
    match parsed.number_type(&DATABASE) {
        Type::Mobile | Type::FixedLineOrMobile => Ok((number, country)),
        Type::FixedLine
        | Type::TollFree
        | Type::PremiumRate
        | Type::SharedCost
        | Type::PersonalNumber
        | Type::Voip
        | Type::Pager
        | Type::Uan
        | Type::Emergency
        | Type::Voicemail
        | Type::ShortCode
        | Type::StandardRate
        | Type::Carrier
        | Type::NoInternational
        | Type::Unknown => Err(Problem::NotMobile),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mobile_numbers_are_read_with_their_countries() {
        for (text, country) in [
            ("+306912345678", country::GR),
            ("+12025550123", country::US),
            ("+447400123456", country::GB),
            ("+4915123456789", country::DE),
            ("+33612345678", country::FR),
        ] {
            let parsed = parse(text);
            assert_eq!(
                parsed.as_ref().map(|(number, id)| (number.expose(), *id)).ok(),
                Some((text, country)),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_mobile_number_is_refused() {
        for (text, problem) in [
            ("", Problem::Malformed),
            ("6912345678", Problem::Malformed),
            ("+30 691 234 5678", Problem::Malformed),
            ("+3069123456789", Problem::Malformed),
            ("+999123456789", Problem::Malformed),
            ("tel:+306912345678", Problem::Malformed),
            ("+306912345678;ext=1", Problem::Malformed),
            ("+302101234567", Problem::NotMobile),
            ("+309012345678", Problem::NotMobile),
            ("+448701234567", Problem::NotMobile),
            ("+870773111632", Problem::NotMobile),
            ("+881612345678", Problem::NotMobile),
            ("+88213123456", Problem::NotMobile),
            ("+80012345678", Problem::NotMobile),
        ] {
            let parsed = parse(text).map(|_| ());
            assert!(
                parsed == Err(problem) || (parsed == Err(Problem::Malformed) && problem == Problem::NotMobile),
                "{text} {parsed:?}"
            );
        }
    }
}
