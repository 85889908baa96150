//! Who may administer: every rpc of AdminService, read from the descriptors, by every kind of caller; and that each leaves a record.

use countersign::{model::UserId, wire::pb};
use prost_reflect::{DescriptorPool, MethodDescriptor, prost::Message};
use tonic::{Status, client::Grpc};
use tonic_prost::ProstCodec;
use tonic_types::StatusExt;

use crate::world::{ADMIN, ALICE, NOW, World, optional_token, with_token};

/// Refusals that the door makes.
const AT_THE_DOOR: [&str; 4] = ["UNAUTHENTICATED", "PERMISSION_DENIED", "ENROLLMENT_REQUIRED", "STEP_UP_REQUIRED"];

fn rpcs() -> Vec<MethodDescriptor> {
    let pool = DescriptorPool::decode(pb::DESCRIPTORS).unwrap();
    pool.get_service_by_name("countersign.v1.AdminService").unwrap().methods().collect()
}

fn rule(rpc: &MethodDescriptor) -> pb::AccessRule {
    let option = rpc.parent_pool().get_extension_by_name("countersign.v1.access").unwrap();
    let options = rpc.options();
    let value = options.get_extension(&option).into_owned();
    value.as_message().unwrap().transcode_to().unwrap()
}

fn is_read(rpc: &MethodDescriptor) -> bool {
    ["Get", "List", "Preview", "Watch"].iter().any(|prefix| rpc.name().starts_with(prefix))
}

/// Calls an rpc with a message that names an account which is not there, where it names one at all; answers the reason, or "OK".
async fn call(world: &World, rpc: &MethodDescriptor, token: &str) -> String {
    let nobody = UserId::new(NOW).to_string();
    if rpc.is_server_streaming() {
        return watch(world, token).await;
    }
    // Of lists it is a filter, but of that of what an account has.
    if rpc.name().starts_with("List") && rpc.name() != "ListUserSessions" {
        return unary(world, rpc, (), token).await;
    }
    if rpc.input().get_field_by_name("user_id").is_some() {
        unary(world, rpc, pb::GetUserRequest { user_id: nobody }, token).await
    } else if rpc.input().get_field_by_name("user").is_some() {
        let user = Some(pb::User { user_id: nobody, ..Default::default() });
        unary(world, rpc, pb::UpdateUserRequest { user, update_mask: None }, token).await
    } else {
        unary(world, rpc, (), token).await
    }
}

async fn unary<T: Message + 'static>(world: &World, rpc: &MethodDescriptor, message: T, token: &str) -> String {
    let path = format!("/{}/{}", rpc.parent_service().full_name(), rpc.name()).parse().unwrap();
    let mut client = Grpc::new(world.wire.clone());
    client.ready().await.unwrap();
    let codec: ProstCodec<T, ()> = ProstCodec::default();
    reason(client.unary(optional_token(message, token), path, codec).await.map(|_| ()))
}

/// Over gRPC, whatever wire the world speaks: its first answer is that there is a stream.
async fn watch(world: &World, token: &str) -> String {
    let mut client = pb::admin_service_client::AdminServiceClient::new(world.channel.clone());
    reason(client.watch_audit_events(optional_token(pb::WatchAuditEventsRequest::default(), token)).await.map(|_| ()))
}

fn reason(answer: Result<(), Status>) -> String {
    answer.map_or_else(|status| status.get_details_error_info().unwrap().reason, |()| "OK".to_owned())
}

#[test]
fn what_changes_wants_a_fresh_second_factor_and_what_reads_one_of_any_age() {
    for rpc in rpcs() {
        let rule = rule(&rpc);
        assert_eq!(rule.callers().collect::<Vec<_>>(), [pb::Caller::Admin], "{}", rpc.name());
        assert_eq!(rule.assurance(), pb::Assurance::SecondFactor, "{}", rpc.name());
        let expected = if is_read(&rpc) { None } else { Some(300) };
        assert_eq!(rule.max_age.map(|age| age.seconds), expected, "{}", rpc.name());
        assert!(!rule.proof_in_call);
    }
    assert!(rpcs().len() >= 16);
}

