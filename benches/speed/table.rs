//! What is printed: tables in Markdown.

use std::{fs, time::Duration};

use crate::{
    limits::{Limit, Limits},
    load::Run,
    scenes::Cost,
    verbs::Verb,
};

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
    println!("\n| what the machine can do on all cores | per second |\n| --- | ---: |");
    for limit in Limit::ALL {
        if let Some(rate) = limits.seen(limit) {
            println!("| {} | {} |", limit.title(), whole(rate));
        }
    }
}

pub fn calls_head() {
    println!(
        "| call | per second | of its limit | p50 | p99 | p99.9 ms | CPU µs: service | stores | load | memory: a call | in all |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
}

/// A row: the call as fast as it goes, and at half that rate.
pub fn call(verb: Verb, fast: &Run, cost: &Cost, paced: &Run, limit: Option<f64>) {
    let share = limit.map_or("–".to_owned(), |limit| format!("{:.2} {}", fast.rate() / limit, verb.limit().1));
    let latency = |percent| format!("{:.2}", paced.percentile(percent));
    let micros = |spent: Duration| format!("{:.0}", spent.as_secs_f64() * 1e6 / fast.done as f64);
    println!(
        "| {} | {} | {share} | {} | {} | {} | {} | {} | {} | {} kB | {:.0} MB |",
        verb.title(),
        whole(fast.rate()),
        latency(50.0),
        latency(99.0),
        latency(99.9),
        micros(cost.service),
        micros(cost.stores),
        micros(cost.load),
        whole(cost.each as f64 / 1e3),
        megabytes(cost.resident),
    );
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
