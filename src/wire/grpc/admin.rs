//! `AdminService`: the rpcs. What they do with their messages stands in `users` and `settings`.

mod settings;
mod users;

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::Admitted;
use crate::{error::Error, flow::Kit, wire::pb};

/// The service.
pub struct Admin {
    kit: Arc<Kit>,
}

impl Admin {
    /// The service over a kit.
    pub fn new(kit: Arc<Kit>) -> Self {
        Self { kit }
    }
}

impl<T> Admitted<T> {
    fn answer<R>(&self, done: Result<R, Error>) -> Result<Response<R>, Status> {
        done.map(Response::new).map_err(|error| self.refuse(error))
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
        admitted.answer(done)
    }

    async fn get_user(&self, request: Request<pb::GetUserRequest>) -> Result<Response<pb::GetUserResponse>, Status> {
        let admitted = Admitted::from_request(request)?;
        let done = self.one_user(&admitted).await;
        admitted.answer(done)
    }

    async fn list_users(
        &self,
        request: Request<pb::ListUsersRequest>,
    ) -> Result<Response<pb::ListUsersResponse>, Status> {
        let admitted = Admitted::from_request(request)?;
        let done = self.users(&admitted).await;
        admitted.answer(done)
    }

    async fn update_user(
        &self,
        request: Request<pb::UpdateUserRequest>,
    ) -> Result<Response<pb::UpdateUserResponse>, Status> {
        let admitted = Admitted::from_request(request)?;
        let done = self.updated_user(&admitted).await;
        admitted.answer(done)
    }

    async fn delete_user(
        &self,
        request: Request<pb::DeleteUserRequest>,
    ) -> Result<Response<pb::DeleteUserResponse>, Status> {
        let admitted = Admitted::from_request(request)?;
        let done = self.deleted_user(&admitted).await;
        admitted.answer(done)
    }

    async fn block_user(
        &self,
        request: Request<pb::BlockUserRequest>,
    ) -> Result<Response<pb::BlockUserResponse>, Status> {
        let admitted = Admitted::from_request(request)?;
        let done = self.blocked_user(&admitted).await;
        admitted.answer(done)
    }

    async fn unblock_user(
        &self,
        request: Request<pb::UnblockUserRequest>,
    ) -> Result<Response<pb::UnblockUserResponse>, Status> {
        let admitted = Admitted::from_request(request)?;
        let done = self.unblocked_user(&admitted).await;
        admitted.answer(done)
    }

    async fn unlock_user(
        &self,
        request: Request<pb::UnlockUserRequest>,
    ) -> Result<Response<pb::UnlockUserResponse>, Status> {
        let admitted = Admitted::from_request(request)?;
        let done = self.unlocked_user(&admitted).await;
        admitted.answer(done)
    }

    async fn reset_two_fa(
        &self,
        request: Request<pb::ResetTwoFaRequest>,
    ) -> Result<Response<pb::ResetTwoFaResponse>, Status> {
        let admitted = Admitted::from_request(request)?;
        let done = self.reset(&admitted).await;
        admitted.answer(done)
    }

    async fn revoke_sessions(
        &self,
        request: Request<pb::RevokeSessionsRequest>,
    ) -> Result<Response<pb::RevokeSessionsResponse>, Status> {
        let admitted = Admitted::from_request(request)?;
        let done = self.revoked(&admitted).await;
        admitted.answer(done)
    }

    async fn issue_password_reset(
        &self,
        request: Request<pb::IssuePasswordResetRequest>,
    ) -> Result<Response<pb::IssuePasswordResetResponse>, Status> {
        let admitted = Admitted::from_request(request)?;
        let done = self.issued(&admitted).await;
        admitted.answer(done)
    }

    async fn get_settings(
        &self,
        request: Request<pb::GetSettingsRequest>,
    ) -> Result<Response<pb::GetSettingsResponse>, Status> {
        let admitted = Admitted::from_request(request)?;
        let done = self.settings(&admitted).await;
        admitted.answer(done)
    }

    async fn update_settings(
        &self,
        request: Request<pb::UpdateSettingsRequest>,
    ) -> Result<Response<pb::UpdateSettingsResponse>, Status> {
        let admitted = Admitted::from_request(request)?;
        let done = self.updated_settings(&admitted).await;
        admitted.answer(done)
    }

    async fn preview_settings(
        &self,
        request: Request<pb::PreviewSettingsRequest>,
    ) -> Result<Response<pb::PreviewSettingsResponse>, Status> {
        let admitted = Admitted::from_request(request)?;
        let done = self.previewed_settings(&admitted).await;
        admitted.answer(done)
    }

    async fn list_settings_versions(
        &self,
        request: Request<pb::ListSettingsVersionsRequest>,
    ) -> Result<Response<pb::ListSettingsVersionsResponse>, Status> {
        let admitted = Admitted::from_request(request)?;
        let done = self.settings_versions(&admitted).await;
        admitted.answer(done)
    }

    async fn get_adoption_report(
        &self,
        request: Request<pb::GetAdoptionReportRequest>,
    ) -> Result<Response<pb::GetAdoptionReportResponse>, Status> {
        let admitted = Admitted::from_request(request)?;
        let done = self.adoption(&admitted).await;
        admitted.answer(done)
    }
}
