//! Calls the rpcs in process, as the gateway does: with the session's token, and with what is known of the request. A token that has
//! run out is renewed on the way.

use std::future::Future;

use tonic::{
    Status,
    metadata::{MetadataMap, MetadataValue},
};

use super::{
    super::{gateway::InProcess, measure::carry_trace},
    cookies::Kind,
    refused::Refused,
    visit::Visit,
};
use crate::wire::pb::{
    self, admin_service_client::AdminServiceClient, session_service_client::SessionServiceClient,
    two_fa_service_client::TwoFaServiceClient,
};

/// The services.
pub struct Clients {
    /// Sign-ins and second factors.
    pub twofa: TwoFaServiceClient<InProcess>,
    /// Sessions.
    pub sessions: SessionServiceClient<InProcess>,
    /// Administration.
    pub admin: AdminServiceClient<InProcess>,
}

impl Clients {
    /// Clients of these services.
    pub fn new(services: &InProcess) -> Self {
        Self {
            twofa: TwoFaServiceClient::new(services.clone()),
            sessions: SessionServiceClient::new(services.clone()),
            admin: AdminServiceClient::new(services.clone()),
        }
    }
}

/// Calls an rpc with the token of whoever visits.
macro_rules! rpc {
    ($visit:expr, $service:ident.$rpc:ident($message:expr)) => {
        $visit.call($message, |mut clients, request| async move { clients.$service.$rpc(request).await }).await
    };
}

/// Calls an rpc that is open to all, with no token.
macro_rules! open_rpc {
    ($visit:expr, $service:ident.$rpc:ident($message:expr)) => {
        $visit.call_openly($message, |mut clients, request| async move { clients.$service.$rpc(request).await }).await
    };
}

pub(super) use {open_rpc, rpc};

impl Visit<'_> {
    /// Calls an rpc as whoever visits: with the access token of the session, or with the enrolment token of somebody who has none yet.
    pub async fn call<M, R, F, D>(&mut self, message: M, rpc: F) -> Result<R, Refused>
    where
        M: Clone,
        F: Fn(Clients, tonic::Request<M>) -> D,
        D: Future<Output = Result<tonic::Response<R>, Status>>,
    {
        if self.jar.get(Kind::Access).is_none() && self.jar.get(Kind::Refresh).is_some() {
            self.renew().await?;
        }
        let Some(token) = self.bearer() else {
            return Err(Refused::new("UNAUTHENTICATED"));
        };
        match self.call_with(message.clone(), Some(&token), &rpc).await {
            Err(refused)
                if refused.is("UNAUTHENTICATED") && !self.is_renewed && self.jar.get(Kind::Refresh).is_some() =>
            {
                self.renew().await?;
                let token = self.bearer();
                self.call_with(message, token.as_deref(), &rpc).await
            }
            answer => answer,
        }
    }

    /// Calls an rpc as nobody in particular.
    pub async fn call_openly<M, R, F, D>(&self, message: M, rpc: F) -> Result<R, Refused>
    where
        F: Fn(Clients, tonic::Request<M>) -> D,
        D: Future<Output = Result<tonic::Response<R>, Status>>,
    {
        self.call_with(message, None, &rpc).await
    }

    async fn call_with<M, R, F, D>(&self, message: M, token: Option<&str>, rpc: &F) -> Result<R, Refused>
    where
        F: Fn(Clients, tonic::Request<M>) -> D,
        D: Future<Output = Result<tonic::Response<R>, Status>>,
    {
        let request = self.request(message, token);
        Ok(rpc(Clients::new(self.services()), request).await?.into_inner())
    }

    /// A request of whoever visits.
    pub fn request<M>(&self, message: M, token: Option<&str>) -> tonic::Request<M> {
        let mut request = tonic::Request::new(message);
        let mut passed = self.passed_on.clone();
        carry_trace(&mut passed);
        *request.metadata_mut() = MetadataMap::from_headers(passed);
        let bearer = token.and_then(|token| MetadataValue::try_from(format!("Bearer {token}")).ok());
        if let Some(bearer) = bearer {
            request.metadata_mut().insert("authorization", bearer);
        }
        request.extensions_mut().insert(self.peer.clone());
        request
    }

    /// The token of whoever visits.
    pub fn bearer(&self) -> Option<String> {
        self.jar.get(Kind::Access).or_else(|| self.jar.get(Kind::Enrolment)).map(str::to_owned)
    }

    /// Renews the tokens of the session. Requests that come at once get the same successor.
    async fn renew(&mut self) -> Result<(), Refused> {
        self.is_renewed = true;
        let refresh_token = self.jar.get(Kind::Refresh).unwrap_or_default().to_owned();
        let tokens = open_rpc!(self, sessions.refresh_session(pb::RefreshSessionRequest { refresh_token }))?;
        self.keep_tokens(tokens.access_token, tokens.refresh_token, tokens.expires_in);
        Ok(())
    }
}
