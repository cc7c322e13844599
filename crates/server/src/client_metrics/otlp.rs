//! What of OpenTelemetry's `MetricsData` (`metrics.proto`, version 1) says which metric has which value. Fields that are not
//! named here are skipped.
//!
//! The messages of a push are at most `telemetry.max.bytes` long; an element, which takes two bytes there, takes less than
//! a hundred here.

use std::fmt;

use prost::{Message, Oneof};

/// What a client pushes.
#[derive(Clone, PartialEq, Message)]
pub(super) struct MetricsData {
    #[prost(message, repeated, tag = "1")]
    pub(super) resource_metrics: Vec<ResourceMetrics>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ResourceMetrics {
    #[prost(message, optional, tag = "1")]
    pub(super) resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    pub(super) scope_metrics: Vec<ScopeMetrics>,
}

/// Whose metrics they are.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Resource {
    #[prost(message, repeated, tag = "1")]
    pub(super) attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ScopeMetrics {
    #[prost(message, repeated, tag = "2")]
    pub(super) metrics: Vec<Metric>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Metric {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(oneof = "Data", tags = "5, 7, 9, 10, 11")]
    pub(super) data: Option<Data>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Data {
    #[prost(message, tag = "5")]
    Gauge(Numbers),
    #[prost(message, tag = "7")]
    Sum(Numbers),
    #[prost(message, tag = "9")]
    Histogram(Histogram),
    #[prost(message, tag = "10")]
    ExponentialHistogram(ExponentialHistogram),
    #[prost(message, tag = "11")]
    Summary(Summary),
}

/// `Gauge`, and `Sum` with what it says of its kind.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Numbers {
    #[prost(message, repeated, tag = "1")]
    pub(super) data_points: Vec<NumberDataPoint>,
    #[prost(int32, tag = "2")]
    pub(super) aggregation_temporality: i32,
    #[prost(bool, tag = "3")]
    pub(super) is_monotonic: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct NumberDataPoint {
    #[prost(message, repeated, tag = "7")]
    pub(super) attributes: Vec<KeyValue>,
    #[prost(oneof = "Number", tags = "4, 6")]
    pub(super) value: Option<Number>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Number {
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(sfixed64, tag = "6")]
    Int(i64),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Histogram {
    #[prost(message, repeated, tag = "1")]
    pub(super) data_points: Vec<HistogramDataPoint>,
    #[prost(int32, tag = "2")]
    pub(super) aggregation_temporality: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct HistogramDataPoint {
    #[prost(fixed64, tag = "4")]
    pub(super) count: u64,
    #[prost(double, optional, tag = "5")]
    pub(super) sum: Option<f64>,
    #[prost(message, repeated, tag = "9")]
    pub(super) attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ExponentialHistogram {
    #[prost(message, repeated, tag = "1")]
    pub(super) data_points: Vec<ExponentialHistogramDataPoint>,
    #[prost(int32, tag = "2")]
    pub(super) aggregation_temporality: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ExponentialHistogramDataPoint {
    #[prost(message, repeated, tag = "1")]
    pub(super) attributes: Vec<KeyValue>,
    #[prost(fixed64, tag = "4")]
    pub(super) count: u64,
    #[prost(double, optional, tag = "5")]
    pub(super) sum: Option<f64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Summary {
    #[prost(message, repeated, tag = "1")]
    pub(super) data_points: Vec<SummaryDataPoint>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SummaryDataPoint {
    #[prost(fixed64, tag = "4")]
    pub(super) count: u64,
    #[prost(double, tag = "5")]
    pub(super) sum: f64,
    #[prost(message, repeated, tag = "7")]
    pub(super) attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct KeyValue {
    #[prost(string, tag = "1")]
    pub(super) key: String,
    #[prost(message, optional, tag = "2")]
    pub(super) value: Option<AnyValue>,
}

/// A value; lists and maps are left out, as no client of Kafka has such attributes.
#[derive(Clone, PartialEq, Message)]
pub(super) struct AnyValue {
    #[prost(oneof = "Scalar", tags = "1, 2, 3, 4")]
    pub(super) value: Option<Scalar>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Scalar {
    #[prost(string, tag = "1")]
    String(String),
    #[prost(bool, tag = "2")]
    Bool(bool),
    #[prost(int64, tag = "3")]
    Int(i64),
    #[prost(double, tag = "4")]
    Double(f64),
}

/// What a metric shows at one set of attributes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    Int(i64),
    Double(f64),
    /// Of a histogram or a summary.
    Distribution {
        count: u64,
        sum: f64,
    },
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Int(value) => value.fmt(f),
            Value::Double(value) => value.fmt(f),
            Value::Distribution { count, sum } => write!(f, "{sum} in {count}"),
        }
    }
}

/// `name=value`, with commas between; what would break a line is escaped.
pub(super) struct Attributes<'a>(pub(super) &'a [KeyValue]);

impl fmt::Display for Attributes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, attribute) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{}=", attribute.key.escape_debug())?;
            match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
                Some(Scalar::String(text)) => text.escape_debug().fmt(f)?,
                Some(Scalar::Bool(value)) => value.fmt(f)?,
                Some(Scalar::Int(value)) => value.fmt(f)?,
                Some(Scalar::Double(value)) => value.fmt(f)?,
                None => {}
            }
        }
        Ok(())
    }
}

/// `AGGREGATION_TEMPORALITY_DELTA`: a value is what came since the last one.
const DELTA: i32 = 1;

/// How the values of a metric follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    /// Each value is to be added to those before.
    pub(super) is_delta: bool,
    /// What they come to never falls.
    pub(super) is_counter: bool,
}

impl Metric {
    /// How its values follow each other.
    pub(super) fn kind(&self) -> Kind {
        match &self.data {
            Some(Data::Sum(sum)) => {
                Kind { is_delta: sum.aggregation_temporality == DELTA, is_counter: sum.is_monotonic }
            }
            Some(Data::Histogram(histogram)) => {
                Kind { is_delta: histogram.aggregation_temporality == DELTA, is_counter: false }
            }
            Some(Data::ExponentialHistogram(histogram)) => {
                Kind { is_delta: histogram.aggregation_temporality == DELTA, is_counter: false }
            }
            Some(Data::Gauge(_) | Data::Summary(_)) | None => Kind { is_delta: false, is_counter: false },
        }
    }

    /// Its values, each with its attributes.
    pub(super) fn for_each<'m>(&'m self, mut visit: impl FnMut(&'m [KeyValue], Value)) {
        let distribution = |count, sum| Value::Distribution { count, sum };
        match &self.data {
            Some(Data::Gauge(numbers) | Data::Sum(numbers)) => {
                for point in &numbers.data_points {
                    match point.value {
                        Some(Number::Int(value)) => visit(&point.attributes, Value::Int(value)),
                        Some(Number::Double(value)) => visit(&point.attributes, Value::Double(value)),
                        None => {}
                    }
                }
            }
            Some(Data::Histogram(histogram)) => {
                for point in &histogram.data_points {
                    visit(&point.attributes, distribution(point.count, point.sum.unwrap_or(0.0)));
                }
            }
            Some(Data::ExponentialHistogram(histogram)) => {
                for point in &histogram.data_points {
                    visit(&point.attributes, distribution(point.count, point.sum.unwrap_or(0.0)));
                }
            }
            Some(Data::Summary(summary)) => {
                for point in &summary.data_points {
                    visit(&point.attributes, distribution(point.count, point.sum));
                }
            }
            None => {}
        }
    }
}
