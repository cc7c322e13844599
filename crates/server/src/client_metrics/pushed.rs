//! What clients have pushed last (KIP-714), for [`crate::metrics`].
//!
//! Names and labels are a client's to choose, so there is a limit to how many of them are kept: of one client, and of all.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};

use common::Uuid;
use parking_lot::Mutex;

use super::otlp::{KeyValue, Kind, Scalar, Value};

/// As many values are kept of one client, as many of all, and as many labels of one value.
const MAX_OF_CLIENT: usize = 500;
const MAX_OF_ALL: usize = 20_000;
const MAX_LABELS: usize = 16;
/// Names and values of labels, and names of metrics, are cut off here, in characters.
const MAX_TEXT: usize = 128;

/// In front of every name, in the place of what KIP-714 puts in front: what clients name cannot be taken for the broker's own.
const PREFIX: &str = "kafka_client_";
const KAFKAS: &str = "org.apache.kafka.";

/// A value's labels, in the order of their names.
pub(crate) type Labels = Vec<(String, String)>;

/// The values of one name.
pub(crate) struct Family {
    /// Whether it only grows.
    pub(crate) is_counter: bool,
    pub(crate) values: Vec<(Labels, f64)>,
}

/// What clients have pushed.
#[derive(Default)]
pub(crate) struct PushedMetrics(Mutex<State>);

#[derive(Default)]
struct State {
    clients: HashMap<Uuid, OfClient>,
    /// Of all clients.
    values: usize,
}

struct OfClient {
    client_id: String,
    values: BTreeMap<(String, Labels), Series>,
    /// Until when they count, in ms.
    expires_ms: i64,
}

struct Series {
    is_counter: bool,
    value: f64,
}

/// One client's push, as it is read.
pub(crate) struct Push<'a> {
    pub(crate) client_instance_id: Uuid,
    pub(crate) client_id: &'a str,
    /// Of all its values.
    pub(crate) labels: &'a [KeyValue],
    /// When it is given up if it pushes no more, in ms.
    pub(crate) expires_ms: i64,
}

impl PushedMetrics {
    /// Takes a value over. One beyond the limits is left out.
    pub(super) fn take(
        &self,
        push: &Push<'_>,
        name: &str,
        attributes: &[KeyValue],
        kind: Kind,
        value: Value,
    ) {
        let labels = labels_of(push.labels.iter().chain(attributes));
        let name = name_of(name);
        let mut state = self.0.lock();
        match value {
            Value::Int(value) => state.set(push, name, labels, kind, value as f64),
            Value::Double(value) => state.set(push, name, labels, kind, value),
            Value::Distribution { count, sum } => {
                state.set(push, format!("{name}_count"), labels.clone(), kind, count as f64);
                state.set(push, format!("{name}_sum"), labels, kind, sum);
            }
        }
    }

    /// The client is gone.
    pub(crate) fn forget(&self, client_instance_id: Uuid) {
        let mut state = self.0.lock();
        if let Some(client) = state.clients.remove(&client_instance_id) {
            state.values -= client.values.len();
        }
    }

    /// What counts now, by name. Of values that have one name and are not of one kind, the first kind stays.
    pub(crate) fn families(&self, now_ms: i64) -> BTreeMap<String, Family> {
        let mut state = self.0.lock();
        state.clients.retain(|_, client| client.expires_ms > now_ms);
        state.values = state.clients.values().map(|client| client.values.len()).sum();
        let mut families: BTreeMap<String, Family> = BTreeMap::new();
        for (id, client) in &state.clients {
            for ((name, labels), series) in &client.values {
                let is_counter = series.is_counter;
                let family =
                    families.entry(name.clone()).or_insert_with(|| Family { is_counter, values: Vec::new() });
                if family.is_counter == is_counter {
                    let whose = [
                        ("client_id".to_owned(), client.client_id.clone()),
                        ("client_instance_id".to_owned(), id.to_string()),
                    ];
                    let labels = whose.into_iter().chain(labels.iter().cloned()).collect();
                    family.values.push((labels, series.value));
                }
            }
        }
        families
    }
}

impl State {
    fn set(&mut self, push: &Push<'_>, name: String, labels: Labels, kind: Kind, value: f64) {
        let client = self.clients.entry(push.client_instance_id).or_insert_with(|| OfClient {
            client_id: push.client_id.chars().take(MAX_TEXT).collect(),
            values: BTreeMap::new(),
            expires_ms: 0,
        });
        client.expires_ms = push.expires_ms;
        let has_room = self.values < MAX_OF_ALL && client.values.len() < MAX_OF_CLIENT;
        match client.values.entry((name, labels)) {
            Entry::Occupied(mut series) if kind.is_delta => series.get_mut().value += value,
            Entry::Occupied(mut series) => series.get_mut().value = value,
            Entry::Vacant(place) if has_room => {
                place.insert(Series { is_counter: kind.is_counter, value });
                self.values += 1;
            }
            Entry::Vacant(_) => {}
        }
    }
}

/// The name with what Prometheus takes: letters, digits and `_`.
fn name_of(name: &str) -> String {
    let name = name.strip_prefix(KAFKAS).unwrap_or(name);
    // A counter's name ends so by itself.
    let name = name.strip_suffix(".total").unwrap_or(name);
    PREFIX.chars().chain(name.chars().take(MAX_TEXT).map(allowed)).collect()
}

fn allowed(letter: char) -> char {
    if letter.is_ascii_alphanumeric() { letter } else { '_' }
}

/// The labels, each name once.
fn labels_of<'a>(attributes: impl Iterator<Item = &'a KeyValue>) -> Labels {
    let mut labels: BTreeMap<String, String> = BTreeMap::new();
    for attribute in attributes.take(MAX_LABELS) {
        let mut name: String = attribute.key.chars().take(MAX_TEXT).map(allowed).collect();
        if !name.starts_with(|first: char| first.is_ascii_alphabetic()) {
            name.insert_str(0, "label_");
        }
        if matches!(name.as_str(), "client_id" | "client_instance_id" | "le") {
            name.insert_str(0, "client_label_");
        }
        let value = match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
            Some(Scalar::String(text)) => text.chars().take(MAX_TEXT).collect(),
            Some(Scalar::Bool(value)) => value.to_string(),
            Some(Scalar::Int(value)) => value.to_string(),
            Some(Scalar::Double(value)) => value.to_string(),
            None => String::new(),
        };
        labels.insert(name, value);
    }
    labels.into_iter().collect()
}
