//! `health`: asks a running service whether it is well.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::bail;
use clap::Args as ClapArgs;

use super::say;
use crate::{config::Config, tls::ClientTls, wire::grpc};

#[derive(ClapArgs)]
pub(super) struct Args {
    /// Asks only whether the process turns
    #[arg(long)]
    live: bool,
    /// The address of the service, instead of telemetry.listen or, where that is off, grpc.listen
    #[arg(long, value_name = "HOST:PORT")]
    addr: Option<String>,
}

pub(super) async fn run(config: &Config, args: &Args) -> anyhow::Result<()> {
    let probes = config.telemetry.listen.map(|listen| reachable(listen).to_string());
    let own = || probes.clone().unwrap_or_else(|| reachable(config.grpc.listen).to_string());
    let address = args.addr.clone().unwrap_or_else(own);
    // Nothing is told to the service, and what it says is no secret: whose certificate it is does not matter.
    let tls = config.tls.as_ref().filter(|_| probes.as_ref() != Some(&address));
    let tls = tls.map(|_| ClientTls::of_anybody()).transpose()?;
    if !grpc::probe(&address, args.live, tls).await? {
        bail!("{address}: NOT_SERVING");
    }
    say(&format!("{address}: SERVING"))
}

/// Where a server that listens on every address can be reached from here.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    SocketAddr::new(ip, listen.port())
}
