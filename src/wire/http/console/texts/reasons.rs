//! What refusals say to a person, what fields are called, and what was just done.

/// Reasons of the rpcs, and of the console itself.
const REASONS: [(&str, &str); 30] = [
    ("INVALID_ARGUMENT", "Something in this form is not as it should be. Check it and try again."),
    ("PASSWORD_REJECTED", "This password cannot be used. Choose another one."),
    ("INVALID_CREDENTIALS", "E-mail or password is wrong. Check both and try again."),
    ("INVALID_CODE", "That code is not valid. A code works once: if you have just used it, wait for the next one."),
    ("CHALLENGE_EXPIRED", "This has taken too long, or was tried too often. Start again."),
    ("UNAUTHENTICATED", "Your session has ended. Sign in again."),
    ("STEP_UP_REQUIRED", "Confirm that it is you, and try again."),
    ("ENROLLMENT_REQUIRED", "Set up a second factor first."),
    ("PERMISSION_DENIED", "This page is for administrators. Ask one of them if you need it."),
    ("USER_BLOCKED", "This account is blocked. Ask your administrator."),
    ("RATE_LIMITED", "Too many attempts. Wait a while, then try again."),
    (
        "TWO_FA_UNAVAILABLE",
        "This method is switched off, or you have as many second factors as you may. Choose another method, or replace one.",
    ),
    ("TWO_FA_NOT_ENABLED", "This account has no such second factor. Set one up first."),
    (
        "TWO_FA_REQUIRED",
        "This account must have a second factor, so the last one cannot be removed. Replace it instead.",
    ),
    ("PHONE_NUMBER_REQUIRED", "Enter the phone number that codes should go to."),
    ("SMS_NOT_CONFIGURED", "Text messages cannot be sent to this number. Use another number or an authenticator app."),
    ("SMS_DELIVERY_FAILED", "The text message could not be sent. Try again in a while, or use another method."),
    ("STORE_UNAVAILABLE", "The service cannot reach its database right now. Try again in a moment."),
    ("NOT_FOUND", "There is no such thing here, or it is gone."),
    ("ALREADY_EXISTS", "There is an account with this e-mail address already."),
    ("VERSION_MISMATCH", "Somebody has changed this in the meantime. Look at it again before you go on."),
    ("LAST_ADMIN", "This is the last administrator who can sign in. Make somebody else an administrator first."),
    ("REQUEST_TOO_LARGE", "This is too long. Shorten it and try again."),
    ("UNKNOWN_METHOD", "There is no such page."),
    ("UNSUPPORTED_MEDIA_TYPE", "The browser has sent something that is not a form."),
    ("DEADLINE_EXCEEDED", "This took too long. Try again."),
    ("INTERNAL", "Something went wrong on our side. Try again; if it happens again, tell your administrator."),
    (
        "FORM_ELSEWHERE",
        "This form was not sent by a page of this console. Open the page here, and try again. If that does not help, something on the way changes the address of the console: tell your administrator.",
    ),
    (
        "FORM_WITHOUT_COOKIE",
        "Your browser has not kept the cookie of this page. Allow cookies here, and use the https address where there is one; then reload the page, and try again.",
    ),
    (
        "FORM_EXPIRED",
        "This page was open for too long, or you have signed in or out elsewhere since. Go back, reload it, and try again.",
    ),
];

/// Fields, as proto names them, and as people do.
const FIELDS: [(&str, &str); 17] = [
    ("email", "E-mail"),
    ("notice_email", "Second e-mail"),
    ("password", "Password"),
    ("new_password", "New password"),
    ("phone_number", "Phone number"),
    ("label", "Name"),
    ("code", "Code"),
    ("reason", "Reason"),
    ("user_id", "Account"),
    ("admin_user_id", "Administrator"),
    ("allowed_methods", "Methods"),
    ("preferred_method", "Preferred method"),
    ("grace_period", "Grace for users"),
    ("admin_grace_period", "Grace for administrators"),
    ("totp_digits", "Digits in apps"),
    ("sms_digits", "Digits in text messages"),
    ("sms_code_life", "Life of a sent code"),
];

/// What a page leads on with, and what it says there.
const DEEDS: [(&str, &str); 20] = [
    ("signed_out", "You are signed out."),
    ("session_ended", "Your session has ended. Sign in to go on."),
    ("sign_in_expired", "That sign-in took too long or was tried too often. Enter your password again."),
    ("password_set", "Your password is set. Sign in with it."),
    ("password_changed", "Your password is changed. Every other session has ended."),
    ("factor_added", "The second factor is added."),
    ("factor_removed", "The second factor is removed."),
    ("codes_saved", "Your backup codes are ready. Keep them in a safe place."),
    ("session_gone", "That session has ended."),
    ("sessions_gone", "Every other session has ended."),
    ("sessions_left", "Many sessions have ended, and there are more: end all others once again."),
    ("settings_saved", "The settings are saved. Every replica goes by them within five seconds."),
    ("settings_same", "Nothing was changed, so there is nothing to save."),
    ("user_blocked", "The account is blocked, and every session of it has ended."),
    ("user_unblocked", "The account can sign in again."),
    ("user_unlocked", "Every wait of the account has ended."),
    ("user_reset", "Two-factor authentication is reset. Every session of the account has ended."),
    ("user_revoked", "Every session of the account has ended."),
    ("user_updated", "The account is changed."),
    ("user_deleted", "The account is deleted."),
];

/// What a reason says.
pub fn of_reason(reason: &str) -> Option<&'static str> {
    REASONS.iter().find(|(known, _)| *known == reason).map(|(_, text)| *text)
}

/// What is wrong with a field, with its name before it where the sentence needs one.
pub fn of_field(field: &str, description: &str) -> String {
    let last = field.rsplit('.').next().unwrap_or(field);
    let is_sentence = description.starts_with(|c: char| c.is_uppercase());
    match FIELDS.iter().find(|(known, _)| *known == last) {
        Some((_, name)) if !is_sentence => format!("{name} {description}"),
        Some(_) | None => description.to_owned(),
    }
}

/// What was just done, by the word that a page leads on with. What is none of these words says nothing.
pub fn of_deed(word: &str) -> Option<&'static str> {
    DEEDS.iter().find(|(known, _)| *known == word).map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http::reasons;

    #[test]
    fn every_reason_says_something() {
        for reason in &reasons::REASONS {
            assert!(of_reason(reason.name).is_some(), "{}", reason.name);
        }
    }

    #[test]
    fn a_field_has_its_name_before_half_a_sentence() {
        assert_eq!(of_field("user.email", "must be an address."), "E-mail must be an address.");
        assert_eq!(of_field("new_password", "It is too short."), "It is too short.");
    }
}
