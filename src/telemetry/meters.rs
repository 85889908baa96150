//! What is counted and measured, by OpenTelemetry: nothing of a name, a number or a code, and every label of few values. Without a
//! meter provider in the process it goes nowhere.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Gauge, Histogram, Meter, UpDownCounter},
};

use crate::clock::steady_now;

/// Seconds, from a look in memory to the longest deadline.
const BUCKETS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The instruments of the process, of the provider that was set before the first of them is used.
static METERS: LazyLock<Meters> = LazyLock::new(|| Meters::of(&global::meter("countersign")));

/// The instruments of the process.
pub fn meters() -> &'static Meters {
    &METERS
}

/// The instruments of the service.
pub struct Meters {
    calls: Histogram<f64>,
    under_way: UpDownCounter<i64>,
    requests: Histogram<f64>,
    connections: UpDownCounter<i64>,
    operations: Histogram<f64>,
    up: Gauge<i64>,
    events: Counter<u64>,
    hashes: Histogram<f64>,
    hash_waits: Histogram<f64>,
    hash_refusals: Counter<u64>,
    hash_jobs: UpDownCounter<i64>,
    messages: Counter<u64>,
    refusals: Counter<u64>,
    returned: Counter<u64>,
    sent_today: Gauge<i64>,
    budget: Gauge<i64>,
    deliveries: Counter<u64>,
    handovers: Histogram<f64>,
    keys: Gauge<i64>,
    key_age: Gauge<i64>,
    swept: Counter<u64>,
    sealed: Counter<u64>,
    tail: Gauge<f64>,
}

/// Which store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// The database.
    Database(&'static str),
    /// Redis.
    Redis,
}

/// Something that is under way until it is dropped.
pub struct UnderWay {
    counter: UpDownCounter<i64>,
    labels: Vec<KeyValue>,
}

impl UnderWay {
    fn begin(counter: &UpDownCounter<i64>, labels: Vec<KeyValue>) -> Self {
        counter.add(1, &labels);
        Self { counter: counter.clone(), labels }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.counter.add(-1, &self.labels);
    }
}

impl Meters {
    fn of(meter: &Meter) -> Self {
        let counter = |name, unit, text| meter.u64_counter(name).with_unit(unit).with_description(text).build();
        let gauge = |name, unit, text| meter.i64_gauge(name).with_unit(unit).with_description(text).build();
        let current = |name, unit, text| meter.i64_up_down_counter(name).with_unit(unit).with_description(text).build();
        let seconds = |name, text| {
            let histogram = meter.f64_histogram(name).with_unit("s").with_description(text);
            histogram.with_boundaries(BUCKETS.to_vec()).build()
        };
        Self {
            calls: seconds("rpc.server.call.duration", "Calls, by rpc, status and reason."),
            under_way: current("countersign.calls.under_way", "{call}", "Calls that are worked on."),
            requests: seconds("http.server.request.duration", "Requests over REST, by route and status."),
            connections: current("countersign.connections", "{connection}", "Open connections, by listener."),
            operations: seconds("db.client.operation.duration", "Statements and scripts, by store and outcome."),
            up: gauge("countersign.store.up", "", "Whether a store answers: 1 or 0."),
            events: counter("countersign.events", "{event}", "Records of the audit log, by event, method and reason."),
            hashes: seconds("countersign.hash.duration", "Work of the hash pool, by queue."),
            hash_waits: seconds("countersign.hash.wait", "Time in a queue of the hash pool."),
            hash_refusals: counter("countersign.hash.refused", "{job}", "Jobs turned away by a full queue, or late."),
            hash_jobs: current("countersign.hash.jobs", "{job}", "Jobs that wait or are worked on, by queue."),
            messages: counter("countersign.sms.messages", "{message}", "Text messages by what became of them."),
            refusals: counter("countersign.sms.refusals", "{message}", "Text messages not sent, by the full limit."),
            returned: counter("countersign.sms.codes_returned", "{code}", "Codes of text messages that came back."),
            sent_today: gauge("countersign.sms.sent_today", "{message}", "Text messages of the day."),
            budget: gauge("countersign.sms.budget", "{message}", "Text messages that a day may have."),
            deliveries: counter(
                "countersign.deliveries",
                "{delivery}",
                "What was handed over to the webhook and by mail, by channel and what became of the try.",
            ),
            handovers: seconds("countersign.provider.duration", "Calls to providers, by provider and outcome."),
            keys: gauge("countersign.keys", "{key}", "Data keys, by use and state."),
            key_age: gauge("countersign.key.age", "s", "Since when the active key of a use is the active one."),
            swept: counter("countersign.swept", "{row}", "Rows that had run out and were taken away."),
            sealed: counter("countersign.audit.sealed", "{record}", "Records of the audit log that were sealed."),
            tail: meter
                .f64_gauge("countersign.audit.tail_age")
                .with_unit("s")
                .with_description("Age of the oldest record of the audit log that is not sealed; 0 = there is none.")
                .build(),
        }
    }

