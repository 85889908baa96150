//! Following the audit log: how many may at once, and from where.

use std::time::Duration;

use countersign::wire::pb::{self, admin_service_client::AdminServiceClient};
use tonic::{Code, transport::Channel};

use crate::{
    audit::{follow, next, sealed, world},
    world::{ADMIN, World, refusal, retry_after, with_token},
};

/// So many follow it at once, by one replica.
const WATCHERS: usize = 64;

#[tokio::test]
async fn no_more_than_sixty_four_follow_it_at_once_and_whoever_leaves_makes_room() {
    let world = World::new().await;
    let (_, admin) = world.enrol(ADMIN).await;
    let mut streams = Vec::new();
    for _ in 0..WATCHERS {
        streams.push(follow(&world, &admin, "0").await.unwrap());
    }
    for _ in 0..2 {
        assert_eq!(retry_after(follow(&world, &admin, "0").await), 5);
    }
    assert!(next(&mut streams[0]).await.unwrap().is_some(), "those who do go on");
    streams.pop();
    // The service hears of it a moment later.
    for _ in 0..400 {
        if let Ok(stream) = follow(&world, &admin, "0").await {
            streams.push(stream);
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert_eq!(streams.len(), WATCHERS, "there is room again");
    assert_eq!(retry_after(follow(&world, &admin, "0").await), 5, "for one");
}

#[tokio::test]
async fn whoever_takes_nothing_of_it_keeps_no_place_beyond_the_end_of_the_session() {
    let world = World::new().await;
    let (_, whole) = world.enrol_whole(ADMIN).await;
    sealed(&world).await;
    // One byte of an answer, and no more.
    let endpoint = Channel::from_shared(format!("http://{}", world.grpc())).unwrap();
    let channel = endpoint.initial_stream_window_size(1).connect().await.unwrap();
    let mut stalled = Vec::new();
    for _ in 0..WATCHERS {
        let request = pb::WatchAuditEventsRequest { resume_token: "0".to_owned(), ..Default::default() };
        let mut client = AdminServiceClient::new(channel.clone());
        stalled.push(client.watch_audit_events(with_token(request, &whole.access_token)).await.unwrap());
    }
    let admin = world.sign_in_with(ADMIN, &whole.backup_codes[0]).await;
    assert_eq!(retry_after(follow(&world, &admin, "0").await), 5);
    world.end(&whole.access_token, false).await.unwrap();
    for _ in 0..200 {
        if follow(&world, &admin, "0").await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("the places are still taken");
}

#[tokio::test]
async fn whoever_would_go_on_among_records_that_were_dropped_since_is_told_so() {
    let world = world().await;
    let (_, admin) = world.enrol(ADMIN).await;
    sealed(&world).await;
    // As when they were kept for long enough.
    world.execute("DELETE FROM audit_events WHERE position <= 5").await;
    world.execute("UPDATE audit_chain SET anchor_position = 5").await;
    for token in ["1", "4"] {
        let (code, details) = refusal(follow(&world, &admin, token).await);
        assert_eq!(code, Code::InvalidArgument, "{token}");
        let fields = &details.bad_request().unwrap().field_violations;
        assert_eq!(fields.iter().map(|field| field.field.as_str()).collect::<Vec<_>>(), ["resume_token"]);
        assert!(fields[0].description.contains("\"0\""), "and where to begin: {}", fields[0].description);
    }
    for (token, first) in [("0", 6), ("5", 6), ("6", 7)] {
        let mut stream = follow(&world, &admin, token).await.unwrap();
        let event = next(&mut stream).await.unwrap().unwrap().audit_event.unwrap();
        assert_eq!(event.position, first, "after {token}");
    }
}
