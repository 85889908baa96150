//! E-mail addresses: the form that was typed, and the canonical form that decides whether two are the same.

use unicode_normalization::UnicodeNormalization;

const MAX_BYTES: usize = 254;

/// An e-mail address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    typed: String,
    canonical: String,
}

impl Email {
    /// Reads an address; the refusal says what is wrong with it.
    ///
    /// Canonical: ASCII white space trimmed, NFC, lower case character by character (no folding: `ß` is not `ss`, `ı` is not
    /// `i`, accents count), domain to A-labels, at most 254 bytes, no control characters.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let typed = text.trim_matches(|c: char| c.is_ascii_whitespace());
        if typed.len() > MAX_BYTES {
            return Err("must be at most 254 bytes.");
        }
        if typed.chars().any(char::is_control) {
            return Err("must not hold control characters.");
        }
        let lower = lower(typed);
        let (local, domain) = lower.rsplit_once('@').ok_or("must be an address such as user@example.com.")?;
        if local.is_empty() || local.chars().any(char::is_whitespace) {
            return Err("must have a name without white space before the @.");
        }
        let domain = idna::domain_to_ascii(domain).map_err(|_| "must have a valid domain after the @.")?;
        if domain.is_empty() || domain.contains(|c: char| c.is_whitespace() || c == '@') {
            return Err("must have a valid domain after the @.");
        }
        let canonical = format!("{local}@{domain}");
        if canonical.len() > MAX_BYTES {
            return Err("must be at most 254 bytes.");
        }
        Ok(Self { typed: typed.to_owned(), canonical })
    }

    /// Reads what may be a part of an address: in the form that canonical addresses have.
    pub fn part(text: &str) -> Result<String, &'static str> {
        let typed = text.trim_matches(|c: char| c.is_ascii_whitespace());
        if typed.len() > MAX_BYTES {
            return Err("must be at most 254 bytes.");
        }
        if typed.chars().any(char::is_control) {
            return Err("must not hold control characters.");
        }
        Ok(Self::parse(typed).map_or_else(|_| lower(typed), |whole| whole.canonical))
    }

    /// As it was typed, less the white space around it.
    pub fn typed(&self) -> &str {
        &self.typed
    }

    /// As mail has it: the name as it was typed, the domain in A-labels.
    pub fn mailable(&self) -> String {
        let name = self.typed.rsplit_once('@').map_or("", |(name, _)| name);
        let domain = self.canonical.rsplit_once('@').map_or("", |(_, domain)| domain);
        format!("{name}@{domain}")
    }

    /// The form that is compared, byte by byte.
    pub fn canonical(&self) -> &str {
        &self.canonical
    }
}

fn lower(text: &str) -> String {
    text.nfc().flat_map(char::to_lowercase).nfc().collect()
}

#[cfg(test)]
mod tests {
    use super::Email;

    fn canonical(text: &str) -> String {
        Email::parse(text).map(|e| e.canonical().to_owned()).unwrap_or_else(|problem| problem.to_owned())
    }

    #[test]
    fn case_white_space_composition_and_the_form_of_the_domain_do_not_matter() {
        assert_eq!(canonical(" User@Example.COM\t"), "user@example.com");
        assert_eq!(canonical("jose\u{301}@example.com"), canonical("josé@example.com"));
        assert_eq!(canonical("a@bücher.example"), "a@xn--bcher-kva.example");
        assert_eq!(canonical("ΝΙΚΟΣ@example.com"), canonical("νικοσ@example.com"));
    }

    #[test]
    fn letters_that_merely_look_alike_are_different() {
        assert_ne!(canonical("straße@example.com"), canonical("strasse@example.com"));
        assert_ne!(canonical("ı@example.com"), canonical("i@example.com"));
        assert_ne!(canonical("josé@example.com"), canonical("jose@example.com"));
    }

    #[test]
    fn the_canonical_form_is_its_own_canonical_form() {
        for text in ["İ@example.com", "ẞ@ẞ.example", "ΑΣ@example.com", "𝒜@example.com", "a@bücher.example"] {
            let once = canonical(text);
            assert_eq!(canonical(&once), once, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "user", "@example.com", "user@", "a b@example.com", "a\u{0}@example.com", "a@b@"] {
            assert!(Email::parse(text).is_err(), "{text:?}");
        }
        assert!(Email::parse(&format!("{}@example.com", "a".repeat(243))).is_err());
    }
}
