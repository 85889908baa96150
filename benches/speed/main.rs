//! How fast Countersign is, as a share of what the machine can do: `benches/run` on any machine.
//!
//! Each call is first made as fast as it goes, by callers who wait for their answers: that gives its rate, and what it costs. Then
//! it is made at half that rate, at moments that do not depend on the answers: that gives its latencies, counted from the moment
//! when the call was due. Beside each, the same cores show what they can do without Countersign.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a measurement may fail by panicking")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the tables are its output")]

mod clock;
mod crowd;
mod echo;
mod limits;
mod load;
mod scenes;
mod seed;
#[allow(dead_code, reason = "the suites use what this one does not")]
#[path = "../../tests/servers/mod.rs"]
mod servers;
mod stack;
mod table;
mod usage;
mod verbs;
mod verify_sql;

use clap::Parser;

use stack::Kind;
use verbs::Verb;

/// How fast Countersign is, as a share of what this machine can do. Prints tables in Markdown.
#[derive(Parser)]
#[command(name = "benches/run")]
struct Args {
    /// On which stores.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["sqlite", "postgres", "mariadb"])]
    stacks: Vec<Kind>,
    /// With how many users.
    #[arg(long, value_delimiter = ',', default_values_t = [100_000], value_parser = clap::value_parser!(u32).range(1000..))]
    users: Vec<u32>,
    /// With how many replicas; SQLite has one always.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 3])]
    replicas: Vec<usize>,
    /// Which calls; all when none is named.
    #[arg(long, value_enum, value_delimiter = ',')]
    verbs: Vec<Verb>,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Leaves out the flood and the start.
    #[arg(long)]
    brief: bool,
    /// Serves empty calls on a port, and does nothing else.
    #[arg(long, hide = true)]
    echo: Option<u16>,
    /// Cargo says so when it measures. Without it this is a test: everything is tried once, for a moment.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() {
    let mut args = Args::parse();
    if let Some(port) = args.echo {
        return echo::serve(port).await;
    }
    if !args.bench {
        args.stacks = vec![Kind::Sqlite];
        args.users = vec![2000];
        args.seconds = 0.2;
    }
    let verbs = if args.verbs.is_empty() { Verb::ALL.to_vec() } else { args.verbs.clone() };
    table::machine();
    for kind in &args.stacks {
        for users in &args.users {
            scenes::play(*kind, *users, &args.replicas, &verbs, args.seconds, args.brief).await;
        }
    }
}
