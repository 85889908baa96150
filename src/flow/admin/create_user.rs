//! Makes an account for an administrator: with a password, or with a token to set one.

use std::time::Duration;

use super::{
    SeenUser, begin, begin_alone, record_read,
    user::{issue_password_reset, seen},
};
use crate::{
    clock::Timestamp,
    error::{Error, Refusal},
    factor::password::{Names, Password},
    flow::{
        Call, Kit, PASSWORD_TOKEN_LIFE,
        again::again,
        issue_password_token::{self, NewToken},
    },
    model::{Account, Email, Event, EventKind, PasswordHash, PhoneNumber, Principal, Role, UserId},
    secret::{self, Secret},
    store::CreateRequest,
    swap::Swap,
};

/// For so long a request may come again.
const REPEATABLE: Duration = Duration::from_secs(24 * 60 * 60);
const ID_CHARACTERS: usize = 64;

/// An account that is to be made.
pub struct CreateUserRequest {
    /// Its e-mail address.
    pub email: String,
    /// Its role.
    pub role: Role,
    /// Its phone number; may be empty.
    pub phone_number: String,
    /// Its second address; may be empty.
    pub notice_email: String,
    /// Its password; empty = none.
    pub password: Secret<String>,
    /// The caller's name for the request; may be empty.
    pub request_id: String,
}

/// An account that was made.
pub struct Created {
    /// The account.
    pub user: SeenUser,
    /// A password token and its end, where no password is set.
    pub token: Option<(Secret<String>, Timestamp)>,
}

/// What a request asks for, once it is understood.
struct Wanted {
    email: Email,
    role: Role,
    phone: Option<PhoneNumber>,
    notice_email: Option<Email>,
    hash: Option<PasswordHash>,
}

/// A request that may come again: hashes of who has sent it under which name, and of what it asks for.
struct Repeatable {
    name: [u8; 32],
    content: [u8; 32],
}

/// Makes an account. The same request by the same administrator makes one account, however often it comes.
#[tracing::instrument(target = "countersign::span", skip_all)]
pub async fn create_user(
    kit: &Kit,
    admin: &Principal,
    request: &CreateUserRequest,
    call: &Call,
) -> Result<Created, Error> {
    let email = Email::parse(&request.email).map_err(|problem| Refusal::field("user.email", problem))?;
    let phone = phone(kit, &request.phone_number)?;
    let notice_email = notice_email(&request.notice_email)?;
    if notice_email.as_ref().is_some_and(|second| second.canonical() == email.canonical()) {
        return Err(same_address().into());
    }
    let repeatable = repeatable(kit, admin.user, request, &email, phone.as_ref())?;
    if let Some(created) = repeated(kit, admin, repeatable.as_ref(), call).await? {
        return Ok(created);
    }
    let hash = match request.password.expose().is_empty() {
        true => None,
        false => {
            let names = Names { service: &kit.service_name, email: &email };
            Some(Password::parse_new("password", &request.password, &names)?.hash(&kit.hasher).await?)
        }
    };
    let wanted = Wanted { email, role: request.role, phone, notice_email, hash };
    let token = NewToken::make()?;
    match again(|| make(kit, admin, &wanted, repeatable.as_ref(), &token, call)).await? {
        Some(user) => {
            let token = wanted.hash.is_none().then(|| (token.to_text(), call.now.plus(PASSWORD_TOKEN_LIFE)));
            Ok(Created { user: seen(kit, user).await?, token })
        }
        None => Ok(repeated(kit, admin, repeatable.as_ref(), call).await?.ok_or(Refusal::NotFound)?),
    }
}

