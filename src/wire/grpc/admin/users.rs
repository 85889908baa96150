//! Accounts, for administrators.

use super::Admin;
use crate::{
    error::{Error, Refusal},
    flow::{
        Page,
        admin::{self, MethodLock, SeenUser, UpdateUserRequest},
    },
    model::{Email, PhoneNumber, Role},
    secret::Secret,
    store::AccountFilter,
    wire::{
        grpc::{
            Admitted,
            convert::{self, method, needed, role, timestamp},
            session,
        },
        pb,
    },
};

impl Admin {
    pub(super) async fn made_user(
        &self,
        admitted: &mut Admitted<pb::CreateUserRequest>,
    ) -> Result<pb::CreateUserResponse, Error> {
        let message = std::mem::take(&mut admitted.message);
        let password = Secret::new(message.password);
        let user = message.user.ok_or_else(|| Refusal::field("user", "must say what to make: user.email at least."))?;
        if user.blocked || !user.user_id.is_empty() {
            let field = if user.blocked { "user.blocked" } else { "user.user_id" };
            return Err(Refusal::field(field, "is not taken by this call: leave it out.").into());
        }
        let request = admin::CreateUserRequest {
            role: role("user.role", user.role)?.unwrap_or(Role::User),
            email: user.email,
            phone_number: user.phone_number,
            notice_email: user.notice_email,
            password,
            request_id: message.request_id,
        };
        let created = admin::create_user(&self.kit, admitted.admin()?, &request, &admitted.call).await?;
        let (token, end_time) = created.token.unzip();
        Ok(pb::CreateUserResponse {
            user: Some(shown(created.user)),
            password_token: token.map(|token| token.expose().clone()).unwrap_or_default(),
            password_token_expire_time: end_time.map(timestamp),
        })
    }

    pub(super) async fn one_user(&self, admitted: &Admitted<pb::GetUserRequest>) -> Result<pb::GetUserResponse, Error> {
        let user = needed("user_id", &admitted.message.user_id)?;
        let (user, locks) = admin::read_user(&self.kit, user, &admitted.call).await?;
        Ok(pb::GetUserResponse { user: Some(shown(user)), locks: locks.into_iter().map(lock).collect() })
    }

    pub(super) async fn users(
        &self,
        admitted: &Admitted<pb::ListUsersRequest>,
    ) -> Result<pb::ListUsersResponse, Error> {
        let message = &admitted.message;
        let page = Page::of(message.page_size, &message.page_token)?;
        let filter = AccountFilter {
            email_part: Email::part(&message.search).map_err(|problem| Refusal::field("search", problem))?,
            role: role("role", message.role)?,
            blocked: message.blocked,
            has_factor: message.enrolled,
            method: method(message.method)?,
        };
        let (users, next) = admin::read_users(&self.kit, &filter, page, &admitted.call).await?;
        Ok(pb::ListUsersResponse {
            users: users.into_iter().map(shown).collect(),
            next_page_token: next.map(|id| id.to_string()).unwrap_or_default(),
        })
    }

    pub(super) async fn sessions_of_user(
        &self,
        admitted: &Admitted<pb::ListUserSessionsRequest>,
    ) -> Result<pb::ListUserSessionsResponse, Error> {
        let message = &admitted.message;
        let user = needed("user_id", &message.user_id)?;
        let page = Page::of(message.page_size, &message.page_token)?;
        let page = admin::read_user_sessions(&self.kit, user, page, &admitted.call).await?;
        let current = admitted.admin()?.session;
        Ok(pb::ListUserSessionsResponse {
            sessions: page.sessions.into_iter().map(|details| session::shown(details, current)).collect(),
            next_page_token: page.next.map(|id| id.to_string()).unwrap_or_default(),
        })
    }

    pub(super) async fn updated_user(
        &self,
        admitted: &Admitted<pb::UpdateUserRequest>,
    ) -> Result<pb::UpdateUserResponse, Error> {
        let request = update(&admitted.message)?;
        let user = admin::update_user(&self.kit, admitted.admin()?, &request, &admitted.call).await?;
        Ok(pb::UpdateUserResponse { user: Some(shown(user)) })
    }

    pub(super) async fn deleted_user(
        &self,
        admitted: &Admitted<pb::DeleteUserRequest>,
    ) -> Result<pb::DeleteUserResponse, Error> {
        let user = needed("user_id", &admitted.message.user_id)?;
        let (etag, reason) = (&admitted.message.etag, convert::reason(&admitted.message.reason)?);
        admin::delete_user(&self.kit, admitted.admin()?, user, etag, reason, &admitted.call).await?;
        Ok(pb::DeleteUserResponse {})
    }

    pub(super) async fn blocked_user(
        &self,
        admitted: &Admitted<pb::BlockUserRequest>,
    ) -> Result<pb::BlockUserResponse, Error> {
        let user = needed("user_id", &admitted.message.user_id)?;
        let reason = convert::reason(&admitted.message.reason)?;
        let user = admin::block_user(&self.kit, admitted.admin()?, user, reason, &admitted.call).await?;
        Ok(pb::BlockUserResponse { user: Some(shown(user)) })
    }

    pub(super) async fn unblocked_user(
        &self,
        admitted: &Admitted<pb::UnblockUserRequest>,
    ) -> Result<pb::UnblockUserResponse, Error> {
        let user = needed("user_id", &admitted.message.user_id)?;
        let reason = convert::reason(&admitted.message.reason)?;
        let user = admin::unblock_user(&self.kit, admitted.admin()?, user, reason, &admitted.call).await?;
        Ok(pb::UnblockUserResponse { user: Some(shown(user)) })
    }

