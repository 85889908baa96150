//! What mail says, by language. Never a link: nobody shall learn to follow one.

mod languages;

use languages::{Language, language};

use crate::{
    clock::Timestamp,
    model::{Method, Notice, NoticeKind},
};

/// So few backup codes are few.
const FEW: u32 = 3;

/// The words of a language for one service.
pub(super) struct Words {
    language: &'static Language,
    service: String,
    help: String,
}

impl Words {
    pub(super) fn new(locale: &str, service: &str, help: &str) -> Self {
        // A name with the look of an address would become a link.
        let service = service.replace("://", " ").replace('.', " ");
        Self { language: language(locale), service, help: help.to_owned() }
    }

    /// Subject and text of a notice.
    pub(super) fn notice(&self, notice: &Notice) -> (String, String) {
        let words = self.language;
        let (subject, mut sentence) = match notice.kind {
            NoticeKind::FactorAdded(method) => (words.factor_added, self.with_method(words.factor_added_text, method)),
            NoticeKind::FactorRemoved(method) => {
                (words.factor_removed, self.with_method(words.factor_removed_text, method))
            }
            NoticeKind::BackupCodesReplaced => plain(words.codes_replaced),
            NoticeKind::BackupCodeUsed(None) => (words.code_used, words.code_used_text.to_owned()),
            NoticeKind::BackupCodeUsed(Some(left)) => {
                let is_few = left <= FEW;
                let (subject, more) =
                    if is_few { (words.codes_few, words.codes_few_text) } else { (words.code_used, "") };
                let left = words.codes_left.replace("{left}", &left.to_string());
                (subject, format!("{} {left} {more}", words.code_used_text).trim_end().to_owned())
            }
            NoticeKind::PasswordChanged => plain(words.password_changed),
            NoticeKind::PasswordTokenIssued => plain(words.token_issued),
            NoticeKind::NewNetwork => plain(words.new_network),
            NoticeKind::OneFactorPassed => plain(words.one_factor),
            NoticeKind::SecondFactorReset => plain(words.reset),
            NoticeKind::AddressChanged => plain(words.address_changed),
            NoticeKind::AccountDeleted => plain(words.deleted),
        };
        if notice.by_admin {
            sentence = format!("{sentence} {}", words.by_admin);
        }
        let mut text = format!(
            "{sentence}\r\n\r\n{}: {} UTC\r\n{}: {}\r\n\r\n{}",
            words.when,
            moment(notice.time),
            words.from,
            notice.source,
            words.not_you
        );
        if !self.help.is_empty() {
            text = format!("{text} {}", self.help);
        }
        (format!("{}: {subject}", self.service), format!("{text}\r\n\r\n-- \r\n{}\r\n", self.service))
    }

    fn with_method(&self, template: &str, method: Method) -> String {
        let words = self.language;
        let name = match method {
            Method::Totp => words.app,
            Method::Phone => words.phone,
            Method::BackupCode => words.codes,
        };
        template.replace("{method}", name)
    }
}

fn plain((subject, text): (&'static str, &str)) -> (&'static str, String) {
    (subject, text.to_owned())
}

/// As 2026-11-25 14:30.
fn moment(time: Timestamp) -> String {
    let whole = time.to_rfc3339();
    whole.get(..16).unwrap_or(&whole).replace('T', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [NoticeKind; 12] = [
        NoticeKind::FactorAdded(Method::Totp),
        NoticeKind::FactorRemoved(Method::Phone),
        NoticeKind::BackupCodesReplaced,
        NoticeKind::BackupCodeUsed(Some(7)),
        NoticeKind::BackupCodeUsed(Some(2)),
        NoticeKind::PasswordChanged,
        NoticeKind::PasswordTokenIssued,
        NoticeKind::NewNetwork,
        NoticeKind::OneFactorPassed,
        NoticeKind::SecondFactorReset,
        NoticeKind::AddressChanged,
        NoticeKind::AccountDeleted,
    ];

    fn notice(kind: NoticeKind) -> Notice {
        let time = Timestamp::from_seconds(1_800_000_000);
        Notice { kind, time, source: "192.0.2.1".to_owned(), by_admin: false }
    }

    #[test]
    fn every_language_tells_each_notice_apart_and_holds_no_link_and_no_open_place() {
        for locale in ["de", "el", "en", "es", "fr", "it"] {
            let words = Words::new(locale, "https://evil.example", "Call 100.");
            let mut subjects = Vec::new();
            for kind in KINDS {
                let (subject, text) = words.notice(&notice(kind));
                assert!(text.contains("2027-01-15 08:00 UTC") && text.contains("192.0.2.1"), "{text}");
                assert!(text.contains("Call 100."), "{text}");
                let both = format!("{subject} {text}");
                assert!(!both.contains("://") && !both.contains('{') && !both.contains("evil.example"), "{both}");
                subjects.push(subject);
            }
            subjects.sort();
            subjects.dedup();
            assert_eq!(subjects.len(), KINDS.len(), "{locale}");
            let (_, text) = words.notice(&notice(NoticeKind::BackupCodeUsed(Some(7))));
            assert!(text.contains('7'), "{text}");
        }
    }

    #[test]
    fn a_notice_reads_as_a_person_would_write_it() {
        let words = Words::new("en", "Example", "");
        let (subject, text) =
            words.notice(&Notice { by_admin: true, ..notice(NoticeKind::FactorRemoved(Method::Totp)) });
        assert_eq!(subject, "Example: a second factor was removed");
        let expected = "The authenticator app was removed from your account: it is not asked for any more. An administrator did this.\r\n\r\n\
                        Time: 2027-01-15 08:00 UTC\r\nFrom: 192.0.2.1\r\n\r\n\
                        If you do not expect this, tell your administrator at once.\r\n\r\n-- \r\nExample\r\n";
        assert_eq!(text, expected);
    }
}
