//! `GET /metrics`: what the worker counts, as OpenMetrics text, which Prometheus reads.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use lakefeed_core::{Labels, MetricKind, Sample};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::Shared;
use crate::answer::Fault;

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(crate) async fn metrics(State(app): Shared) -> Result<Response, Fault> {
    let text = encode(app.worker.metrics()).map_err(|_| Fault::new(500, "The metrics can't be written"))?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}

/// As OpenMetrics text.
fn encode(mut samples: Vec<Sample>) -> Result<String, std::fmt::Error> {
    // Those of one name stand together.
    samples.sort_by_key(|sample| sample.name);
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Samples(samples)));
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

#[derive(Debug)]
struct Samples(Vec<Sample>);

impl Collector for Samples {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for family in self.0.chunk_by(|one, next| one.name == next.name) {
            let Some(first) = family.first() else { continue };
            let (name, kind) = match first.kind {
                // The encoder adds the ending.
                MetricKind::Counter => (first.name.strip_suffix("_total").unwrap_or(first.name), MetricType::Counter),
                MetricKind::Gauge => (first.name, MetricType::Gauge),
            };
            let mut family_encoder = encoder.encode_descriptor(name, first.help, None, kind)?;
            for sample in family {
                let mut one = family_encoder.encode_family(&sample.labels)?;
                match sample.kind {
                    MetricKind::Counter => one.encode_counter::<Labels, _, u64>(&(sample.value as u64), None)?,
                    MetricKind::Gauge => one.encode_gauge(&sample.value)?,
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_openmetrics_text() {
        let sample = |name, kind, labels, value| Sample { name, help: "What it is.", kind, labels, value };
        let text = encode(vec![
            sample("lakefeed_x_total", MetricKind::Counter, vec![("connector", "a\"b".to_owned())], 3.0),
            sample("lakefeed_a_seconds", MetricKind::Gauge, Vec::new(), 0.25),
            sample("lakefeed_x_total", MetricKind::Counter, vec![("connector", "c".to_owned())], 4.0),
        ]);
        let expected = "# HELP lakefeed_a_seconds What it is.\n# TYPE lakefeed_a_seconds gauge\nlakefeed_a_seconds{} 0.25\n\
                        # HELP lakefeed_x What it is.\n# TYPE lakefeed_x counter\nlakefeed_x_total{connector=\"a\\\"b\"} 3\n\
                        lakefeed_x_total{connector=\"c\"} 4\n# EOF\n";
        assert_eq!(text.expect("text"), expected);
    }
}
