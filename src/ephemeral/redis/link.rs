//! The way to Redis: one connection for all, made when it is needed and made anew when it is lost; every call ends in time.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ::redis::{
    AsyncConnectionConfig, Cmd, ErrorKind, FromRedisValue, PushInfo, PushKind, RedisError, ServerErrorKind, Value,
    aio::MultiplexedConnection,
    cluster_async::ClusterConnection,
    cluster_routing::{RoutingInfo, SingleNodeRoutingInfo},
    cmd,
};
use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, Shared},
    stream::FuturesUnordered,
};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::Instrument;

use super::{
    Step,
    address::{Address, Sentinels},
};
use crate::{
    error::Outage,
    telemetry::{self, Operation, StoreKind},
};

/// How long a connection may take.
pub(super) const CONNECT: Duration = Duration::from_millis(500);
/// How long an answer may take.
pub(super) const RESPONSE: Duration = Duration::from_millis(700);
/// How long a call may take, with the connection that it may need.
const CALL: Duration = Duration::from_millis(1150);
/// How long all that belongs to a connection may take: sentinels, the nodes of a cluster.
const SETUP: Duration = Duration::from_secs(3);
/// How long after a connection failed calls fail without another.
const PAUSE: Duration = Duration::from_millis(200);
/// How long a cluster's connection is kept at least, lest a node that is lost cost the others theirs again and again: it heals
/// most by itself.
const CLUSTER_STAY: Duration = Duration::from_secs(5);

/// The way to Redis.
pub(super) struct Link {
    address: Arc<Address>,
    state: Mutex<State>,
}

enum State {
    Idle,
    /// Whoever needs it drives it.
    Connecting(Connecting),
    Open(Connection),
    /// Nothing is tried before this moment.
    Failed(Instant, Fault),
}

type Connecting = Shared<BoxFuture<'static, Result<Connection, Fault>>>;

#[derive(Clone)]
struct Connection {
    wire: Wire,
    /// Set when it is known to have ended: what is sent over it would be lost, so nothing is.
    ended: Arc<AtomicBool>,
    since: Instant,
}

#[derive(Clone)]
enum Wire {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

/// Why Redis gave no answer, in words that hold no key, value or password.
#[derive(Clone, Debug)]
struct Fault {
    text: String,
    /// Whether the connection is of no more use.
    is_fatal: bool,
}

impl Link {
    /// A way that is not gone yet.
    pub(super) fn new(address: Address) -> Self {
        Self { address: Arc::new(address), state: Mutex::new(State::Idle) }
    }

    /// Runs a step on a key.
    pub(super) async fn run<T: FromRedisValue>(&self, step: &Step, key: &str, args: &[&[u8]]) -> anyhow::Result<T> {
        let call = async |mut wire: Wire| {
            let known = script("EVALSHA", &step.hash, key, args);
            match wire.send(&known).await {
                // Nothing has run yet. This way it runs and is known from now on, in one step, on the node that needs it.
                Err(fault) if fault.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                    wire.send(&script("EVAL", step.code, key, args)).await
                }
                other => other,
            }
        };
        let value = measured(step.name, self.call(call)).await?;
        // What the crate says of a value that it cannot read has the value in it.
        T::from_redis_value(value).map_err(|_| outage("a script's answer cannot be read"))
    }

    /// Whether Redis answers; of a cluster, whether one node does.
    pub(super) async fn ping(&self) -> anyhow::Result<()> {
        self.call(async |mut wire: Wire| wire.ping().await).await.map(drop)
    }

    /// One call. It is not repeated when its answer is lost: it may have been done.
    async fn call(&self, send: impl AsyncFnOnce(Wire) -> Result<Value, RedisError>) -> anyhow::Result<Value> {
        let deadline = Instant::now() + CALL;
        let connection = timeout_at(deadline, self.connection()).await;
        let connection = connection.unwrap_or_else(|_| Err(Fault::new("no connection in time"))).map_err(outage)?;
        let answer = timeout_at(deadline, send(connection.wire.clone())).await;
        let answer = answer.map_or_else(|_| Err(Fault::new("no answer in time")), |answer| answer.map_err(Fault::from));
        answer.map_err(|fault| {
            if fault.is_fatal {
                self.give_up(&connection);
            }
            outage(fault)
        })
    }

