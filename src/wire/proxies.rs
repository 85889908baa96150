//! Where a call comes from: the peer, or what a proxy that is trusted says of it.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Once,
};

use http::{HeaderMap, HeaderValue};
use ipnet::IpNet;

const FORWARDED: &str = "x-forwarded-for";

/// The proxies whose word is taken.
pub struct Proxies {
    trusted: Vec<IpNet>,
    warned: Once,
}

impl Proxies {
    /// These proxies.
    pub fn new(trusted: Vec<IpNet>) -> Self {
        Self { trusted, warned: Once::new() }
    }

    /// The address that a call comes from. Each proxy appends whom it was called by, so from the right on the addresses are true
    /// for as long as proxies that are trusted have written them; the first that is none of those is the source.
    pub fn source(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut source = peer.to_canonical();
        let lines: Vec<_> = headers.get_all(FORWARDED).iter().map(HeaderValue::as_bytes).collect();
        if !lines.is_empty() && !self.trusts(source) {
            self.warn_once(source);
        }
        for word in lines.iter().rev().flat_map(|line| line.rsplit(|byte| *byte == b',')) {
            if !self.trusts(source) {
                break;
            }
            // What is no address ends what can be known: the last proxy stands for whoever is behind it.
            let Some(address) = std::str::from_utf8(word).ok().and_then(|word| address(word.trim())) else {
                break;
            };
            source = address.to_canonical();
        }
        source
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(&address))
    }

    fn warn_once(&self, peer: IpAddr) {
        self.warned.call_once(|| {
            tracing::warn!(
                %peer,
                "calls with x-forwarded-for come from an address that is not among trusted_proxies, so the header is ignored; if \
                 it is a proxy of yours, add it there"
            );
        });
    }
}

/// An address, with or without a port.
fn address(word: &str) -> Option<IpAddr> {
    let bare = word.strip_prefix('[').and_then(|word| word.strip_suffix(']')).unwrap_or(word);
    bare.parse().ok().or_else(|| word.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(trusted: &[&str], peer: &str, lines: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            if let Ok(line) = HeaderValue::from_bytes(line.as_bytes()) {
                headers.append(FORWARDED, line);
            }
        }
        let trusted = trusted.iter().filter_map(|network| network.parse().ok()).collect();
        let peer = peer.parse().unwrap_or(IpAddr::from([0, 0, 0, 0]));
        Proxies::new(trusted).source(peer, &headers).to_string()
    }

    #[test]
    fn the_right_most_address_that_is_no_proxy_is_the_source() {
        let trusted = ["10.0.0.0/8", "2001:db8::/32"];
        assert_eq!(source(&trusted, "10.0.0.1", &["198.51.100.7, 203.0.113.9, 10.1.1.1"]), "203.0.113.9");
        assert_eq!(source(&trusted, "10.0.0.1", &["198.51.100.7", "203.0.113.9", "10.1.1.1"]), "203.0.113.9");
        assert_eq!(source(&trusted, "2001:db8::1", &["203.0.113.9:4711"]), "203.0.113.9");
        assert_eq!(source(&trusted, "::ffff:10.0.0.1", &["[2001:4860::1]:443"]), "2001:4860::1");
        assert_eq!(source(&trusted, "10.0.0.1", &["::ffff:203.0.113.9"]), "203.0.113.9");
    }

    #[test]
    fn nobody_else_is_believed() {
        assert_eq!(source(&[], "203.0.113.9", &["198.51.100.7"]), "203.0.113.9");
        assert_eq!(source(&["10.0.0.0/8"], "203.0.113.9", &["198.51.100.7"]), "203.0.113.9");
    }

    #[test]
    fn what_cannot_be_read_ends_what_is_known() {
        let trusted = ["10.0.0.0/8"];
        assert_eq!(source(&trusted, "10.0.0.1", &["198.51.100.7, unknown, 10.1.1.1"]), "10.1.1.1");
        assert_eq!(source(&trusted, "10.0.0.1", &["6.6.6.6", "ÿ, 10.1.1.1"]), "10.1.1.1", "nor what stands before it");
        assert_eq!(source(&trusted, "10.0.0.1", &[""]), "10.0.0.1");
        assert_eq!(source(&trusted, "10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(source(&trusted, "10.0.0.1", &["10.2.2.2"]), "10.2.2.2", "all are proxies: the first of them");
    }
}
