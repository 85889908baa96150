//! What the audit log and the list of a user's own events call what has happened.

/// How an event is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// Of no weight.
    Quiet,
    /// Worth a look.
    Warn,
    /// Not as it should be.
    Bad,
}

impl Tone {
    /// The word in the style.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Quiet => "quiet",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }
}

/// Words of the audit log, and what they say.
pub const KINDS: [(&str, &str, Tone); 38] = [
    ("authn_login_success", "Signed in", Tone::Good),
    ("authn_login_fail", "Wrong password", Tone::Warn),
    ("authn_login_lock", "Too many wrong attempts: made to wait", Tone::Bad),
    ("authn_challenge_created", "Password or one-time token accepted, code asked for", Tone::Quiet),
    ("authn_enrollment_required", "Password right, set-up asked for", Tone::Quiet),
    ("authn_code_sent", "Code sent by text message", Tone::Quiet),
    ("authn_code_not_sent", "Code could not be sent", Tone::Warn),
    ("authn_code_success", "Code accepted", Tone::Good),
    ("authn_code_fail", "Wrong code", Tone::Warn),
    ("replay", "Used code entered again", Tone::Warn),
    ("authn_step_up", "Identity confirmed again", Tone::Good),
    ("authn_enrollment_started", "Set-up of a second factor begun", Tone::Quiet),
    ("authn_factor_created", "Second factor added", Tone::Good),
    ("authn_factor_deleted", "Second factor removed", Tone::Warn),
    ("authn_backup_codes_created", "Backup codes made", Tone::Quiet),
    ("authn_factor_reset", "Two-factor authentication reset", Tone::Bad),
    ("authn_password_change", "Password changed", Tone::Warn),
    ("authn_token_created", "One-time password token issued", Tone::Warn),
    ("authn_token_reuse", "Refresh token used twice: session ended", Tone::Bad),
    ("session_renewed", "Session renewed", Tone::Quiet),
    ("session_renewal_repeated", "Renewal answered again", Tone::Quiet),
    ("session_ended", "Session ended", Tone::Quiet),
    ("user_created", "Account made", Tone::Good),
    ("user_updated", "E-mail address or second e-mail changed", Tone::Warn),
    ("privilege_permissions_changed", "Role changed", Tone::Warn),
    ("user_blocked", "Account blocked", Tone::Bad),
    ("user_unblocked", "Account unblocked", Tone::Good),
    ("user_unlocked", "Waits ended", Tone::Good),
    ("user_deleted", "Account deleted", Tone::Bad),
    ("settings_updated", "Settings changed", Tone::Warn),
    ("authz_admin", "Read by an administrator", Tone::Quiet),
    ("excess_rate_limit", "Callers told to wait", Tone::Warn),
    ("sms_budget_alarm", "Four fifths of the day's text messages sent", Tone::Warn),
    ("sms_budget_exhausted", "Text messages of the day used up", Tone::Bad),
    ("audit_retired", "Old audit records dropped", Tone::Quiet),
    ("sys_keys_changed", "Keys changed", Tone::Warn),
    ("sys_sealed_value_broken", "A sealed value does not open", Tone::Bad),
    ("sys_restore_fenced", "Restored database fenced: all sessions ended", Tone::Warn),
];

/// What a word says; None = it is one of another release.
pub fn of_kind(word: &str) -> (Option<&'static str>, Tone) {
    let known = KINDS.iter().find(|(known, _, _)| *known == word);
    known.map_or((None, Tone::Quiet), |(_, text, tone)| (Some(text), *tone))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the words are that the service writes.
    const SOURCE: &str = include_str!("../../../../model/event.rs");

    #[test]
    fn every_word_of_the_log_says_something_and_no_other() {
        let arms = SOURCE.lines().filter_map(|line| line.trim().strip_prefix("Self::")?.split_once(" => \""));
        let mut written: Vec<_> = arms.filter_map(|(_, word)| word.strip_suffix("\",")).collect();
        let mut known: Vec<_> = KINDS.iter().map(|(word, _, _)| *word).collect();
        assert!(written.len() > 30, "{written:?}");
        written.sort_unstable();
        known.sort_unstable();
        assert_eq!(written, known, "what has no words here is hidden by the filter of the audit log");
    }
}
