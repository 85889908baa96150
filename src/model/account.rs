//! An account: who may sign in.

use crate::{
    clock::Timestamp,
    model::{Email, PhoneNumber, UserId},
    secret::Secret,
};

/// What an account may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Manages itself.
    User,
    /// Manages settings and other accounts too.
    Admin,
}

impl Role {
    /// The word in the `role` claim and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Admin => "admin",
        }
    }

    /// Reads `as_str` back.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::User, Self::Admin].into_iter().find(|role| role.as_str() == word)
    }
}

/// A password hash as PHC string.
pub type PasswordHash = Secret<String>;

/// An account as the database has it.
pub struct Account {
    /// Its id.
    pub id: UserId,
    /// Its e-mail address.
    pub email: Email,
    /// What it may do.
    pub role: Role,
    /// A blocked account cannot sign in.
    pub blocked: bool,
    /// Rises with every change that must end open challenges.
    pub security_version: i64,
    /// None = no password is set, so none is right.
    pub password_hash: Option<PasswordHash>,
    /// Its phone number, where one is known: a factor is made of it by enrolling it alone.
    pub phone: Option<PhoneNumber>,
    /// A second address, which is told too what happens to the account; nobody signs in with it.
    pub notice_email: Option<Email>,
    /// When it was made.
    pub create_time: Timestamp,
    /// Since when it has its role.
    pub role_time: Timestamp,
}
