//! `AdminService`: the rpcs. What they do with their messages stands in `users` and `settings`.

mod audit;
mod operation;
mod settings;
mod users;

use std::sync::Arc;

use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status};

use super::Admitted;
use crate::{
    clock::Clock,
    error::{Error, Refusal},
    flow::{Kit, admin},
    wire::pb,
};

/// The service.
pub struct Admin {
    kit: Arc<Kit>,
    clock: Arc<dyn Clock>,
    stopped: watch::Receiver<bool>,
    watchers: Arc<Semaphore>,
    following: TaskTracker,
}

impl Admin {
    /// The service over a kit; what it streams ends when `stopped` is set, and so do its tasks.
    pub fn new(kit: Arc<Kit>, clock: Arc<dyn Clock>, stopped: watch::Receiver<bool>, following: TaskTracker) -> Self {
        Self { kit, clock, stopped, watchers: Arc::new(Semaphore::new(audit::WATCHERS)), following }
    }
}

impl Admin {
    /// Answers a call. A refusal of what was well-formed is recorded: what an administrator has tried is worth to be known.
    async fn answer<T, R>(
        &self,
        admitted: &Admitted<T>,
        (what, subject): (&str, Option<&str>),
        done: Result<R, Error>,
    ) -> Result<Response<R>, Status> {
        let error = match done {
            Ok(answer) => return Ok(Response::new(answer)),
            Err(error) => error,
        };
        if let Error::Refused(refusal) = &error
            && !matches!(refusal, Refusal::InvalidArgument(_) | Refusal::PasswordRejected { .. })
        {
            let subject = subject.and_then(|id| id.parse().ok());
            let recorded = admin::record_refusal(&self.kit, what, subject, refusal, &admitted.call).await;
            recorded.map_err(|error| admitted.refuse(error))?;
        }
        Err(admitted.refuse(error))
    }
}

#[tonic::async_trait]
impl pb::admin_service_server::AdminService for Admin {
    async fn create_user(
        &self,
        request: Request<pb::CreateUserRequest>,
    ) -> Result<Response<pb::CreateUserResponse>, Status> {
        let mut admitted = Admitted::from_request(request)?;
        let done = self.made_user(&mut admitted).await;
        self.answer(&admitted, ("CreateUser", None), done).await
    }

    async fn get_user(&self, request: Request<pb::GetUserRequest>) -> Result<Response<pb::GetUserResponse>, Status> {
        let admitted = Admitted::from_request(request)?;
        let done = self.one_user(&admitted).await;
        self.answer(&admitted, ("GetUser", Some(&admitted.message.user_id)), done).await
    }

    async fn list_users(
        &self,
        request: Request<pb::ListUsersRequest>,
    ) -> Result<Response<pb::ListUsersResponse>, Status> {
        let admitted = Admitted::from_request(request)?;
        let done = self.users(&admitted).await;
        self.answer(&admitted, ("ListUsers", None), done).await
    }

    async fn list_user_sessions(
        &self,
        request: Request<pb::ListUserSessionsRequest>,
    ) -> Result<Response<pb::ListUserSessionsResponse>, Status> {
        let admitted = Admitted::from_request(request)?;
        let done = self.sessions_of_user(&admitted).await;
        self.answer(&admitted, ("ListUserSessions", Some(&admitted.message.user_id)), done).await
    }

    async fn update_user(
        &self,
        request: Request<pb::UpdateUserRequest>,
    ) -> Result<Response<pb::UpdateUserResponse>, Status> {
        let admitted = Admitted::from_request(request)?;
        let done = self.updated_user(&admitted).await;
        self.answer(&admitted, ("UpdateUser", admitted.message.user.as_ref().map(|user| user.user_id.as_str())), done)
            .await
    }

    async fn delete_user(
        &self,
        request: Request<pb::DeleteUserRequest>,
    ) -> Result<Response<pb::DeleteUserResponse>, Status> {
        let admitted = Admitted::from_request(request)?;
        let done = self.deleted_user(&admitted).await;
        self.answer(&admitted, ("DeleteUser", Some(&admitted.message.user_id)), done).await
    }

    async fn block_user(
        &self,
        request: Request<pb::BlockUserRequest>,
    ) -> Result<Response<pb::BlockUserResponse>, Status> {
        let admitted = Admitted::from_request(request)?;
        let done = self.blocked_user(&admitted).await;
        self.answer(&admitted, ("BlockUser", Some(&admitted.message.user_id)), done).await
    }

    async fn unblock_user(
        &self,
        request: Request<pb::UnblockUserRequest>,
    ) -> Result<Response<pb::UnblockUserResponse>, Status> {
        let admitted = Admitted::from_request(request)?;
        let done = self.unblocked_user(&admitted).await;
        self.answer(&admitted, ("UnblockUser", Some(&admitted.message.user_id)), done).await
    }

