//! The first factor: a password.

use unicode_normalization::UnicodeNormalization;

use super::common_passwords;
use crate::{
    error::{Error, Refusal},
    hash::{Hasher, Queue},
    model::{Email, PasswordHash},
    secret::Secret,
};

const MIN_CHARACTERS: usize = 8;
const MAX_CHARACTERS: usize = 256;
/// Names shorter than this are not looked for in passwords.
const MIN_NAME: usize = 3;
/// Labels under which many have their domains.
const SHARED_LABELS: [&str; 8] = ["co", "com", "org", "net", "edu", "gov", "ac", "www"];
/// In itself the name of the product is no secret of anybody's.
const PRODUCT: &str = "countersign";

/// A password in NFC, so that it does not matter how the keyboard composes its letters.
pub struct Password(Secret<String>);

/// Names that a password must not be made of.
pub struct Names<'a> {
    /// The name of the service.
    pub service: &'a str,
    /// The account.
    pub email: &'a Email,
}

impl Password {
    /// Reads a password that is shown at sign-in. Only its length is judged: rules are for passwords that are set.
    pub fn parse(field: &'static str, text: &Secret<String>) -> Result<Self, Refusal> {
        let normal = Secret::new(text.expose().nfc().collect::<String>());
        if normal.expose().is_empty() {
            return Err(Refusal::field(field, "must not be empty."));
        }
        if normal.expose().chars().count() > MAX_CHARACTERS {
            return Err(Refusal::field(field, format!("must have at most {MAX_CHARACTERS} characters.")));
        }
        Ok(Self(normal))
    }

    /// Reads a password that is to be set; the refusal says why it cannot be.
    pub fn parse_new(field: &'static str, text: &Secret<String>, names: &Names<'_>) -> Result<Self, Refusal> {
        let normal = Secret::new(text.expose().nfc().collect::<String>());
        let count = normal.expose().chars().count();
        let rejected = |why: &str| Err(Refusal::PasswordRejected { field, why: why.to_owned() });
        if !(MIN_CHARACTERS..=MAX_CHARACTERS).contains(&count) {
            return rejected("A password has 8 to 256 characters.");
        }
        let lower = Secret::new(lower(normal.expose()));
        if common_passwords::contains(lower.expose()) {
            return rejected("This password is among the most common ones. Choose one that nobody else has.");
        }
        if without_names(&lower, names).expose().chars().count() < MIN_CHARACTERS {
            return rejected(
                "This password is made of the name of the service or of your address. Choose one that nobody can guess from \
                 them.",
            );
        }
        Ok(Self(normal))
    }

    /// Hashes it, to be set.
    pub async fn hash(self, hasher: &Hasher) -> Result<PasswordHash, Error> {
        hasher.hash(Queue::SignIn, self.0).await
    }

    /// A hash in the place of one that has cost too little; None = it has not, or the pool is full: another time then.
    pub async fn renewed(self, hasher: &Hasher, hash: &PasswordHash) -> Option<PasswordHash> {
        if hasher.is_outdated(hash) { self.hash(hasher).await.ok() } else { None }
    }

    /// Whether it is the one that was hashed. Without a hash it takes as long, and is not.
    pub async fn matches(&self, hasher: &Hasher, hash: Option<&PasswordHash>) -> Result<bool, Error> {
        hasher.verify(Queue::SignIn, Secret::new(self.0.expose().clone()), hash).await
    }
}

