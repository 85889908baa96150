//! What a message says, by language. Never a link: nobody shall learn to follow one.

use crate::secret::Secret;

/// The words of a language for one service.
pub(super) struct Words {
    template: &'static str,
    service: String,
    host: String,
}

impl Words {
    pub(super) fn new(locale: &str, service: &str, host: &str) -> Self {
        let template = match locale {
            "de" => "{code} ist Ihr Code für {service}. Geben Sie ihn niemandem.",
            "el" => "{code}: ο κωδικός σας για {service}. Μην τον δώσετε σε κανέναν.",
            "es" => "{code} es su código de {service}. No se lo dé a nadie.",
            "fr" => "{code} est votre code {service}. Ne le donnez à personne.",
            "it" => "{code} è il suo codice {service}. Non lo dia a nessuno.",
            _ => "{code} is your {service} code. Do not give it to anyone.",
        };
        // A name with the look of an address would become a link.
        Self { template, service: service.replace("://", " ").replace('.', " "), host: host.to_owned() }
    }

    /// The message with a code, with a last line that binds it to a host where one is configured (origin-bound one-time codes).
    pub(super) fn code(&self, code: &Secret<String>) -> Secret<String> {
        let sentence = self.template.replace("{service}", &self.service).replace("{code}", code.expose());
        if self.host.is_empty() {
            return Secret::new(sentence);
        }
        Secret::new(format!("{sentence}\n\n@{} #{}", self.host, code.expose()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(locale: &str, service: &str, host: &str) -> String {
        Words::new(locale, service, host).code(&Secret::new("123456".to_owned())).expose().clone()
    }

    #[test]
    fn every_language_says_code_and_service_and_holds_no_link() {
        for locale in ["de", "el", "en", "es", "fr", "it"] {
            let text = message(locale, "Example", "");
            assert!(text.contains("123456") && text.contains("Example") && !text.contains("://"), "{text}");
            assert!(text.chars().count() <= 70, "one message, also in UCS-2: {text}");
        }
        assert!(!message("en", "https://evil.example", "").contains("://"));
    }

    #[test]
    fn the_last_line_binds_the_code_to_its_host() {
        let text = message("en", "Example", "login.example.com");
        assert_eq!(text, "123456 is your Example code. Do not give it to anyone.\n\n@login.example.com #123456");
    }
}
