//! What is printed: tables in Markdown.

use std::{fs, time::Duration};

use crate::{limits::Limits, load::Run, scenes::Cost, verbs::Verb};

/// What this machine is.
pub fn machine() {
    let field = |file: &str, name: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim_matches([':', '\t', ' ']).to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let (model, memory) = (field("/proc/cpuinfo", "model name"), field("/proc/meminfo", "MemTotal"));
    let native = if cfg!(target_feature = "avx512f") { "built with AVX-512" } else { "built for any x86-64" };
    println!("Machine: {cores} cores of {model}, {memory} of memory; {native}.");
}

pub fn title(text: &str) {
    println!("\n### {text}\n");
}

pub fn limits(limits: &Limits) {
    println!("| limit of the machine, all cores | per second |\n| --- | ---: |");
    let rows = [
        ("raw Argon2id, 19 MiB, 2 passes", limits.argon2),
        ("empty gRPC call", limits.empty_call),
        ("EdDSA verification", limits.eddsa),
        ("read by primary key", limits.key_read),
        ("durable transaction of one row", limits.transaction),
        ("the statements of a Verify in a bare loop", limits.verify_statements),
    ];
    for (name, rate) in rows.into_iter().chain(limits.redis_script.map(|rate| ("Redis script", rate))) {
        println!("| {name} | {} |", whole(rate));
    }
    println!();
}

pub fn calls_head() {
    println!("| call | per second | of its limit | p50 | p99 | p99.9 ms | CPU µs: service | stores | load | memory |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
}

/// A row: the call as fast as it goes, and at half that rate.
pub fn call(verb: Verb, fast: &Run, cost: &Cost, paced: Option<&Run>, limits: Option<&Limits>) {
    let share = limits
        .and_then(|limits| limit(verb, limits))
        .map_or("–".to_owned(), |(name, limit)| format!("{:.2} {name}", fast.rate() / limit));
    let latency = |percent| paced.map_or("–".to_owned(), |run| format!("{:.2}", run.percentile(percent)));
    let micros = |spent: Duration| format!("{:.0}", spent.as_secs_f64() * 1e6 / fast.done as f64);
    println!(
        "| {} | {} | {share} | {} | {} | {} | {} | {} | {} | {:.0} MB |",
        verb.title(),
        whole(fast.rate()),
        latency(50.0),
        latency(99.0),
        latency(99.9),
        micros(cost.service),
        micros(cost.stores),
        micros(cost.load),
        megabytes(cost.resident),
    );
    for run in std::iter::once(fast).chain(paced) {
        for (words, count) in &run.faults {
            println!("|   {count} × {words} |");
        }
    }
}

/// What bounds a call, and at which rate.
fn limit(verb: Verb, limits: &Limits) -> Option<(&'static str, f64)> {
    match verb {
        Verb::LocalAuth | Verb::SignIn | Verb::VerifyBackup => Some(("Argon2", limits.argon2)),
        Verb::VerifyTotp => Some(("its statements", limits.verify_statements)),
        Verb::Refresh => Some(("durable transaction", limits.transaction)),
        Verb::Validate | Verb::Status => Some(("call + check + read", limits.validation())),
        Verb::WeakLocalAuth | Verb::Mix => None,
    }
}

pub fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn whole(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
