//! The terminal, for `serve --dev`: straight to standard output, never through the log.

use std::io::{self, Write};

use async_trait::async_trait;

use super::{Failure, SmsSender};
use crate::{model::PhoneNumber, secret::Secret};

pub(super) struct Console;

#[async_trait]
impl SmsSender for Console {
    fn name(&self) -> &'static str {
        "console"
    }

    async fn send(&self, to: &PhoneNumber, text: &Secret<String>) -> Result<(), Failure> {
        let lines: Vec<_> = text.expose().lines().map(|line| format!("  | {line}")).collect();
        let written = writeln!(io::stdout().lock(), "\nText message to {}:\n{}\n", to.expose(), lines.join("\n"));
        written.map_err(|_| Failure::Unreached)
    }
}
