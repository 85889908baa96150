//! What stands around every page: its title, who has signed in, where else to go, and what was just done.

use super::{
    assets,
    texts::{self, ENGLISH, Texts},
};

/// Who has signed in.
#[derive(Clone, Debug)]
pub struct Who {
    /// The account.
    pub user_id: String,
    /// Its e-mail address.
    pub email: String,
    /// Whether it may administer.
    pub is_admin: bool,
}

/// The frame.
pub struct Frame {
    /// The texts.
    pub t: &'static Texts,
    /// The title of the page.
    pub title: &'static str,
    /// The part of the console that it belongs to; empty = none.
    pub section: &'static str,
    /// Who has signed in.
    pub who: Option<Who>,
    /// The token of its forms.
    pub token: String,
    /// What was just done.
    pub done: Option<&'static str>,
}

impl Frame {
    /// A frame.
    pub fn new(title: &'static str, section: &'static str, who: Option<Who>, token: String, done: &str) -> Self {
        Self { t: &ENGLISH, title, section, who, token, done: texts::of_deed(done) }
    }

    /// Whether it is a page for administrators.
    pub fn is_admin(&self) -> bool {
        self.section.starts_with("admin")
    }

    /// Whether a part of the console is the one of this page.
    pub fn is_in(&self, section: &str) -> bool {
        self.section == section
    }

    /// Where the style is.
    pub fn style(&self) -> &'static str {
        assets::style()
    }

    /// Where the script is.
    pub fn script(&self) -> &'static str {
        assets::script()
    }

    /// Where the icon is.
    pub fn icon(&self) -> &'static str {
        assets::icon()
    }
}
