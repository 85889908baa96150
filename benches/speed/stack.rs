//! The stores as production has them, every commit on the disk, and replicas of the shipped binary over them.

use std::{path::PathBuf, time::Duration};

use clap::ValueEnum;
use countersign::wire::pb::{
    self, session_service_client::SessionServiceClient, two_fa_service_client::TwoFaServiceClient,
};
use tonic::transport::Channel;

use crate::{
    clock::now,
    servers::{
        binary::Binary,
        process::{Server, home, run},
        redis,
        sql::Sql,
    },
    usage,
};

/// Connections of the load generator to each replica.
const CONNECTIONS: usize = 4;

/// Which stores.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// SQLite and the embedded store.
    Sqlite,
    /// PostgreSQL and Redis.
    Postgres,
    /// MariaDB and Redis.
    Mariadb,
}

impl Kind {
    pub fn title(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite, embedded store",
            Self::Postgres => "PostgreSQL, Redis",
            Self::Mariadb => "MariaDB, Redis",
        }
    }
}

/// The stores, and what replicas share.
pub struct Stack {
    pub kind: Kind,
    pub database_url: String,
    pub redis_url: Option<String>,
    binary: Binary,
    stores: Vec<Server>,
}

/// Replicas, and connections to each.
pub struct Fleet {
    pub replicas: Vec<Server>,
    pub clients: Vec<Client>,
}

/// A connection.
#[derive(Clone)]
pub struct Client {
    pub twofa: TwoFaServiceClient<Channel>,
    pub sessions: SessionServiceClient<Channel>,
}

/// CPU time that was used so far, by whom.
#[derive(Clone, Copy)]
pub struct Spent {
    pub service: Duration,
    pub stores: Duration,
    pub load: Duration,
}

impl Stack {
    /// Starts the stores, with a key ring and the schema.
    pub fn start(kind: Kind) -> Self {
        let home = home("speed", None);
        let (sql, redis) = match kind {
            Kind::Sqlite => (None, None),
            Kind::Postgres => (Some(Sql::durable_postgres()), Some(redis::single())),
            Kind::Mariadb => (Some(Sql::durable_mariadb()), Some(redis::single())),
        };
        let database_url = match &sql {
            None => format!("sqlite:{}", home.join("countersign.db").display()),
            Some(sql) => sql.new_database(),
        };
        let redis_url = redis.as_ref().map(redis::url);
        // The load comes from many addresses, as behind a proxy.
        let more = ["trusted_proxies=127.0.0.1"];
        let binary = Binary::new(home, &database_url, redis_url.as_deref().unwrap_or("embedded"), &more);
        run(&mut binary.command(&["keys", "init"]));
        run(&mut binary.command(&["migrate"]));
        let stores = sql.into_iter().map(|sql| sql.server).chain(redis).collect();
        Self { kind, database_url, redis_url, binary, stores }
    }

    pub fn ring_file(&self) -> PathBuf {
        self.binary.ring_file()
    }

    /// Starts replicas and connects to them.
    pub async fn serve(&self, replicas: usize) -> Fleet {
        let mut clients = Vec::new();
        let mut servers = Vec::new();
        for _ in 0..replicas {
            servers.push(self.replica().await.0);
        }
        let replicas = servers;
        // In turns, so that neighbours in the list are of different replicas.
        for _ in 0..CONNECTIONS {
            for replica in &replicas {
                clients.push(Client::connect(replica.port).await);
            }
        }
        Fleet { replicas, clients }
    }

    /// Starts a replica; answers how long it took until it gave its first answer, too.
    pub async fn replica(&self) -> (Server, Duration) {
        let begun = now();
        let replica = self.binary.serve(&[]);
        // The port is taken before the database is opened; calls are answered when all is there.
        let mut sessions = Client::connect(replica.port).await.sessions;
        sessions.get_jwks(pb::GetJwksRequest {}).await.unwrap();
        (replica, begun.elapsed())
    }

    /// What the stores and these replicas have used so far.
    pub fn spent(&self, fleet: &Fleet) -> Spent {
        let pids = |servers: &[Server]| servers.iter().map(Server::pid).collect::<Vec<_>>();
        Spent {
            service: usage::cpu(&pids(&fleet.replicas)),
            stores: usage::cpu(&pids(&self.stores)),
            load: usage::own_cpu(),
        }
    }
}

impl Client {
    pub async fn connect(port: u16) -> Self {
        let channel = Channel::from_shared(format!("http://127.0.0.1:{port}")).unwrap().connect().await.unwrap();
        let twofa = TwoFaServiceClient::new(channel.clone());
        Self { twofa, sessions: SessionServiceClient::new(channel) }
    }
}