    /// A call that begins.
    pub fn call(&self) -> UnderWay {
        UnderWay::begin(&self.under_way, Vec::new())
    }

    /// A call that was answered.
    pub fn called(&self, rpc: &str, status: &'static str, reason: Option<String>, took: Duration) {
        let mut labels =
            vec![KeyValue::new("rpc.method", rpc.to_owned()), KeyValue::new("rpc.response.status_code", status)];
        labels.extend(reason.map(|reason| KeyValue::new("reason", reason)));
        self.calls.record(took.as_secs_f64(), &labels);
    }

    /// A request over REST that was answered; of none of the routes = an empty one.
    pub fn requested(&self, method: &'static str, route: &str, status: u16, took: Duration) {
        let labels = [
            KeyValue::new("http.request.method", method),
            KeyValue::new("http.route", route.to_owned()),
            KeyValue::new("http.response.status_code", i64::from(status)),
        ];
        self.requests.record(took.as_secs_f64(), &labels);
    }

    /// A connection that begins, at a listener.
    pub fn connection(&self, listener: &'static str) -> UnderWay {
        UnderWay::begin(&self.connections, vec![KeyValue::new("listener", listener)])
    }

    /// A statement or script that has ended.
    fn operation(&self, store: StoreKind, name: &'static str, is_ok: bool, took: Duration) {
        let system = match store {
            StoreKind::Database(name) => name,
            StoreKind::Redis => "redis",
        };
        let labels = [
            KeyValue::new("db.system.name", system),
            KeyValue::new("db.operation.name", name),
            KeyValue::new("outcome", if is_ok { "ok" } else { "fault" }),
        ];
        self.operations.record(took.as_secs_f64(), &labels);
    }

    /// Whether a store answers.
    pub fn store(&self, name: &'static str, is_up: bool) {
        self.up.record(i64::from(is_up), &[KeyValue::new("store", name)]);
    }

    /// A record of the audit log is true.
    pub fn event(&self, event: &'static str, method: Option<&'static str>, reason: Option<&'static str>) {
        let mut labels = vec![KeyValue::new("event", event)];
        labels.extend(method.map(|method| KeyValue::new("method", method)));
        labels.extend(reason.map(|reason| KeyValue::new("reason", reason)));
        self.events.add(1, &labels);
    }

    /// A job of the hash pool, from its way into a queue until it is done or given up.
    pub fn hash_job(&self, queue: &'static str) -> UnderWay {
        UnderWay::begin(&self.hash_jobs, vec![KeyValue::new("queue", queue)])
    }

    /// A job of the hash pool was done, and had waited before.
    pub fn hashed(&self, queue: &'static str, waited: Duration, took: Duration) {
        let labels = [KeyValue::new("queue", queue)];
        self.hash_waits.record(waited.as_secs_f64(), &labels);
        self.hashes.record(took.as_secs_f64(), &labels);
    }

    /// A job of the hash pool was turned away.
    pub fn hash_refused(&self, queue: &'static str) {
        self.hash_refusals.add(1, &[KeyValue::new("queue", queue)]);
    }

    /// A text message was handed over, or was not.
    pub fn message(&self, outcome: &'static str) {
        self.messages.add(1, &[KeyValue::new("outcome", outcome)]);
    }

    /// A text message was not sent because a limit is full.
    pub fn message_refused(&self, limit: &'static str) {
        self.refusals.add(1, &[KeyValue::new("limit", limit)]);
    }

    /// The code of a text message came back.
    pub fn code_returned(&self) {
        self.returned.add(1, &[]);
    }