    pub(super) async fn unlocked_user(
        &self,
        admitted: &Admitted<pb::UnlockUserRequest>,
    ) -> Result<pb::UnlockUserResponse, Error> {
        let user = needed("user_id", &admitted.message.user_id)?;
        let reason = convert::reason(&admitted.message.reason)?;
        admin::unlock(&self.kit, admitted.admin()?, user, reason, &admitted.call).await?;
        Ok(pb::UnlockUserResponse {})
    }

    pub(super) async fn reset(
        &self,
        admitted: &Admitted<pb::ResetTwoFaRequest>,
    ) -> Result<pb::ResetTwoFaResponse, Error> {
        let user = needed("user_id", &admitted.message.user_id)?;
        let reason = convert::reason(&admitted.message.reason)?;
        let removed = admin::reset_two_fa(&self.kit, admitted.admin()?, user, reason, &admitted.call).await?;
        Ok(pb::ResetTwoFaResponse { removed_factors: i32::try_from(removed).unwrap_or(i32::MAX) })
    }

    pub(super) async fn revoked(
        &self,
        admitted: &Admitted<pb::RevokeSessionsRequest>,
    ) -> Result<pb::RevokeSessionsResponse, Error> {
        let user = needed("user_id", &admitted.message.user_id)?;
        let reason = convert::reason(&admitted.message.reason)?;
        let ended = admin::revoke_sessions(&self.kit, admitted.admin()?, user, reason, &admitted.call).await?;
        Ok(pb::RevokeSessionsResponse { ended_sessions: i32::try_from(ended).unwrap_or(i32::MAX) })
    }

    pub(super) async fn issued(
        &self,
        admitted: &Admitted<pb::IssuePasswordResetRequest>,
    ) -> Result<pb::IssuePasswordResetResponse, Error> {
        let user = needed("user_id", &admitted.message.user_id)?;
        let reason = convert::reason(&admitted.message.reason)?;
        let (token, end_time) =
            admin::issue_password_reset(&self.kit, admitted.admin()?, user, reason, &admitted.call).await?;
        Ok(pb::IssuePasswordResetResponse {
            password_token: token.expose().clone(),
            expire_time: Some(timestamp(end_time)),
        })
    }
}

/// What an update asks for: the fields of the mask, or without one those that are set.
fn update(message: &pb::UpdateUserRequest) -> Result<UpdateUserRequest, Refusal> {
    let user = message.user.as_ref().ok_or_else(|| Refusal::field("user", "must name the account: user.user_id."))?;
    let paths = message.update_mask.as_ref().map(|mask| mask.paths.as_slice()).unwrap_or_default();
    if let Some(unknown) = paths.iter().find(|path| !["email", "notice_email", "role", "*"].contains(&path.as_str())) {
        let problem = format!(
            "names {:?}, which is not changed by this call: email, notice_email and role are.",
            shortened(unknown)
        );
        return Err(Refusal::field("update_mask", problem));
    }
    let is_meant = |name: &str, is_set: bool| match paths {
        [] => is_set,
        paths => paths.iter().any(|path| path == name || path == "*"),
    };
    if paths.is_empty() && user.email.is_empty() && user.notice_email.is_empty() && user.role == 0 {
        return Err(Refusal::field("user", "must hold what is to be changed: email, notice_email, role."));
    }
    let is_whole = paths.is_empty() || paths.iter().any(|path| path == "*");
    let role = role("user.role", user.role)?;
    let has_role = is_meant("role", role.is_some());
    if has_role && role.is_none() {
        return Err(Refusal::field("user.role", "must be ROLE_USER or ROLE_ADMIN."));
    }
    Ok(UpdateUserRequest {
        user: needed("user.user_id", &user.user_id)?,
        etag: user.etag.clone(),
        email: is_meant("email", !user.email.is_empty()).then(|| user.email.clone()),
        notice_email: is_meant("notice_email", !user.notice_email.is_empty()).then(|| user.notice_email.clone()),
        role: role.filter(|_| has_role),
        // With a mask whatever it does not name is not meant.
        blocked: is_whole && user.blocked,
        phone_number: if is_whole { user.phone_number.clone() } else { String::new() },
    })
}

/// A name as it can be told back.
pub(super) fn shortened(name: &str) -> String {
    name.chars().take(64).collect()
}

fn shown(user: SeenUser) -> pb::User {
    let SeenUser { account, factors, backup_codes_remaining, etag } = user;
    pb::User {
        user_id: account.id.to_string(),
        email: account.email.typed().to_owned(),
        role: pb::Role::from(account.role).into(),
        phone_number: account.phone.as_ref().map(PhoneNumber::masked).unwrap_or_default(),
        notice_email: account.notice_email.as_ref().map(|email| email.typed().to_owned()).unwrap_or_default(),
        blocked: account.blocked,
        password_set: account.password_hash.is_some(),
        create_time: Some(timestamp(account.create_time)),
        factors: factors.into_iter().map(convert::factor).collect(),
        backup_codes_remaining: convert::count(backup_codes_remaining),
        etag,
    }
}

fn lock(lock: MethodLock) -> pb::MethodLock {
    pb::MethodLock {
        method: pb::Method::from(lock.method).into(),
        failures: i32::try_from(lock.failures).unwrap_or(i32::MAX),
        end_time: lock.end_time.map(timestamp),
    }
}
