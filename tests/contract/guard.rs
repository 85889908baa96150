//! What the door of the wire promises whatever is behind it.

use std::{convert::Infallible, sync::Arc};

use countersign::{
    clock::ManualClock,
    config::Services,
    wire::{
        caller::Rules,
        guard::{Door, Guard},
        proxies::Proxies,
        services::KnownServices,
    },
};
use http::{Request, Response};
use tonic::{Code, Status, body::Body};
use tonic_types::StatusExt;
use tower::{Layer, Service, service_fn};

use crate::kit::{Bench, NOW};

fn request(path: &str) -> Request<Body> {
    Request::post(path).header("content-type", "application/grpc").body(Body::empty()).unwrap()
}

#[tokio::test]
async fn a_panic_is_a_fault_with_a_reason_and_the_door_stays_open() {
    let bench = Bench::new(&[]).await;
    let guard = Guard::new(
        Arc::new(bench.kit),
        Arc::new(ManualClock::at(NOW)),
        Door {
            rules: Rules::of_this_release().unwrap(),
            proxies: Proxies::new(Vec::new()),
            services: KnownServices::new(&Services::default()),
        },
    );
    let inner = service_fn(async |request: Request<Body>| -> Result<Response<Body>, Infallible> {
        assert!(!request.uri().path().ends_with("GetJwks"), "a bug");
        Ok(Response::new(Body::empty()))
    });
    let mut door = guard.layer(inner);
    let response = door.call(request("/countersign.v1.SessionService/GetJwks")).await.unwrap();
    let status = Status::from_header_map(response.headers()).unwrap();
    assert_eq!(status.code(), Code::Internal);
    assert_eq!(status.get_details_error_info().unwrap().reason, "INTERNAL");
    let id = response.headers()["x-request-id"].to_str().unwrap();
    assert!(status.message().contains(id) && !status.message().contains("a bug"), "{status:?}");
    let response = door.call(request("/grpc.health.v1.Health/Check")).await.unwrap();
    assert!(Status::from_header_map(response.headers()).is_none());
}
