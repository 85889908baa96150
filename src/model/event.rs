//! What the audit log says: one record for every change of state and every judged credential.

use crate::model::{Method, Origin, SessionId, UserId};

/// What happened. Words after OWASP's logging vocabulary where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// Callers from a source were told to wait, so many times in a minute.
    ExcessRateLimit,
    /// A sign-in was completed: a session began.
    LoginSuccess,
    /// A password was wrong, or its user unknown or blocked.
    LoginFail,
    /// A password was right; a second factor is asked for.
    ChallengeCreated,
    /// It was wrong so often in a row that there is a wait, or no end to it.
    LoginLock,
    /// A code was sent by text message.
    CodeSent,
    /// A code that was to be sent was taken by nobody.
    CodeNotSent,
    /// Four fifths of the text messages of the day are sent.
    SmsBudgetAlarm,
    /// The text messages of the day are used up: no more are sent until midnight UTC.
    SmsBudgetExhausted,
    /// A code in a call was right.
    CodeSuccess,
    /// A code was wrong.
    CodeFail,
    /// A code was right, but it had been used.
    Replay,
    /// An enrolment began.
    EnrolmentStarted,
    /// A factor was confirmed.
    FactorCreated,
    /// A factor was removed.
    FactorDeleted,
    /// A set of backup codes was made.
    BackupCodesCreated,
    /// A session was proven anew by a second factor.
    StepUp,
    /// A password was right; a factor must be enrolled before a session is given.
    EnrolmentRequired,
    /// A session was refreshed.
    SessionRenewed,
    /// The answer of a refresh was given again, to whoever had lost it.
    SessionRenewalRepeated,
    /// A refresh token was used again: its session was ended.
    TokenReuse,
    /// A session was ended by its owner.
    SessionEnded,
    /// An account was made.
    UserCreated,
    /// A password was set.
    PasswordChange,
    /// A one-time password token was issued.
    PasswordTokenCreated,
    /// The second factors of an account were reset by its operator.
    SecondFactorReset,
    /// The waits of an account were ended by its operator.
    UserUnlocked,
    /// The e-mail address of an account was changed.
    UserUpdated,
    /// The role of an account was changed.
    RoleChanged,
    /// An account was removed.
    UserDeleted,
    /// An account was blocked.
    UserBlocked,
    /// An account was let in again.
    UserUnblocked,
    /// The policy was changed.
    SettingsUpdated,
    /// So many records of the audit log were dropped, because they were old enough.
    AuditRetired,
    /// A key was made, promoted, disabled, enabled, destroyed, or wrapped another way.
    KeysChanged,
    /// A sealed value does not open: it was altered or moved, or its key is gone.
    SealedValueBroken,
    /// A restored database was fenced: nothing from before, or from what was lost, works again.
    RestoreFenced,
    /// An administrator has read something, or was refused something.
    AdminRead,
}

impl EventKind {
    /// The word in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ExcessRateLimit => "excess_rate_limit",
            Self::LoginSuccess => "authn_login_success",
            Self::LoginFail => "authn_login_fail",
            Self::ChallengeCreated => "authn_challenge_created",
            Self::LoginLock => "authn_login_lock",
            Self::CodeSent => "authn_code_sent",
            Self::CodeNotSent => "authn_code_not_sent",
            Self::SmsBudgetAlarm => "sms_budget_alarm",
            Self::SmsBudgetExhausted => "sms_budget_exhausted",
            Self::CodeSuccess => "authn_code_success",
            Self::CodeFail => "authn_code_fail",
            Self::Replay => "replay",
            Self::EnrolmentStarted => "authn_enrollment_started",
            Self::FactorCreated => "authn_factor_created",
            Self::FactorDeleted => "authn_factor_deleted",
            Self::BackupCodesCreated => "authn_backup_codes_created",
            Self::StepUp => "authn_step_up",
            Self::EnrolmentRequired => "authn_enrollment_required",
            Self::SessionRenewed => "session_renewed",
            Self::SessionRenewalRepeated => "session_renewal_repeated",
            Self::TokenReuse => "authn_token_reuse",
            Self::SessionEnded => "session_ended",
            Self::UserCreated => "user_created",
            Self::PasswordChange => "authn_password_change",
            Self::PasswordTokenCreated => "authn_token_created",
            Self::SecondFactorReset => "authn_factor_reset",
            Self::UserUnlocked => "user_unlocked",
            Self::UserUpdated => "user_updated",
            Self::RoleChanged => "privilege_permissions_changed",
            Self::UserDeleted => "user_deleted",
            Self::UserBlocked => "user_blocked",
            Self::UserUnblocked => "user_unblocked",
            Self::SettingsUpdated => "settings_updated",
            Self::AuditRetired => "audit_retired",
            Self::KeysChanged => "sys_keys_changed",
            Self::SealedValueBroken => "sys_sealed_value_broken",
            Self::RestoreFenced => "sys_restore_fenced",
            Self::AdminRead => "authz_admin",
        }
    }
}

/// The note of a right password that came from a network which no sign-in had come from.
pub const NEW_NETWORK: &str = "new network";

/// The note of backup codes that were made together with the first factor.
pub const WITH_FACTOR: &str = "with the first factor";

/// One record of the audit log, less its id and time.
pub struct Event<'a> {
    /// What happened.
    pub kind: EventKind,
    /// Whose account it happened to; None = no account is known by that name.
    pub subject: Option<UserId>,
    /// Keyed hash of the e-mail address that was typed, where one was.
    pub identifier_hash: Option<[u8; 32]>,
    /// The session that it happened to.
    pub session: Option<SessionId>,
    /// The method that was judged.
    pub method: Option<Method>,
    /// The reason of the refusal, when it was one.
    pub reason: Option<&'static str>,
    /// How often it happened, where one record stands for many; how many backup codes are left, where one was used.
    pub count: Option<i64>,
    /// Words for whoever reads it: why it was done, or what exactly.
    pub note: Option<&'a str>,
    /// Where the call came from.
    pub origin: &'a Origin,
}

impl<'a> Event<'a> {
    /// A record about an account.
    pub fn of(kind: EventKind, subject: UserId, origin: &'a Origin) -> Self {
        Self { subject: Some(subject), ..Self::about_nobody(kind, origin) }
    }

    /// A record about no account in particular.
    pub fn about_nobody(kind: EventKind, origin: &'a Origin) -> Self {
        Self {
            kind,
            subject: None,
            identifier_hash: None,
            session: None,
            method: None,
            reason: None,
            count: None,
            note: None,
            origin,
        }
    }

    /// With the session that it happened to.
    #[must_use]
    pub fn session(mut self, session: SessionId) -> Self {
        self.session = Some(session);
        self
    }

    /// With the method that was judged.
    #[must_use]
    pub fn method(mut self, method: Method) -> Self {
        self.method = Some(method);
        self
    }

    /// With words for whoever reads it; none if they are empty.
    #[must_use]
    pub fn note(mut self, note: &'a str) -> Self {
        self.note = Some(note).filter(|note| !note.is_empty());
        self
    }

    /// With the reason of the refusal.
    #[must_use]
    pub fn reason(mut self, reason: &'static str) -> Self {
        self.reason = Some(reason);
        self
    }
}
