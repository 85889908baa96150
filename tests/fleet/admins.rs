//! Administrators at the same things at the same moment, each at a replica of their own.

use countersign::wire::pb::{self, admin_service_client::AdminServiceClient};
use tokio::task::JoinSet;
use tonic::{Response, transport::Channel};

use crate::{
    races::on_each_database,
    replica::{Fleet, Replica, reason, rounds, unix_seconds, with_token},
};

const CALLS: usize = 12;
/// What may become of a call beside success: too late, or too much going on.
const LOST: [&str; 4] = ["LAST_ADMIN", "UNAUTHENTICATED", "PERMISSION_DENIED", "STORE_UNAVAILABLE"];
const ADMINS: &str = "SELECT COUNT(*) AS n FROM users WHERE role = 'admin' AND NOT blocked";

/// An administrator with a fresh second factor.
struct Admin {
    token: String,
    id: String,
}

async fn admin(fleet: &Fleet, replica: &Replica, email: &str) -> Admin {
    fleet.add_admin(email);
    let token = replica.enrol_by(email, unix_seconds()).await.session.access_token;
    let request = pb::ListUsersRequest { search: email.to_owned(), ..Default::default() };
    let found = replica.admin.clone().list_users(with_token(request, &token)).await.unwrap().into_inner();
    Admin { token, id: found.users[0].user_id.clone() }
}

/// How an administrator gets rid of another.
#[derive(Clone, Copy, Debug)]
enum Way {
    Demote,
    Block,
    Delete,
}

async fn get_rid(mut client: AdminServiceClient<Channel>, token: String, user_id: String, way: Way) -> String {
    let token = token.as_str();
    match way {
        Way::Demote => {
            let user = Some(pb::User { user_id, role: pb::Role::User.into(), ..Default::default() });
            reason(&client.update_user(with_token(pb::UpdateUserRequest { user, update_mask: None }, token)).await)
        }
        Way::Block => {
            let request = pb::BlockUserRequest { user_id, reason: String::new() };
            reason(&client.block_user(with_token(request, token)).await)
        }
        Way::Delete => {
            let request = pb::DeleteUserRequest { user_id, etag: String::new(), reason: String::new() };
            reason(&client.delete_user(with_token(request, token)).await)
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_administrators_who_get_rid_of_each_other_leave_one() {
    on_each_database(async |fleet, replicas| {
        let ways = [Way::Demote, Way::Block, Way::Delete];
        for round in 0..rounds().max(3) {
            let way = ways[round % ways.len()];
            let pair = [
                admin(fleet, &replicas[0], &format!("a{round}@example.com")).await,
                admin(fleet, &replicas[1], &format!("b{round}@example.com")).await,
            ];
            let others = "UPDATE users SET role = 'user', blocked = FALSE WHERE id NOT IN \
                          (SELECT id FROM (SELECT id FROM users WHERE role = 'admin' ORDER BY id DESC LIMIT 2) AS pair)";
            fleet.execute(others).await;
            assert_eq!(fleet.count(ADMINS).await, 2);
            let mut calls = JoinSet::new();
            for n in 0..CALLS {
                let (token, id) = (pair[n % 2].token.clone(), pair[1 - n % 2].id.clone());
                calls.spawn(get_rid(replicas[n % 3].admin.clone(), token, id, way));
            }
            let answers = calls.join_all().await;
            assert_eq!(fleet.count(ADMINS).await, 1, "{way:?} {answers:?}");
            // A second block of one who is blocked is a success too; whoever is gone cannot go again.
            let known = |answer: &String| answer == "OK" || answer == "NOT_FOUND" || LOST.contains(&answer.as_str());
            assert!(answers.iter().any(|answer| answer == "OK") && answers.iter().all(known), "{way:?} {answers:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_save_what_they_have_read_at_once_one_does() {
    on_each_database(async |fleet, replicas| {
        let admin = admin(fleet, &replicas[0], "admin@example.com").await;
        for round in 0..rounds() {
            let request = with_token(pb::GetSettingsRequest {}, &admin.token);
            let read = replicas[1].admin.clone().get_settings(request).await.unwrap().into_inner().settings.unwrap();
            let mut calls = JoinSet::new();
            for n in 0..CALLS {
                let digits = if read.totp_digits == 6 { 7 } else { 6 };
                let settings = pb::Settings { totp_digits: digits, etag: read.etag.clone(), ..Default::default() };
                let request = pb::UpdateSettingsRequest { settings: Some(settings), update_mask: None };
                let (mut client, request) = (replicas[n % 3].admin.clone(), with_token(request, &admin.token));
                calls.spawn(async move { reason(&client.update_settings(request).await) });
            }
            let answers = calls.join_all().await;
            let saved = answers.iter().filter(|answer| *answer == "OK").count();
            assert_eq!(saved, 1, "round {round}: {answers:?}");
            let known = ["OK", "VERSION_MISMATCH", "STORE_UNAVAILABLE"];
            assert!(answers.iter().all(|answer| known.contains(&answer.as_str())), "{answers:?}");
        }
        let versions = fleet.count("SELECT COUNT(*) AS n FROM settings_versions").await;
        assert_eq!(versions, 1 + i64::try_from(rounds()).unwrap(), "and every one is kept");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_at_three_replicas_makes_one_account() {
    on_each_database(async |fleet, replicas| {
        let admin = admin(fleet, &replicas[0], "admin@example.com").await;
        for round in 0..rounds() {
            let email = format!("new{round}@example.com");
            let user = Some(pb::User { email: email.clone(), ..Default::default() });
            let request = pb::CreateUserRequest { user, request_id: format!("r{round}"), ..Default::default() };
            let mut calls = JoinSet::new();
            for n in 0..CALLS {
                let (mut client, request) = (replicas[n % 3].admin.clone(), with_token(request.clone(), &admin.token));
                calls.spawn(async move { client.create_user(request).await.map(Response::into_inner) });
            }
            let mut ids: Vec<_> = Vec::new();
            for answer in calls.join_all().await {
                match answer {
                    Ok(made) => ids.push(made.user.unwrap().user_id),
                    refused => assert_eq!(reason(&refused), "STORE_UNAVAILABLE"),
                }
            }
            assert!(!ids.is_empty());
            ids.dedup();
            assert_eq!(ids.len(), 1, "{email}");
        }
    })
    .await;
}