    /// The connection that is there, or a new one, which all share who wait for it.
    async fn connection(&self) -> Result<Connection, Fault> {
        let connecting = {
            let mut state = self.state();
            match &*state {
                State::Open(connection) if !connection.ended.load(Ordering::Relaxed) => return Ok(connection.clone()),
                State::Failed(until, fault) if Instant::now() < *until => return Err(fault.clone()),
                State::Connecting(connecting) => connecting.clone(),
                State::Idle | State::Open(_) | State::Failed(..) => {
                    let connecting = connect(Arc::clone(&self.address)).boxed().shared();
                    *state = State::Connecting(connecting.clone());
                    connecting
                }
            }
        };
        let outcome = connecting.clone().await;
        let mut state = self.state();
        if matches!(&*state, State::Connecting(current) if current.ptr_eq(&connecting)) {
            *state = match &outcome {
                Ok(connection) => State::Open(connection.clone()),
                Err(fault) => State::Failed(Instant::now() + PAUSE, fault.clone()),
            };
        }
        outcome
    }

    /// The next call connects anew, unless another has seen to it.
    fn give_up(&self, lost: &Connection) {
        let mut state = self.state();
        let is_current = matches!(&*state, State::Open(current) if Arc::ptr_eq(&current.ended, &lost.ended));
        let may_stay = matches!(lost.wire, Wire::Cluster(_)) && lost.since.elapsed() < CLUSTER_STAY;
        if is_current && !may_stay {
            *state = State::Idle;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call, measured and traced: by the name of its script, and never with a key or a value.
async fn measured<T>(name: &'static str, call: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let span = telemetry::statement("redis", name, || format!("EVALSHA {name}"));
    let under_way = Operation::begin(StoreKind::Redis, name);
    let answer = call.instrument(span.clone()).await;
    if answer.is_err() {
        span.record("otel.status_code", "ERROR");
    }
    under_way.end(answer.is_ok());
    answer
}

impl Wire {
    /// Sends a command; of a cluster, to the node that has its key, and again where that node says that another has it.
    async fn send(&mut self, command: &Cmd) -> Result<Value, RedisError> {
        let answer = match self {
            Self::One(connection) => return command.query_async(connection).await,
            Self::Cluster(connection) => command.query_async(connection).await,
        };
        let Err(fault) = answer else { return answer };
        // Neither answer is given by a node that has done anything.
        match (fault.kind(), self) {
            (ErrorKind::Server(ServerErrorKind::Moved), Self::Cluster(connection)) => {
                command.query_async(connection).await
            }
            (ErrorKind::Server(ServerErrorKind::Ask), Self::Cluster(connection)) => {
                ask(connection, command, fault).await
            }
            _ => Err(fault),
        }
    }

    async fn ping(&mut self) -> Result<Value, RedisError> {
        let ping = cmd("PING");
        match self {
            Self::One(connection) => ping.query_async(connection).await,
            Self::Cluster(connection) => {
                connection.route_command(ping, RoutingInfo::SingleNode(SingleNodeRoutingInfo::Random)).await
            }
        }
    }
}

/// Sends a command to the node that is about to have its key.
async fn ask(connection: &mut ClusterConnection, command: &Cmd, fault: RedisError) -> Result<Value, RedisError> {
    let node = fault.redirect_node().and_then(|(node, _)| node.rsplit_once(':'));
    let Some((host, Ok(port))) = node.map(|(host, port)| (host, port.parse())) else {
        return Err(fault);
    };
    let route = SingleNodeRoutingInfo::ByAddress { host: host.to_owned(), port };
    let mut both = ::redis::pipe();
    both.cmd("ASKING").add_command(command.clone());
    let answers = connection.route_pipeline(both, 0, 2, route).await?;
    let answer = answers.into_iter().next_back().ok_or(fault)?;
    if let Value::ServerError(refused) = answer { Err(refused.into()) } else { Ok(answer) }
}

fn script(command: &str, script: &str, key: &str, args: &[&[u8]]) -> Cmd {
    let mut call = cmd(command);
    call.arg(script).arg(1).arg(key).arg(args);
    call
}

async fn connect(address: Arc<Address>) -> Result<Connection, Fault> {
    let ended = Arc::new(AtomicBool::new(false));
    let wire = async {
        match &*address {
            Address::Single(client) => open(client, Some(&ended)).await.map(Wire::One),
            Address::Cluster(client) => client.get_async_connection().await.map(Wire::Cluster).map_err(Fault::from),
            Address::Sentinel(sentinels) => master(sentinels, &ended).await.map(Wire::One),
        }
    };
    let wire = timeout(SETUP, wire).await.unwrap_or_else(|_| Err(Fault::new("no connection in time")))?;
    Ok(Connection { wire, ended, since: Instant::now() })
}

async fn open(client: &::redis::Client, ended: Option<&Arc<AtomicBool>>) -> Result<MultiplexedConnection, Fault> {
    let mut config =
        AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(Some(RESPONSE));
    if let Some(ended) = ended.cloned() {
        config = config.set_push_sender(move |push: PushInfo| {
            if push.kind == PushKind::Disconnection {
                ended.store(true, Ordering::Relaxed);
            }
            Ok::<(), ()>(())
        });
    }
    client.get_multiplexed_async_connection_with_config(&config).await.map_err(Fault::from)
}

/// Connects to the master: whoever the first sentinel names that is not mistaken.
async fn master(sentinels: &Sentinels, ended: &Arc<AtomicBool>) -> Result<MultiplexedConnection, Fault> {
    let mut answers: FuturesUnordered<_> =
        sentinels.sentinels.iter().map(|one| named(one, &sentinels.master)).collect();
    let mut last = Fault::new("there is no sentinel");
    while let Some(answer) = answers.next().await {
        let connected = match answer {
            Ok((host, port)) => match sentinels.server(host, port) {
                Ok(client) => is_master(open(&client, Some(ended)).await).await,
                Err(_) => Err(Fault::new("a sentinel's answer is no address")),
            },
            Err(fault) => Err(fault),
        };
        match connected {
            Ok(connection) => return Ok(connection),
            Err(fault) => last = fault,
        }
    }
    Err(last)
}

async fn named(sentinel: &::redis::Client, master: &str) -> Result<(String, u16), Fault> {
    let mut connection = open(sentinel, None).await?;
    let mut question = cmd("SENTINEL");
    question.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
    let answer: Option<(String, u16)> = question.query_async(&mut connection).await?;
    answer.ok_or_else(|| Fault::new("a sentinel does not know the master"))
}

async fn is_master(opened: Result<MultiplexedConnection, Fault>) -> Result<MultiplexedConnection, Fault> {
    let mut connection = opened?;
    match cmd("ROLE").query_async::<Vec<Value>>(&mut connection).await {
        Ok(role) if role.first().is_some_and(|word| *word == Value::BulkString(b"master".to_vec())) => Ok(connection),
        Ok(_) => Err(Fault::new("a sentinel names a server that is not the master")),
        // A user who may not ask takes the sentinel's word.
        Err(fault) if fault.kind() == ErrorKind::Server(ServerErrorKind::NoPerm) => Ok(connection),
        Err(fault) => Err(fault.into()),
    }
}

/// A fault of Redis, as the store being out of reach.
pub(super) fn outage(why: impl fmt::Display) -> anyhow::Error {
    anyhow::anyhow!("Redis: {why}").context(Outage)
}

impl Fault {
    fn new(text: &str) -> Self {
        Self { text: text.to_owned(), is_fatal: true }
    }
}

impl From<RedisError> for Fault {
    fn from(fault: RedisError) -> Self {
        // What is said of an answer that cannot be read may have a part of it.
        let is_unread = matches!(fault.kind(), ErrorKind::Parse | ErrorKind::UnexpectedReturnType);
        let text = if is_unread { fault.category().to_owned() } else { fault.to_string() };
        let is_harmless = matches!(
            fault.kind(),
            ErrorKind::Server(
                ServerErrorKind::ResponseError
                | ServerErrorKind::NoPerm
                | ServerErrorKind::NoScript
                | ServerErrorKind::CrossSlot
                // A cluster's connection has asked who has what by now.
                | ServerErrorKind::Moved
                | ServerErrorKind::Ask
                | ServerErrorKind::TryAgain,
            )
            // Such as no memory left.
            | ErrorKind::Extension
        );
        Self { text, is_fatal: !is_harmless }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
