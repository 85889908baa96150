//! Every text of the console, in one place. `english` is the only language so far; another one is a file beside it.

mod english;
mod events;
mod reasons;

pub use english::{ENGLISH, Texts};
pub use events::{KINDS, Tone, of_kind};
pub use reasons::{of_deed, of_field, of_reason};

impl Texts {
    /// A text with its `{name}` filled in.
    pub fn filled(&self, text: &str, name: &str, value: impl std::fmt::Display) -> String {
        text.replace(&format!("{{{name}}}"), &value.to_string())
    }
}

/// What a key is for.
pub fn of_key_use(word: &str) -> &'static str {
    match word {
        "seal" => ENGLISH.key_seal,
        "sign" => ENGLISH.key_sign,
        "index" => ENGLISH.key_index,
        _ => "",
    }
}

/// What may be done with a key.
pub fn of_key_state(word: &str) -> (&str, Tone) {
    match word {
        "active" => (ENGLISH.key_state_active, Tone::Good),
        "readable" => (ENGLISH.key_state_readable, Tone::Quiet),
        "disabled" => (ENGLISH.key_state_disabled, Tone::Warn),
        "destroyed" => (ENGLISH.key_state_destroyed, Tone::Bad),
        other => (other, Tone::Quiet),
    }
}
