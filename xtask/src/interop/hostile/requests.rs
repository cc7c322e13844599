//! Every request and version of the schema, as Apache Kafka's own classes wrote them, to be cut and bent.

use crate::interop::wire;
use crate::project;
use std::collections::HashMap;

/// A request that is right.
pub struct Request {
    pub name: String,
    pub key: i16,
    pub version: i16,
    /// Header and body.
    pub payload: Vec<u8>,
    /// Where the body begins.
    pub body: usize,
}

/// The requests that a broker offers, each in every version, with every field set.
pub fn all(offered: &[wire::Offer]) -> Result<Vec<Request>, String> {
    let known = schema()?;
    let vectors = std::fs::read(project::root().join("crates/protocol/tests/vectors/messages.bin"));
    let vectors = vectors.map_err(|error| error.to_string())?;
    let mut rest = &vectors[..];
    let mut requests = Vec::new();
    while !rest.is_empty() {
        let length = number(&mut rest, 1);
        let name = String::from_utf8_lossy(take(&mut rest, length)).into_owned();
        let version = i16::try_from(number(&mut rest, 2)).map_err(|error| error.to_string())?;
        for instance in 0..number(&mut rest, 1) {
            let length = number(&mut rest, 4);
            let bytes = take(&mut rest, length);
            let Some((key, flexible)) = known.get(&name) else { continue };
            let offered =
                offered.iter().any(|(api, low, high)| api == key && (*low..=*high).contains(&version));
            // The second instance has every field set.
            if instance == 1 && offered && !bytes.is_empty() {
                let header = if flexible.is_some_and(|first| version >= first) { 2 } else { 1 };
                let payload = wire::request(*key, version, header, bytes);
                let body = payload.len() - bytes.len();
                requests.push(Request { name: name.clone(), key: *key, version, payload, body });
            }
        }
    }
    Ok(requests)
}

/// Key and first flexible version of each request, by its name.
fn schema() -> Result<HashMap<String, (i16, Option<i16>)>, String> {
    let text = project::read(&project::root().join("crates/protocol/schema/clients.schema"))?;
    let mut known = HashMap::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let ["request", key, name, _, more @ ..] = &words[..] {
            let flexible = match more {
                ["flexible", range, ..] => range.trim_end_matches('+').parse().ok(),
                _ => None,
            };
            known.insert(
                (*name).to_owned(),
                (key.parse().map_err(|error| format!("{line}: {error}"))?, flexible),
            );
        }
    }
    Ok(known)
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (front, back) = rest.split_at(count.min(rest.len()));
    *rest = back;
    front
}

fn number(rest: &mut &[u8], bytes: usize) -> usize {
    take(rest, bytes).iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}