#[tokio::test]
async fn every_rpc_is_open_to_administrators_with_a_second_factor_and_to_nobody_else() {
    let mut world = World::new().await;
    let (_, user) = world.enrol(ALICE).await;
    let enrollee = world.sign_in(ADMIN).await.enrollment_token;
    for rpc in rpcs() {
        assert_eq!(call(&world, &rpc, "").await, "UNAUTHENTICATED", "nobody: {}", rpc.name());
        assert_eq!(call(&world, &rpc, "eyJhbGciOiJub25lIn0.e30.").await, "UNAUTHENTICATED", "{}", rpc.name());
        assert_eq!(call(&world, &rpc, &user).await, "PERMISSION_DENIED", "a user: {}", rpc.name());
        assert_eq!(call(&world, &rpc, &enrollee).await, "ENROLLMENT_REQUIRED", "an enrollee: {}", rpc.name());
    }
    world.execute("UPDATE settings SET required_for = 'nobody', two_fa_enabled = FALSE").await;
    world = world.restarted().await;
    let bare = world.sign_in(ADMIN).await.access_token;
    for rpc in rpcs() {
        assert_eq!(call(&world, &rpc, &bare).await, "STEP_UP_REQUIRED", "without a factor: {}", rpc.name());
    }
    let (app, fresh) = world.enrol(ADMIN).await;
    for rpc in rpcs() {
        let answer = call(&world, &rpc, &fresh).await;
        assert!(!AT_THE_DOOR.contains(&answer.as_str()), "fresh: {} {answer}", rpc.name());
    }
    world.advance(301);
    for rpc in rpcs() {
        let answer = call(&world, &rpc, &fresh).await;
        let is_refused = AT_THE_DOOR.contains(&answer.as_str());
        assert_eq!(is_refused, !is_read(&rpc), "stale: {} {answer}", rpc.name());
        assert!(!is_refused || answer == "STEP_UP_REQUIRED", "{answer}");
    }
    let challenge = world.step_up(&fresh).await.unwrap().challenge_id;
    world.verify_as(&fresh, &challenge, &app.code()).await.unwrap();
    for rpc in rpcs() {
        let answer = call(&world, &rpc, &fresh).await;
        assert!(!AT_THE_DOOR.contains(&answer.as_str()), "stepped up: {} {answer}", rpc.name());
    }
}

#[tokio::test]
async fn a_session_without_a_second_factor_opens_nothing_also_while_two_fa_is_off() {
    let mut world = World::new().await;
    world.execute("UPDATE settings SET required_for = 'nobody'").await;
    world = world.restarted().await;
    let first = world.sign_in(ADMIN).await.access_token;
    world.enrol(ADMIN).await;
    world.execute("UPDATE settings SET two_fa_enabled = FALSE").await;
    world = world.restarted().await;
    assert!(world.sign_in(ADMIN).await.two_fa_required, "the switch is for users alone");
    for rpc in rpcs() {
        assert_eq!(
            call(&world, &rpc, &first).await,
            "UNAUTHENTICATED",
            "the first factor has ended it: {}",
            rpc.name()
        );
    }
}

#[tokio::test]
async fn the_role_is_that_of_the_account_and_not_of_the_token() {
    let world = World::new().await;
    let (_, token) = world.enrol(ADMIN).await;
    world.execute("UPDATE users SET role = 'user'").await;
    for rpc in rpcs() {
        assert_eq!(call(&world, &rpc, &token).await, "PERMISSION_DENIED", "{}", rpc.name());
    }
}

#[tokio::test]
async fn every_call_that_is_answered_is_recorded_with_who_made_it() {
    let world = World::new().await;
    let (_, token) = world.enrol(ADMIN).await;
    let recorded = "SELECT COUNT(*) AS n FROM audit_events WHERE admin_id IS NOT NULL";
    let (mut users, mut admin) = (world.admin.clone(), world.admin.clone());
    let list = users.list_users(with_token(pb::ListUsersRequest::default(), &token)).await.unwrap().into_inner();
    let alice = list.users.iter().find(|user| user.email == ALICE).unwrap().user_id.clone();
    assert_eq!(world.count(recorded).await, 1);
    let mut expected = 1;
    for rpc in rpcs().into_iter().filter(|rpc| rpc.name() != "DeleteUser") {
        let answer = match rpc.name() {
            "CreateUser" => {
                let user = Some(pb::User { email: "new@example.com".to_owned(), ..Default::default() });
                unary(&world, &rpc, pb::CreateUserRequest { user, ..Default::default() }, &token).await
            }
            "UpdateUser" => {
                let user =
                    pb::User { user_id: alice.clone(), email: "al@example.com".to_owned(), ..Default::default() };
                unary(&world, &rpc, pb::UpdateUserRequest { user: Some(user), update_mask: None }, &token).await
            }
            "UpdateSettings" | "PreviewSettings" => {
                let settings = Some(pb::Settings { totp_digits: 8, ..Default::default() });
                unary(&world, &rpc, pb::UpdateSettingsRequest { settings, update_mask: None }, &token).await
            }
            "ResetTwoFa" => {
                let request = pb::ResetTwoFaRequest { user_id: alice.clone(), reason: "lost phone".to_owned() };
                unary(&world, &rpc, request, &token).await
            }
            "WatchAuditEvents" | "ListAuditEvents" => call(&world, &rpc, &token).await,
            _ if rpc.input().get_field_by_name("user_id").is_some() => {
                unary(&world, &rpc, pb::GetUserRequest { user_id: alice.clone() }, &token).await
            }
            _ => unary(&world, &rpc, (), &token).await,
        };
        assert_eq!(answer, "OK", "{}", rpc.name());
        // A new account without a password is recorded twice: it was made, and a token was issued.
        expected += if rpc.name() == "CreateUser" { 2 } else { 1 };
        assert_eq!(world.count(recorded).await, expected, "{}", rpc.name());
    }
    let request = pb::DeleteUserRequest { user_id: alice, etag: String::new(), reason: String::new() };
    admin.delete_user(with_token(request, &token)).await.unwrap();
    assert_eq!(world.count(recorded).await, expected + 1);
    let by_others = "SELECT COUNT(*) AS n FROM audit_events WHERE admin_id IS NOT NULL AND admin_id NOT IN \
                     (SELECT id FROM users WHERE role = 'admin')";
    assert_eq!(world.count(by_others).await, 0);
}
