//! The block list: passwords that are common in leaks. Where they come from stands in `common_passwords.md`.

/// One a line, sorted by bytes, in lower case.
const LIST: &str = include_str!("common_passwords.txt");

/// Whether a password, in lower case, is on the list.
pub fn contains(password: &str) -> bool {
    let (mut low, mut high) = (0, LIST.len());
    // Between the two lies the line, if it is there; both always stand at the beginning of one.
    while low < high {
        let middle = low + (high - low) / 2;
        let begin = LIST.as_bytes()[low..middle].iter().rposition(|b| *b == b'\n').map_or(low, |at| low + at + 1);
        let end = LIST.as_bytes()[begin..high].iter().position(|b| *b == b'\n').map_or(high, |at| begin + at);
        match LIST.as_bytes()[begin..end].cmp(password.as_bytes()) {
            std::cmp::Ordering::Equal => return true,
            std::cmp::Ordering::Less => low = (end + 1).min(high),
            std::cmp::Ordering::Greater => high = begin,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_long_and_every_line_of_it_is_found() {
        let lines: Vec<_> = LIST.lines().collect();
        assert!(lines.len() >= 100_000, "{}", lines.len());
        assert!(lines.windows(2).all(|pair| pair[0] < pair[1]), "sorted by bytes, each once");
        assert!(lines.iter().all(|line| contains(line)));
    }

    #[test]
    fn what_is_not_on_the_list_is_not_found() {
        for line in LIST.lines().step_by(97) {
            assert!(!contains(&format!("{line} ")) && !contains(&line[1..line.len() - 1].repeat(3)));
        }
        for other in ["", "\n", "~~~~~~~~~~~~~~~~", "!", "correct horse battery staple"] {
            assert!(!contains(other), "{other:?}");
        }
    }
}
