//! What the proto files say of an rpc beyond its types: their comments are the manual of the API, and their options say who may call.

use std::collections::{BTreeSet, HashMap};

use http::StatusCode;
use prost_reflect::{
    DescriptorPool, EnumDescriptor, FieldDescriptor, FileDescriptor, MessageDescriptor, MethodDescriptor,
};

use super::reasons::{self, REASONS, Reason};
use crate::wire::{caller::Rules, pb};

/// The comments of the proto files, and the access rules.
pub struct Manual {
    comments: HashMap<(String, Vec<i32>), String>,
    rules: Rules,
}

/// What every call may answer.
const ALWAYS: [&str; 7] = [
    "INVALID_ARGUMENT",
    "RATE_LIMITED",
    "REQUEST_TOO_LARGE",
    "UNSUPPORTED_MEDIA_TYPE",
    "STORE_UNAVAILABLE",
    "DEADLINE_EXCEEDED",
    "INTERNAL",
];

impl Manual {
    /// Whether an rpc that is open to anyone takes a Bearer token all the same, as its comment says.
    pub fn takes_bearer(&self, rpc: &MethodDescriptor) -> bool {
        self.of_rpc(rpc).contains("or as Bearer token")
    }

    /// Reads it.
    pub fn read(pool: &DescriptorPool) -> anyhow::Result<Self> {
        let mut comments = HashMap::new();
        for file in pool.files() {
            let info = file.file_descriptor_proto().source_code_info.clone().unwrap_or_default();
            for location in info.location {
                let text = tidy(location.leading_comments());
                comments.insert((file.name().to_owned(), location.path), text);
            }
        }
        Ok(Self { comments, rules: Rules::of_this_release()? })
    }

    /// The comment of a message.
    pub fn of_message(&self, message: &MessageDescriptor) -> &str {
        self.comment(&message.parent_file(), message.path())
    }

    /// The comment of a field.
    pub fn of_field(&self, field: &FieldDescriptor) -> &str {
        self.comment(&field.parent_message().parent_file(), field.path())
    }

    /// The comment of an enum, and of each of its values.
    pub fn of_enum(&self, kind: &EnumDescriptor) -> String {
        let mut text = self.comment(&kind.parent_file(), kind.path()).to_owned();
        for value in kind.values().filter(|value| value.number() != 0) {
            text.push_str(&format!("\n\n`{}`: {}", value.name(), self.comment(&kind.parent_file(), value.path())));
        }
        text
    }

    /// The comment of an rpc.
    pub fn of_rpc(&self, rpc: &MethodDescriptor) -> &str {
        self.comment(&rpc.parent_service().parent_file(), rpc.path())
    }

    /// The comment of the service of an rpc.
    pub fn of_service(&self, rpc: &MethodDescriptor) -> &str {
        let service = rpc.parent_service();
        self.comment(&service.parent_file(), service.path())
    }

    /// Who may call an rpc.
    pub fn callers(&self, rpc: &MethodDescriptor) -> &[pb::Caller] {
        let rule = self.rules.find(&format!("/{}/{}", rpc.parent_service().full_name(), rpc.name()));
        rule.map(crate::wire::caller::Rule::callers).unwrap_or_default()
    }

    /// Whether an rpc asks for a fresh proof.
    pub fn is_for_fresh(&self, rpc: &MethodDescriptor) -> bool {
        let rule = self.rules.find(&format!("/{}/{}", rpc.parent_service().full_name(), rpc.name()));
        rule.is_some_and(|rule| rule.max_age().is_some())
    }

    /// The reasons of an rpc's refusals with their statuses, in the order of the dictionary: those that its comment names, and those
    /// that follow from who may call it.
    pub fn reasons(&self, rpc: &MethodDescriptor) -> Vec<(StatusCode, &'static Reason)> {
        let callers = self.callers(rpc);
        let comment = self.of_rpc(rpc);
        let errors = comment.split("Errors").nth(1).unwrap_or_default();
        let named = errors
            .split(|c: char| !(c.is_ascii_uppercase() || c == '_'))
            .filter(|word| word.contains('_') || *word == "UNAUTHENTICATED");
        let mut names: BTreeSet<&str> = named.chain(ALWAYS).collect();
        let is_public = callers.contains(&pb::Caller::Public);
        let takes_sessions = callers.contains(&pb::Caller::User) || callers.contains(&pb::Caller::Admin);
        if !is_public {
            names.extend(["UNAUTHENTICATED", "USER_BLOCKED"]);
            if !callers.contains(&pb::Caller::Enrollee) {
                names.insert("ENROLLMENT_REQUIRED");
            }
            // Where a cookie decides, of a request from another site; and of roles.
            if callers.contains(&pb::Caller::Challenge) || !callers.contains(&pb::Caller::User) {
                names.insert("PERMISSION_DENIED");
            }
        }
        let mut reasons: Vec<_> = REASONS.iter().filter(|r| names.contains(r.name)).map(|r| (r.status, r)).collect();
        // With a valid token it is the call that is refused, not the caller.
        if let Some(reason) =
            reasons::find("INVALID_CODE").filter(|reason| takes_sessions && names.contains(reason.name))
        {
            reasons.push((StatusCode::FORBIDDEN, reason));
        }
        reasons
    }

    fn comment(&self, file: &FileDescriptor, path: &[i32]) -> &str {
        self.comments.get(&(file.name().to_owned(), path.to_vec())).map(String::as_str).unwrap_or_default()
    }
}

/// The first sentence, and the rest.
pub fn sentences(comment: &str) -> (&str, &str) {
    let ends = [comment.find(". "), comment.find(".\n")];
    let end = ends.into_iter().flatten().min().map_or(comment.len(), |at| at + 1);
    let (first, rest) = comment.split_at(end);
    (first, rest.trim())
}

/// A comment without the space before each line, and with lines of one paragraph joined.
fn tidy(comment: &str) -> String {
    let paragraphs = comment.split("\n\n").map(|text| text.lines().map(str::trim).collect::<Vec<_>>().join(" "));
    paragraphs.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n\n")
}
