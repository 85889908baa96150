//! What lies in `deploy/`, by the scripts of `tests/deploy`: with the tools that it is written for, and the shipped binary.

use std::process::Command;

use crate::{
    process::{run_tool, text},
    servers::{redis, sql::Sql},
};

const BINARY: &str = env!("CARGO_BIN_EXE_countersign");

/// Runs a script, which must succeed.
fn script(name: &str, args: &[&str]) {
    let path = format!("{}/tests/deploy/{name}", env!("CARGO_MANIFEST_DIR"));
    let output = run_tool(Command::new(path).args(args));
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

#[test]
fn the_image_serves_read_only_and_unprivileged() {
    script("image", &[BINARY]);
}

#[test]
fn the_chart_is_as_kubernetes_and_the_program_want_it() {
    script("chart", &[BINARY]);
}

#[test]
fn the_pods_of_the_chart_run() {
    script("pods", &[BINARY, &Sql::shared_postgres().new_database(), &redis::url(redis::shared())]);
}

#[test]
fn dashboard_and_alerts_ask_for_what_there_is_and_each_alert_has_its_runbook() {
    script("observe", &[BINARY]);
}

#[test]
fn what_compose_starts_is_well() {
    script("compose", &[BINARY, &Sql::shared_postgres().admin_url()]);
}

#[test]
fn behind_nginx_it_is_called_over_grpc_and_rest() {
    script("proxies", &[BINARY, "nginx"]);
}

#[test]
fn behind_envoy_it_is_called_over_grpc_and_rest() {
    script("proxies", &[BINARY, "envoy"]);
}
