//! Keys: which there are, who holds them, and what is still to be sealed anew.

use askama::Template;

use super::super::{
    Answer,
    calls::rpc,
    frame::Frame,
    shown::{When, filled, when},
    texts::{self, ENGLISH, Tone},
    visit::Visit,
};
use crate::wire::pb;

#[derive(Template)]
#[template(path = "console/pages/admin_keys.html", config = ".askama.toml")]
struct Page<'a> {
    frame: &'a Frame,
    keys: Vec<Key>,
    values: Vec<pb::SealedValues>,
}

struct Key {
    id: String,
    what_for: &'static str,
    state: String,
    tone: Tone,
    made: Option<When>,
    active: Option<When>,
    root: String,
    holders: String,
    is_gone: bool,
}

impl Key {
    fn new(key: pb::Key, replicas: i32) -> Self {
        let (state, tone) = texts::of_key_state(&key.state);
        Self {
            id: key.key_id,
            what_for: texts::of_key_use(&key.r#use),
            tone,
            state: state.to_owned(),
            made: key.create_time.map(when),
            active: key.active_time.map(when),
            root: key.root_key_id,
            holders: filled(
                &filled(ENGLISH.key_holders, "count", &key.holding_replicas.to_string()),
                "all",
                &replicas.to_string(),
            ),
            is_gone: key.state == "destroyed",
        }
    }
}

/// The page.
pub async fn page(visit: &mut Visit<'_>) -> Answer {
    let listed = rpc!(visit, admin.list_keys(pb::ListKeysRequest {}))?;
    let frame = visit.frame(ENGLISH.keys_title, "admin/keys").await?;
    let keys = listed.keys.into_iter().map(|key| Key::new(key, listed.replicas)).collect();
    visit.page(&Page { frame: &frame, keys, values: listed.sealed_values })
}