    /// How many text messages of the day's budget are sent.
    pub fn sent_today(&self, count: i64, budget: i64) {
        self.sent_today.record(count, &[]);
        self.budget.record(budget, &[]);
    }

    /// Something was handed over on a channel, or was not.
    pub fn delivery(&self, channel: &'static str, outcome: &'static str) {
        self.deliveries.add(1, &[KeyValue::new("channel", channel), KeyValue::new("outcome", outcome)]);
    }

    /// A provider has answered, or has not.
    pub fn provider(&self, name: &'static str, is_ok: bool, took: Duration) {
        let labels = [KeyValue::new("provider", name), KeyValue::new("outcome", if is_ok { "ok" } else { "fault" })];
        self.handovers.record(took.as_secs_f64(), &labels);
    }

    /// How many keys of a use are in a state.
    pub fn keys(&self, key_use: &'static str, state: &'static str, count: i64) {
        self.keys.record(count, &[KeyValue::new("use", key_use), KeyValue::new("state", state)]);
    }

    /// How long the active key of a use has been that.
    pub fn key_age(&self, key_use: &'static str, age: Duration) {
        self.key_age.record(i64::try_from(age.as_secs()).unwrap_or(i64::MAX), &[KeyValue::new("use", key_use)]);
    }

    /// So many rows had run out.
    pub fn swept(&self, rows: u64) {
        self.swept.add(rows, &[]);
    }

    /// So many records were sealed.
    pub fn sealed(&self, records: u64) {
        self.sealed.add(records, &[]);
    }

    /// How old the oldest record is that is not sealed.
    pub fn audit_tail(&self, age: Duration) {
        self.tail.record(age.as_secs_f64(), &[]);
    }
}

/// A statement or script under way. It is measured when it ends; one that is given up before it is answered is a fault.
pub struct Operation {
    store: StoreKind,
    name: &'static str,
    begun: Instant,
    is_ok: bool,
}

impl Operation {
    /// It begins.
    pub fn begin(store: StoreKind, name: &'static str) -> Self {
        Self { store, name, begun: steady_now(), is_ok: false }
    }

    /// It is answered, well or not.
    pub fn end(mut self, is_ok: bool) {
        self.is_ok = is_ok;
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        meters().operation(self.store, self.name, self.is_ok, self.begun.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::metrics::MeterProvider;
    use opentelemetry_sdk::metrics::{
        InMemoryMetricExporter, SdkMeterProvider,
        data::{AggregatedMetrics, MetricData},
    };

    use super::*;

    #[test]
    fn what_goes_out_is_counted_by_outcome_and_by_limit() {
        let exporter = InMemoryMetricExporter::default();
        let provider = SdkMeterProvider::builder().with_periodic_exporter(exporter.clone()).build();
        let meters = Meters::of(&provider.meter("test"));
        meters.message("taken");
        meters.message("taken");
        meters.message("unknown");
        meters.message_refused("budget");
        meters.code_returned();
        meters.sent_today(3, 100);
        meters.delivery("webhook", "taken");
        assert!(provider.force_flush().is_ok());
        let all = exporter.get_finished_metrics().unwrap_or_default();
        let mut seen = Vec::new();
        for metric in all.iter().flat_map(|all| all.scope_metrics()).flat_map(|scope| scope.metrics()) {
            match metric.data() {
                AggregatedMetrics::U64(MetricData::Sum(sum)) => seen.extend(sum.data_points().map(|point| {
                    let labels: Vec<_> = point.attributes().map(|label| label.value.to_string()).collect();
                    format!("{} {} {}", metric.name(), labels.join(" "), point.value())
                })),
                AggregatedMetrics::I64(MetricData::Gauge(gauge)) => {
                    seen.extend(gauge.data_points().map(|point| format!("{} {}", metric.name(), point.value())));
                }
                AggregatedMetrics::F64(_) | AggregatedMetrics::U64(_) | AggregatedMetrics::I64(_) => {}
            }
        }
        seen.sort();
        let expected = [
            "countersign.deliveries webhook taken 1",
            "countersign.sms.budget 100",
            "countersign.sms.codes_returned  1",
            "countersign.sms.messages taken 2",
            "countersign.sms.messages unknown 1",
            "countersign.sms.refusals budget 1",
            "countersign.sms.sent_today 3",
        ];
        assert_eq!(seen, expected);
    }
}
