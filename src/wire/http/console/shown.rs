//! How things look on a page: times, devices, methods.

use super::texts::ENGLISH;
use crate::{clock::Timestamp, wire::pb::Method};

/// A time: for machines, which turn it into that of the reader, and for whoever has no script.
#[derive(Clone, Debug)]
pub struct When {
    /// As RFC 3339 has it.
    pub machine: String,
    /// In words, in UTC.
    pub text: String,
}

/// A time.
pub fn when(time: prost_types::Timestamp) -> When {
    let millis = time.seconds.saturating_mul(1000).saturating_add(i64::from(time.nanos / 1_000_000));
    let machine = Timestamp::from_millis(millis).to_rfc3339();
    let part = |from: usize, to: usize| machine.get(from..to).unwrap_or_default();
    let month = part(5, 7).parse::<usize>().ok().and_then(|month| ENGLISH.months.split(' ').nth(month.wrapping_sub(1)));
    let day = part(8, 10).trim_start_matches('0');
    let text = format!("{day} {} {}, {} UTC", month.unwrap_or_default(), part(0, 4), part(11, 16));
    When { machine, text }
}

/// What a client calls itself, in a few words.
pub fn device(user_agent: &str) -> String {
    let find = |known: &[(&str, &'static str)]| {
        known.iter().find(|(mark, _)| user_agent.contains(mark)).map(|(_, name)| *name)
    };
    // The order matters: each also calls itself what comes after it.
    let browser = find(&[
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("SamsungBrowser/", "Samsung Internet"),
        ("Firefox/", "Firefox"),
        ("FxiOS/", "Firefox"),
        ("HeadlessChrome/", "Chrome"),
        ("Chrome/", "Chrome"),
        ("CriOS/", "Chrome"),
        ("Safari/", "Safari"),
    ]);
    let system = find(&[
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Android", "Android"),
        ("CrOS", "ChromeOS"),
        ("Windows", "Windows"),
        ("Mac OS X", "macOS"),
        ("Linux", "Linux"),
    ]);
    match (browser, system) {
        (Some(browser), Some(system)) => format!("{browser} · {system}"),
        (Some(browser), None) => browser.to_owned(),
        (None, _) if user_agent.trim().is_empty() => ENGLISH.unknown_device.to_owned(),
        (None, _) => user_agent.chars().take(80).collect(),
    }
}

/// The name of a method.
pub fn method(method: Method) -> &'static str {
    match method {
        Method::Totp => ENGLISH.method_app,
        Method::Phone => ENGLISH.method_phone,
        Method::BackupCode => ENGLISH.method_backup_code,
        Method::Unspecified => "",
    }
}

/// The name of a method that the audit log names by a word.
pub fn method_of_word(word: &str) -> &'static str {
    match word {
        "totp" => ENGLISH.method_app,
        "phone" => ENGLISH.method_phone,
        "backup_code" => ENGLISH.method_backup_code,
        _ => "",
    }
}

/// Text in groups of four.
pub fn grouped(text: &str) -> String {
    let letters: Vec<_> = text.chars().collect();
    let groups: Vec<String> = letters.chunks(4).map(|group| group.iter().collect()).collect();
    groups.join(" ")
}

/// A whole with `{name}` in it filled in.
pub fn filled(text: &str, name: &str, value: &str) -> String {
    text.replace(&format!("{{{name}}}"), value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_words() {
        let shown = when(prost_types::Timestamp { seconds: 1_800_000_000, nanos: 0 });
        assert_eq!(
            (shown.machine.as_str(), shown.text.as_str()),
            ("2027-01-15T08:00:00.000Z", "15 Jan 2027, 08:00 UTC")
        );
    }

    #[test]
    fn a_device_is_known_by_its_own_words() {
        let edge = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0 Safari/537.36 Edg/143.0";
        assert_eq!(device(edge), "Edge · Windows");
        assert_eq!(device("curl/8.5.0"), "curl/8.5.0");
        assert_eq!(device(" "), ENGLISH.unknown_device);
        assert_eq!(device(&"x".repeat(300)).len(), 80);
    }
}
