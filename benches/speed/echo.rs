//! An empty server: the same messages, nothing behind them. What a call costs before Countersign does anything.

use std::net::Ipv4Addr;

use countersign::wire::pb::{self, session_service_server as server};
use tonic::{Request, Response, Status, transport::Server};

struct Empty;

/// Serves until it is killed.
pub async fn serve(port: u16) {
    let service = server::SessionServiceServer::new(Empty);
    Server::builder().add_service(service).serve((Ipv4Addr::LOCALHOST, port).into()).await.unwrap();
}

fn nothing<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("empty"))
}

#[tonic::async_trait]
impl server::SessionService for Empty {
    async fn validate_access_token(
        &self,
        _: Request<pb::ValidateAccessTokenRequest>,
    ) -> Result<Response<pb::ValidateAccessTokenResponse>, Status> {
        Ok(Response::new(pb::ValidateAccessTokenResponse::default()))
    }

    async fn refresh_session(
        &self,
        _: Request<pb::RefreshSessionRequest>,
    ) -> Result<Response<pb::RefreshSessionResponse>, Status> {
        nothing()
    }

    async fn end_session(&self, _: Request<pb::EndSessionRequest>) -> Result<Response<pb::EndSessionResponse>, Status> {
        nothing()
    }

    async fn get_jwks(&self, _: Request<pb::GetJwksRequest>) -> Result<Response<pb::GetJwksResponse>, Status> {
        nothing()
    }

    async fn list_sessions(
        &self,
        _: Request<pb::ListSessionsRequest>,
    ) -> Result<Response<pb::ListSessionsResponse>, Status> {
        nothing()
    }

    async fn delete_session(
        &self,
        _: Request<pb::DeleteSessionRequest>,
    ) -> Result<Response<pb::DeleteSessionResponse>, Status> {
        nothing()
    }

    async fn list_security_events(
        &self,
        _: Request<pb::ListSecurityEventsRequest>,
    ) -> Result<Response<pb::ListSecurityEventsResponse>, Status> {
        nothing()
    }

    async fn change_password(
        &self,
        _: Request<pb::ChangePasswordRequest>,
    ) -> Result<Response<pb::ChangePasswordResponse>, Status> {
        nothing()
    }

    async fn set_password(
        &self,
        _: Request<pb::SetPasswordRequest>,
    ) -> Result<Response<pb::SetPasswordResponse>, Status> {
        nothing()
    }

    async fn get_current_user(
        &self,
        _: Request<pb::GetCurrentUserRequest>,
    ) -> Result<Response<pb::GetCurrentUserResponse>, Status> {
        nothing()
    }
}