/// What is left of a password when every name is taken out of it.
fn without_names(lower_password: &Secret<String>, names: &Names<'_>) -> Secret<String> {
    let (service, typed) = (lower(names.service), lower(names.email.typed()));
    let mut words = vec![PRODUCT.to_owned()];
    for address in [names.email.canonical(), &typed] {
        let (local, domain) = address.rsplit_once('@').unwrap_or_default();
        words.extend([address.to_owned(), local.to_owned()]);
        words.extend(parts(local));
        // The last label is nobody's name, nor is what often stands before it.
        let labels: Vec<_> = domain.split('.').collect();
        let own = labels.iter().take(labels.len().saturating_sub(1)).filter(|label| !SHARED_LABELS.contains(label));
        words.extend(own.map(|label| (*label).to_owned()));
    }
    words.extend(parts(&service));
    words.push(parts(&service).concat());
    words.push(service);
    words.retain(|word| word.chars().count() >= MIN_NAME);
    // The longest first: a part must not break the whole.
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    let mut rest = Secret::new(lower_password.expose().clone());
    for word in words {
        rest = Secret::new(rest.expose().replace(&word, ""));
    }
    rest
}

/// Character by character, as addresses are: the same letter is the same wherever it stands.
fn lower(text: &str) -> String {
    text.nfc().flat_map(char::to_lowercase).collect()
}

/// The words of a name.
fn parts(name: &str) -> Vec<String> {
    name.split(|c: char| !c.is_alphanumeric()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(password: &str) -> String {
        let Ok(email) = Email::parse("Alice.Liddell@Wonderland.example") else {
            return "no address".to_owned();
        };
        let names = Names { service: "Acme Login", email: &email };
        match Password::parse_new("password", &Secret::new(password.to_owned()), &names) {
            Ok(_) => String::new(),
            Err(refusal) => refusal.text().into_owned(),
        }
    }

    #[test]
    fn the_longest_password_that_can_be_set_can_be_shown() {
        let shown = |count| Password::parse("password", &Secret::new("ä".repeat(count)));
        assert!(shown(256).is_ok() && shown(257).is_err());
    }

    #[test]
    fn length_is_counted_in_characters() {
        assert!(why("kzq-wpx").contains("8 to 256 characters"));
        assert_eq!(why("kzq-wpxj"), "");
        assert_eq!(why(&"äß7kq".repeat(51)), "");
        assert!(why(&"ä".repeat(257)).contains("8 to 256 characters"));
        assert!(
            why("e\u{301}e\u{301}e\u{301}e\u{301}").contains("8 to 256"),
            "four letters, however they are composed"
        );
    }

    #[test]
    fn common_passwords_are_rejected_in_any_case() {
        for common in ["password", "PassWord1", "12345678", "QWERTYUIOP", "iloveyou"] {
            assert!(why(common).contains("most common"), "{common}: {}", why(common));
        }
    }

    #[test]
    fn names_of_the_service_and_the_account_do_not_count() {
        for named in [
            "countersign",
            "Countersign2026",
            "acme login!",
            "alice.liddell",
            "alice2026",
            "wonderland-7",
            "LiddellAlice",
            "AcmeLogin1",
            "login-acme",
        ] {
            assert!(why(named).contains("made of"), "{named}: {}", why(named));
        }
        assert_eq!(why("alice had eleven white rabbits"), "");
    }

    #[test]
    fn the_end_of_a_domain_is_no_name_and_letters_are_the_same_everywhere() {
        let why = |address: &str, password: &str| {
            let Ok(email) = Email::parse(address) else {
                return "no address".to_owned();
            };
            let refused = Password::parse_new(
                "password",
                &Secret::new(password.to_owned()),
                &Names { service: "Acme", email: &email },
            );
            refused.err().map(|refusal| refusal.text().into_owned()).unwrap_or_default()
        };
        assert_eq!(why("bob@example.com", "kxcomqzpw"), "");
        assert_eq!(why("bob@shop.co.uk", "wel-co-uk-7"), "");
        assert!(why("bob@bücher.example", "bücher2026").contains("made of"));
        assert!(why("ΝΙΚΟΣ@example.com", "ΝΙΚΟΣ2026").contains("made of"));
    }

    #[test]
    fn no_composition_is_asked_for() {
        assert_eq!(why("correct horse battery staple"), "");
        assert_eq!(why("        two spaces and more        "), "");
    }
}
