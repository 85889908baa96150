//! Accounts: searched, filtered, in pages.

use askama::Template;

use super::super::{
    Answer,
    calls::rpc,
    fields::query,
    frame::Frame,
    shown::{self, When, when},
    texts::ENGLISH,
    visit::Visit,
};
use crate::wire::pb;

#[derive(Template)]
#[template(path = "console/pages/admin_users.html", config = ".askama.toml")]
struct Page<'a> {
    frame: &'a Frame,
    search: String,
    role: String,
    state: String,
    factors: String,
    users: Vec<Row>,
    next: Option<String>,
}

struct Row {
    id: String,
    email: String,
    is_admin: bool,
    is_blocked: bool,
    has_password: bool,
    methods: String,
    created: Option<When>,
}

impl From<pb::User> for Row {
    fn from(user: pb::User) -> Self {
        let mut methods: Vec<_> = user.factors.iter().map(|factor| shown::method(factor.method())).collect();
        methods.dedup();
        Self {
            is_admin: user.role() == pb::Role::Admin,
            id: user.user_id,
            email: user.email,
            is_blocked: user.blocked,
            has_password: user.password_set,
            methods: methods.join(", "),
            created: user.create_time.map(when),
        }
    }
}

/// The page.
pub async fn page(visit: &mut Visit<'_>) -> Answer {
    let get = |name: &str| visit.query.trimmed(name);
    let (search, role, state, factors) = (get("search"), get("role"), get("state"), get("factors"));
    let request = pb::ListUsersRequest {
        page_size: 25,
        page_token: get("page"),
        search: search.clone(),
        role: match role.as_str() {
            "admin" => pb::Role::Admin,
            "user" => pb::Role::User,
            _ => pb::Role::Unspecified,
        }
        .into(),
        blocked: match state.as_str() {
            "blocked" => Some(true),
            "active" => Some(false),
            _ => None,
        },
        enrolled: match factors.as_str() {
            "none" => Some(false),
            "any" => Some(true),
            _ => None,
        },
        method: match factors.as_str() {
            "app" => pb::Method::Totp,
            "phone" => pb::Method::Phone,
            _ => pb::Method::Unspecified,
        }
        .into(),
    };
    let listed = rpc!(visit, admin.list_users(request))?;
    let frame = visit.frame(ENGLISH.users_title, "admin/users").await?;
    let next = Some(listed.next_page_token.as_str()).filter(|token| !token.is_empty()).map(|token| {
        let fields = [("search", search.as_str()), ("role", &role), ("state", &state), ("factors", &factors)];
        format!("/console/admin/users?{}", query(fields.into_iter().chain([("page", token)])))
    });
    let users = listed.users.into_iter().map(Row::from).collect();
    visit.page(&Page { frame: &frame, search, role, state, factors, users, next })
}