    async fn unlock_user(
        &self,
        request: Request<pb::UnlockUserRequest>,
    ) -> Result<Response<pb::UnlockUserResponse>, Status> {
        let admitted = Admitted::from_request(request)?;
        let done = self.unlocked_user(&admitted).await;
        self.answer(&admitted, ("UnlockUser", Some(&admitted.message.user_id)), done).await
    }

    async fn reset_two_fa(
        &self,
        request: Request<pb::ResetTwoFaRequest>,
    ) -> Result<Response<pb::ResetTwoFaResponse>, Status> {
        let admitted = Admitted::from_request(request)?;
        let done = self.reset(&admitted).await;
        self.answer(&admitted, ("ResetTwoFa", Some(&admitted.message.user_id)), done).await
    }

    async fn revoke_sessions(
        &self,
        request: Request<pb::RevokeSessionsRequest>,
    ) -> Result<Response<pb::RevokeSessionsResponse>, Status> {
        let admitted = Admitted::from_request(request)?;
        let done = self.revoked(&admitted).await;
        self.answer(&admitted, ("RevokeSessions", Some(&admitted.message.user_id)), done).await
    }

    async fn issue_password_reset(
        &self,
        request: Request<pb::IssuePasswordResetRequest>,
    ) -> Result<Response<pb::IssuePasswordResetResponse>, Status> {
        let admitted = Admitted::from_request(request)?;
        let done = self.issued(&admitted).await;
        self.answer(&admitted, ("IssuePasswordReset", Some(&admitted.message.user_id)), done).await
    }

    async fn get_settings(
        &self,
        request: Request<pb::GetSettingsRequest>,
    ) -> Result<Response<pb::GetSettingsResponse>, Status> {
        let admitted = Admitted::from_request(request)?;
        let done = self.settings(&admitted).await;
        self.answer(&admitted, ("GetSettings", None), done).await
    }

    async fn update_settings(
        &self,
        request: Request<pb::UpdateSettingsRequest>,
    ) -> Result<Response<pb::UpdateSettingsResponse>, Status> {
        let admitted = Admitted::from_request(request)?;
        let done = self.updated_settings(&admitted).await;
        self.answer(&admitted, ("UpdateSettings", None), done).await
    }

    async fn preview_settings(
        &self,
        request: Request<pb::PreviewSettingsRequest>,
    ) -> Result<Response<pb::PreviewSettingsResponse>, Status> {
        let admitted = Admitted::from_request(request)?;
        let done = self.previewed_settings(&admitted).await;
        self.answer(&admitted, ("PreviewSettings", None), done).await
    }

    async fn list_settings_versions(
        &self,
        request: Request<pb::ListSettingsVersionsRequest>,
    ) -> Result<Response<pb::ListSettingsVersionsResponse>, Status> {
        let admitted = Admitted::from_request(request)?;
        let done = self.settings_versions(&admitted).await;
        self.answer(&admitted, ("ListSettingsVersions", None), done).await
    }

    async fn get_adoption_report(
        &self,
        request: Request<pb::GetAdoptionReportRequest>,
    ) -> Result<Response<pb::GetAdoptionReportResponse>, Status> {
        let admitted = Admitted::from_request(request)?;
        let done = self.adoption(&admitted).await;
        self.answer(&admitted, ("GetAdoptionReport", None), done).await
    }

    async fn get_sms_usage(
        &self,
        request: Request<pb::GetSmsUsageRequest>,
    ) -> Result<Response<pb::GetSmsUsageResponse>, Status> {
        let admitted = Admitted::from_request(request)?;
        let done = self.sms_usage(&admitted).await;
        self.answer(&admitted, ("GetSmsUsage", None), done).await
    }

    async fn list_keys(&self, request: Request<pb::ListKeysRequest>) -> Result<Response<pb::ListKeysResponse>, Status> {
        let admitted = Admitted::from_request(request)?;
        let done = self.keys(&admitted).await;
        self.answer(&admitted, ("ListKeys", None), done).await
    }

    async fn list_audit_events(
        &self,
        request: Request<pb::ListAuditEventsRequest>,
    ) -> Result<Response<pb::ListAuditEventsResponse>, Status> {
        let admitted = Admitted::from_request(request)?;
        let done = self.audit_events(&admitted).await;
        self.answer(&admitted, ("ListAuditEvents", None), done).await
    }

    type WatchAuditEventsStream = audit::Records;

    async fn watch_audit_events(
        &self,
        request: Request<pb::WatchAuditEventsRequest>,
    ) -> Result<Response<audit::Records>, Status> {
        let admitted = Admitted::from_request(request)?;
        let done = self.followed_audit_events(&admitted).await;
        self.answer(&admitted, ("WatchAuditEvents", None), done).await
    }
}
