//! What is counted, by OpenTelemetry: nothing of a name, a number or a code. Without a meter provider in the process it goes nowhere.

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Gauge, Meter},
};

/// The instruments of the service.
pub struct Meters {
    messages: Counter<u64>,
    refusals: Counter<u64>,
    returned: Counter<u64>,
    sent_today: Gauge<i64>,
    deliveries: Counter<u64>,
}

impl Meters {
    /// Instruments of the provider that the process has set.
    pub fn of_process() -> Self {
        Self::of(&opentelemetry::global::meter("countersign"))
    }

    fn of(meter: &Meter) -> Self {
        let counter =
            |name, unit, description| meter.u64_counter(name).with_unit(unit).with_description(description).build();
        Self {
            messages: counter("countersign.sms.messages", "{message}", "Text messages by what became of them."),
            refusals: counter(
                "countersign.sms.refusals",
                "{message}",
                "Text messages not sent, by the limit that was full.",
            ),
            returned: counter("countersign.sms.codes_returned", "{code}", "Codes of text messages that came back."),
            deliveries: counter(
                "countersign.deliveries",
                "{delivery}",
                "What was handed over to the webhook and by mail, by channel and what became of the try.",
            ),
            sent_today: meter
                .i64_gauge("countersign.sms.sent_today")
                .with_unit("{message}")
                .with_description("Text messages of the day, of the budget sms.daily_budget.")
                .build(),
        }
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

    /// Something was handed over on a channel, or was not.
    pub fn delivery(&self, channel: &'static str, outcome: &'static str) {
        self.deliveries.add(1, &[KeyValue::new("channel", channel), KeyValue::new("outcome", outcome)]);
    }

    /// How many text messages of the day's budget are sent.
    pub fn sent_today(&self, count: i64) {
        self.sent_today.record(count, &[]);
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
        meters.sent_today(3);
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
            "countersign.sms.codes_returned  1",
            "countersign.sms.messages taken 2",
            "countersign.sms.messages unknown 1",
            "countersign.sms.refusals budget 1",
            "countersign.sms.sent_today 3",
        ];
        assert_eq!(seen, expected);
    }
}
