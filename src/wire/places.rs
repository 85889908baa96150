//! Places for connections: so many in all, and a share of them for one peer, so that one host cannot keep everybody out.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ipnet::IpNet;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};

use crate::limit;

/// How many connections each peer has, as far as it is one source.
type Peers = Arc<Mutex<HashMap<Vec<u8>, usize>>>;

/// The places.
pub struct Places {
    all: Arc<Semaphore>,
    count: usize,
    share: usize,
    proxies: Vec<IpNet>,
    peers: Peers,
}

/// A place that is taken.
pub struct Place {
    _of_all: Option<OwnedSemaphorePermit>,
    _of_peer: Option<Share>,
}

/// A place of a peer's share.
struct Share {
    peer: Vec<u8>,
    peers: Peers,
}

/// A peer has used its share up.
#[derive(Debug)]
struct UsedUp;

impl Places {
    /// Places in all, and for a peer that is none of these proxies.
    pub fn new(all: usize, share: usize, proxies: Vec<IpNet>) -> Self {
        Self { all: Arc::new(Semaphore::new(all)), count: all, share, proxies, peers: Arc::default() }
    }

    /// Whether it is one of our proxies, which bring the connections and calls of many.
    pub fn is_proxy(&self, peer: IpAddr) -> bool {
        self.proxies.iter().any(|network| network.contains(&peer.to_canonical()))
    }

    /// Whether more than half of them are taken.
    pub fn are_scarce(&self) -> bool {
        self.all.available_permits() < self.count / 2
    }

    /// The next connection that has a place. One beyond its peer's share is closed.
    pub async fn accept(&self, listener: &TcpListener) -> (TcpStream, SocketAddr, Place) {
        // It is never closed.
        let of_all = Arc::clone(&self.all).acquire_owned().await.ok();
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    if let Ok(of_peer) = self.take(peer.ip()) {
                        return (stream, peer, Place { _of_all: of_all, _of_peer: of_peer });
                    }
                }
                Err(fault) => {
                    // Out of descriptors, or a client that left: the listener itself stands.
                    tracing::warn!(%fault, "a connection could not be taken");
                    sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    /// A place of a peer's share; a proxy needs none.
    fn take(&self, peer: IpAddr) -> Result<Option<Share>, UsedUp> {
        if self.is_proxy(peer) {
            return Ok(None);
        }
        let peer = limit::source(peer);
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = peers.entry(peer.clone()).or_default();
        if *taken >= self.share {
            return Err(UsedUp);
        }
        *taken += 1;
        Ok(Some(Share { peer, peers: Arc::clone(&self.peers) }))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = peers.get_mut(&self.peer) {
            *taken -= 1;
            if *taken == 0 {
                peers.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_has_its_share_and_proxies_have_no_bound() {
        let proxies = ["10.0.0.0/8".parse()].into_iter().flatten().collect();
        let places = Places::new(10, 2, proxies);
        let [one, other, proxy] = [[192, 0, 2, 1], [192, 0, 2, 2], [10, 0, 0, 1]].map(IpAddr::from);
        let (first, second) = (places.take(one), places.take(one));
        assert!(first.is_ok() && second.is_ok() && places.take(one).is_err() && places.take(other).is_ok());
        let many: Vec<_> = (0..5).map(|_| places.take(proxy)).collect();
        assert!(many.iter().all(Result::is_ok));
        drop(first);
        assert!(places.take(one).is_ok(), "a place that is free again");
        drop((second, many));
        let neighbours = ["2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:0:1::1"].map(str::parse);
        let taken = neighbours.map(|peer| peer.map(|peer| places.take(peer)));
        assert!(
            matches!(taken, [Ok(Ok(_)), Ok(Ok(_)), Ok(Err(_)), Ok(Ok(_))]),
            "whoever is given a /64 has the addresses of it all"
        );
        drop(taken);
        assert!(places.peers.lock().is_ok_and(|peers| peers.is_empty()), "nobody is remembered");
    }
}
