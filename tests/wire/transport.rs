//! What the transport does: every error has a reason, also those that no verb has made.

use std::time::Duration;

use countersign::wire::pb::{
    self, session_service_client::SessionServiceClient, two_fa_service_client::TwoFaServiceClient,
};
use http::uri::PathAndQuery;
use prost_reflect::DescriptorPool;
use tonic::{
    Code, Request, Status,
    client::Grpc,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_prost::ProstCodec;
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use crate::world::{ALICE, PASSWORD, World, reason, refusal};

/// Clients that speak gRPC, which these stories are about.
fn sessions(world: &World) -> SessionServiceClient<Channel> {
    SessionServiceClient::new(world.channel.clone())
}

fn twofa(world: &World) -> TwoFaServiceClient<Channel> {
    TwoFaServiceClient::new(world.channel.clone())
}

async fn call(world: &World, path: &'static str, message: prost_types::Any) -> Result<(), Status> {
    let mut client = Grpc::new(world.channel.clone());
    client.ready().await.unwrap();
    let codec: ProstCodec<prost_types::Any, prost_types::Any> = ProstCodec::default();
    client.unary(Request::new(message), PathAndQuery::from_static(path), codec).await.map(|_| ())
}

#[tokio::test]
async fn an_unknown_rpc_or_service_has_a_reason() {
    let world = World::new().await;
    for path in
        ["/countersign.v1.TwoFaService/Nope", "/nope.v1.Nope/Nope", "/", "/countersign.v1.TwoFaService/localauth"]
    {
        let (code, details) = refusal(call(&world, path, prost_types::Any::default()).await);
        assert_eq!(
            (code, details.error_info().unwrap().reason.as_str()),
            (Code::Unimplemented, "UNKNOWN_METHOD"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn bytes_that_are_no_message_have_a_reason() {
    let world = World::new().await;
    // Field 1 of this message is text, and the bytes are not UTF-8.
    let message = prost_types::Any { type_url: String::new(), value: vec![] };
    assert_eq!(reason(call(&world, "/countersign.v1.TwoFaService/LocalAuth", message).await), "INVALID_ARGUMENT");
    let mut client = Grpc::new(world.channel.clone());
    client.ready().await.unwrap();
    let codec: ProstCodec<Garbage, ()> = ProstCodec::default();
    let path = PathAndQuery::from_static("/countersign.v1.TwoFaService/LocalAuth");
    let refused = client.unary(Request::new(Garbage { field: vec![0xff, 0xfe] }), path, codec).await;
    let (code, details) = refusal(refused);
    assert_eq!((code, details.error_info().unwrap().reason.as_str()), (Code::InvalidArgument, "INVALID_ARGUMENT"));
    assert_eq!(details.bad_request().unwrap().field_violations.len(), 1);
}

#[derive(Clone, PartialEq, prost::Message)]
struct Garbage {
    #[prost(bytes = "vec", tag = "1")]
    field: Vec<u8>,
}

#[tokio::test]
async fn too_much_metadata_and_too_large_a_message_have_a_reason() {
    let world = World::new().await;
    let mut request = Request::new(pb::GetJwksRequest {});
    let value: MetadataValue<Ascii> = "x".repeat(9000).parse().unwrap();
    request.metadata_mut().insert("x-large", value);
    assert_eq!(reason(sessions(&world).get_jwks(request).await), "REQUEST_TOO_LARGE");
    assert_eq!(reason(world.local_auth(ALICE, &"x".repeat(65 * 1024)).await), "REQUEST_TOO_LARGE");
    assert!(world.local_auth(ALICE, PASSWORD).await.is_ok());
}

#[tokio::test]
async fn many_tiny_fields_and_one_huge_one_have_a_reason_too() {
    let world = World::new().await;
    let mut request = Request::new(pb::GetJwksRequest {});
    for n in 0..450 {
        let name = tonic::metadata::MetadataKey::from_bytes(format!("x-{n}").as_bytes()).unwrap();
        request.metadata_mut().insert(name, MetadataValue::from_static("x"));
    }
    assert_eq!(reason(sessions(&world).get_jwks(request).await), "REQUEST_TOO_LARGE");
    let mut request = Request::new(pb::GetJwksRequest {});
    request.metadata_mut().insert("x-large", "x".repeat(40_000).parse().unwrap());
    assert_eq!(reason(sessions(&world).get_jwks(request).await), "REQUEST_TOO_LARGE");
}

#[tokio::test]
async fn a_compressed_message_is_refused_with_what_is_taken() {
    let world = World::new().await;
    let mut request = Request::new(pb::GetJwksRequest {});
    request.metadata_mut().insert("grpc-encoding", MetadataValue::from_static("gzip"));
    let refused = sessions(&world).get_jwks(request).await;
    let accepted = refused.as_ref().unwrap_err().metadata().get("grpc-accept-encoding").cloned();
    assert_eq!(reason(refused), "UNSUPPORTED_MEDIA_TYPE");
    assert!(accepted.is_some());
}

#[tokio::test]
async fn an_error_that_ends_a_stream_has_a_reason() {
    let world = World::new().await;
    let mut client = ServerReflectionClient::new(world.channel.clone());
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::FileByFilename("nope".to_owned())),
    };
    let mut stream = client.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
    let (code, details) = refusal(stream.message().await);
    assert_eq!((code, details.error_info().unwrap().reason.as_str()), (Code::NotFound, "NOT_FOUND"));
}

#[tokio::test]
async fn a_deadline_is_held_and_has_a_reason() {
    let world = World::new().await;
    let mut request = Request::new(pb::LocalAuthRequest { email: ALICE.to_owned(), password: PASSWORD.to_owned() });
    request.set_timeout(Duration::from_millis(5));
    // Nothing is left of it on the server. Should the client's own timer win, it says as much.
    let (code, details) = refusal(twofa(&world).local_auth(request).await);
    if let Some(info) = details.error_info() {
        assert_eq!((code, info.reason.as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    } else {
        assert!(matches!(code, Code::DeadlineExceeded | Code::Cancelled), "{code:?}");
    }
    assert!(world.local_auth(ALICE, PASSWORD).await.is_ok());
}

#[tokio::test]
async fn a_request_keeps_its_id() {
    let world = World::new().await;
    let ask = |id: &'static str| {
        let mut request = Request::new(pb::GetJwksRequest {});
        request.metadata_mut().insert("x-request-id", MetadataValue::from_static(id));
        let mut client = sessions(&world);
        async move { client.get_jwks(request).await.unwrap().metadata().get("x-request-id").unwrap().clone() }
    };
    assert_eq!(ask("abc-123").await, "abc-123");
    assert!(ask("not plain\"").await.to_str().unwrap().starts_with("req_"));
    let mut client = twofa(&world);
    let refused = client.local_auth(pb::LocalAuthRequest::default()).await.unwrap_err();
    assert!(refused.metadata().get("x-request-id").unwrap().to_str().unwrap().starts_with("req_"));
}

#[tokio::test]
async fn health_says_which_services_serve() {
    let world = World::new().await;
    let mut health = HealthClient::new(world.channel.clone());
    for service in ["", "countersign.v1.TwoFaService", "countersign.v1.SessionService", "liveness"] {
        let mut stream = health.watch(HealthCheckRequest { service: service.to_owned() }).await.unwrap().into_inner();
        let mut status = stream.message().await.unwrap().unwrap().status();
        while status != tonic_health::pb::health_check_response::ServingStatus::Serving {
            status = stream.message().await.unwrap().unwrap().status();
        }
    }
    let unknown = health.check(HealthCheckRequest { service: "nope".to_owned() }).await;
    assert_eq!(reason(unknown), "NOT_FOUND");
}

#[tokio::test]
async fn reflection_keeps_the_options_of_every_rpc() {
    let world = World::new().await;
    let mut client = ServerReflectionClient::new(world.channel.clone());
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::FileContainingSymbol("countersign.v1.TwoFaService".to_owned())),
    };
    let mut stream = client.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
    let response = stream.message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::FileDescriptorResponse(files) = response else {
        panic!("not a file");
    };
    let mut pool = DescriptorPool::decode(pb::DESCRIPTORS).unwrap();
    let sent = files.file_descriptor_proto.into_iter().find(|file| contains(file, b"TwoFaService")).unwrap();
    let http = pool.get_extension_by_name("google.api.http").unwrap();
    assert!(contains(&sent, b"/authentication/twoFa/enable"), "google.api.http came through");
    pool = DescriptorPool::decode(pb::DESCRIPTORS).unwrap();
    let service = pool.get_service_by_name("countersign.v1.TwoFaService").unwrap();
    assert!(service.methods().all(|method| method.options().has_extension(&http)));
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