/// Makes it; None when the request has come before.
async fn make(
    kit: &Kit,
    admin: &Principal,
    wanted: &Wanted,
    repeatable: Option<&Repeatable>,
    token: &NewToken,
    call: &Call,
) -> Result<Option<UserId>, Error> {
    let user = UserId::new(call.now);
    let tx = match wanted.role {
        Role::Admin => begin_alone(kit, admin, call).await?,
        Role::User => begin(kit, admin, call).await?,
    };
    if let Some(Repeatable { name, content }) = repeatable {
        let end_time = call.now.plus(REPEATABLE);
        let request = CreateRequest { hash: *name, content: *content, user, end_time };
        if tx.insert_create_request(&request, call.now).await? == Swap::Stale {
            tx.roll_back().await?;
            return Ok(None);
        }
    }
    let account = Account {
        id: user,
        email: wanted.email.clone(),
        role: wanted.role,
        blocked: false,
        security_version: 1,
        password_hash: wanted.hash.as_ref().map(|hash| Secret::new(hash.expose().clone())),
        phone: wanted.phone.clone(),
        notice_email: wanted.notice_email.clone(),
        create_time: call.now,
        role_time: call.now,
    };
    if tx.insert_account(&account).await? == Swap::Stale {
        return Err(Refusal::AlreadyExists.into());
    }
    let event = Event::of(EventKind::UserCreated, user, &call.origin).note(wanted.role.as_str());
    tx.record(&event, call.now).await?;
    if wanted.hash.is_none() {
        issue_password_token::keep(&tx, user, token, "", call).await?;
    }
    tx.commit().await?;
    Ok(Some(user))
}

/// Answers a request that has come before. The token of the first answer is known to nobody here: a new one takes its place.
async fn repeated(
    kit: &Kit,
    admin: &Principal,
    repeatable: Option<&Repeatable>,
    call: &Call,
) -> Result<Option<Created>, Error> {
    let Some(Repeatable { name, content }) = repeatable else {
        return Ok(None);
    };
    let Some((known, user)) = kit.store.find_create_request(name, call.now).await? else {
        return Ok(None);
    };
    if known != content {
        return Err(Refusal::field("request_id", "was sent with another request. Choose a new one.").into());
    }
    let user = seen(kit, user).await?;
    let token = match user.account.password_hash {
        Some(_) => {
            record_read(kit, "CreateUser came again", Some(user.account.id), call).await?;
            None
        }
        None => Some(issue_password_reset(kit, admin, user.account.id, "CreateUser came again", call).await?),
    };
    Ok(Some(Created { user, token }))
}

/// A second address; None = there is none.
pub(super) fn notice_email(text: &str) -> Result<Option<Email>, Refusal> {
    let email = (!text.is_empty()).then(|| Email::parse(text)).transpose();
    let email = email.map_err(|problem| Refusal::field("user.notice_email", problem))?;
    match email {
        Some(email) if !crate::mail::is_mailable(&email.mailable()) => {
            Err(Refusal::field("user.notice_email", "must be an address that mail can be sent to."))
        }
        email => Ok(email),
    }
}

/// Two addresses are two.
pub(super) fn same_address() -> Refusal {
    Refusal::field("user.notice_email", "must be another address than the one of the sign-in.")
}

fn phone(kit: &Kit, text: &str) -> Result<Option<PhoneNumber>, Refusal> {
    if text.is_empty() {
        return Ok(None);
    }
    let parsed = match &kit.sms {
        Some(sms) => sms.parse(text),
        None => crate::sms::parse(text).map(|(number, _)| number),
    };
    parsed.map(Some).map_err(|problem| Refusal::field("user.phone_number", problem.text()))
}

/// None = the request has no name.
fn repeatable(
    kit: &Kit,
    admin: UserId,
    request: &CreateUserRequest,
    email: &Email,
    phone: Option<&PhoneNumber>,
) -> Result<Option<Repeatable>, Error> {
    let id = request.request_id.as_str();
    if id.is_empty() {
        return Ok(None);
    }
    let is_plain = id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if id.len() > ID_CHARACTERS || !is_plain {
        return Err(Refusal::field("request_id", "must be 1 to 64 letters, digits, \"-\", \"_\" and \".\".").into());
    }
    let name = kit.ring.index("create request", &[admin.bytes().as_slice(), id.as_bytes()].concat())?;
    // Not the password: nothing that could be tried against a list is kept of it.
    let has_password = !request.password.expose().is_empty();
    let number = phone.map(PhoneNumber::expose).unwrap_or_default();
    let mut content = format!("{} {number} {has_password} {}", request.role.as_str(), email.typed());
    if !request.notice_email.is_empty() {
        content = format!("{content} {}", request.notice_email);
    }
    let content = secret::fingerprint(&kit.ring.index("create request content", content.as_bytes())?);
    Ok(Some(Repeatable { name, content }))
}
