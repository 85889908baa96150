//! The program: parses the command line and runs it.
#![recursion_limit = "256"]

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;
use countersign::cli::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    match Cli::parse().run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            // If even standard error is closed, the exit status has to do.
            let _ = writeln!(io::stderr(), "countersign: {fault:#}");
            ExitCode::FAILURE
        }
    }
}
