//! Produce requests that are at hand together, as a client's are that has several under way: what they have for the same partition goes
//! into its log at once. Each gets the answer that it would have got alone.

use std::sync::Arc;

use network::{Handled, Later, Outbox};
use protocol::messages::ProduceRequest;
use replica::{HostedTopic, Partition};
use storage::AppendInfo;

use super::waiting::{Taken, Waiting};
use super::{Append, Refusal, hosted, partitions};
use crate::broker::Broker;
use crate::request::{BadRequest, Request};
use crate::stalled_disks;

/// What became of a batch.
type Appended = Result<(Arc<Partition>, AppendInfo), Refusal>;

/// A request of them.
struct One<'a> {
    request: Request<'a>,
    body: ProduceRequest<'a>,
    /// By topic, as they stand in the request.
    hosted: Vec<Option<Arc<HostedTopic>>>,
}

/// A batch that may go into its partition's log.
struct Acceptable<'a> {
    partition: &'a Arc<Partition>,
    batch: &'a [u8],
    /// Where its result belongs.
    index: usize,
}

/// Serves the first of `requests` and those behind it, up to one that cannot be served with it. How many that were, and what became of
/// them. Nothing where the first has to be served alone.
pub(crate) fn handle<'a>(
    broker: &Arc<Broker>,
    requests: impl Iterator<Item = Request<'a>>,
    out: &mut Outbox,
) -> Option<(usize, Result<Handled, BadRequest>)> {
    let requests = readable(broker, requests);
    let one_by_one = requests.len() < 2 || {
        let all = || requests.iter().flat_map(|one| partitions(broker, &one.body, one.request.head.version));
        stalled_disks::to_wait_for(broker, all).is_some()
    };
    if one_by_one {
        return None;
    }
    let appends: Vec<_> = requests.iter().map(|one| Append::of(broker, &one.request, &one.body)).collect();
    let mut appended = append(&requests, &appends).into_iter();
    let mut taken = Vec::with_capacity(requests.len());
    for (one, append) in requests.iter().zip(&appends) {
        let mut of_one = Taken::of(one.request.head, &one.body);
        for (topic, hosted) in one.body.topic_data.iter().zip(&one.hosted) {
            of_one.begin_topic(topic);
            for (data, appended) in topic.partition_data.iter().zip(&mut appended) {
                append.say(hosted.as_deref(), data, appended, &mut of_one);
            }
        }
        of_one.name_leaders(broker, &one.request);
        taken.push(of_one);
    }
    Some((requests.len(), answer(broker, taken, out)))
}

/// Those in front that can be read and want to be told of the same.
fn readable<'a>(broker: &Broker, requests: impl Iterator<Item = Request<'a>>) -> Vec<One<'a>> {
    let mut readable: Vec<One<'a>> = Vec::new();
    for mut request in requests {
        // What is wrong with one that cannot be read is said when it is alone.
        let Ok(body) = request.read::<ProduceRequest<'_>>() else { break };
        // Without an answer, an error ends the connection before the next request is looked at.
        if body.acks == 0 || readable.first().is_some_and(|first| first.body.acks != body.acks) {
            break;
        }
        let hosted = body.topic_data.iter().map(|topic| hosted(broker, topic, request.head.version));
        let hosted = hosted.collect();
        readable.push(One { request, body, hosted });
    }
    readable
}

/// Appends what the requests hold. What became of it, in the order in which it stands there.
fn append(requests: &[One<'_>], appends: &[Append<'_>]) -> Vec<Appended> {
    let (mut results, mut acceptable) = (Vec::new(), Vec::new());
    for (one, append) in requests.iter().zip(appends) {
        for (topic, hosted) in one.body.topic_data.iter().zip(&one.hosted) {
            for data in &topic.partition_data {
                let index = results.len();
                results.push(match append.acceptable(hosted.as_deref(), topic, data) {
                    Ok((partition, batch)) => {
                        acceptable.push(Acceptable { partition, batch, index });
                        None
                    }
                    Err(refusal) => Some(Err(refusal)),
                });
            }
        }
    }
    // A partition's batches keep their order.
    acceptable.sort_by_key(|batch| Arc::as_ptr(batch.partition));
    // Invariant: they have the same acks; where there are batches there is a request.
    let Some(append) = appends.first() else { return Vec::new() };
    for batches in acceptable.chunk_by(|one, next| Arc::ptr_eq(one.partition, next.partition)) {
        let Some(first) = batches.first() else { continue };
        let bytes: Vec<&[u8]> = batches.iter().map(|batch| batch.batch).collect();
        let appended = first.partition.append_each_as_leader(&bytes, append.acks == -1, append.now_ms);
        for (batch, appended) in batches.iter().zip(appended) {
            let result = appended.map(|info| (Arc::clone(batch.partition), info));
            results[batch.index] = Some(result.map_err(|error| Refusal::of(error, batch.partition)));
        }
    }
    results.into_iter().map(|result| result.expect("Invariant: each batch is refused or appended")).collect()
}

/// Puts the answers into the outbox, or says when they come: in the order of the requests.
fn answer(broker: &Broker, taken: Vec<Taken>, out: &mut Outbox) -> Result<Handled, BadRequest> {
    let mut waiting: Vec<Waiting> = Vec::new();
    for taken in taken {
        if waiting.is_empty() && !taken.has_to_wait() {
            taken.head.answer(&taken.response, out)?;
        } else {
            waiting.push(taken.begin_sync(broker));
        }
    }
    if waiting.is_empty() {
        return Ok(Handled::Done);
    }
    let later: Later = Box::pin(async move {
        let mut out = Outbox::new();
        for waiting in waiting {
            let head = waiting.head;
            let response = waiting.response().await;
            if let Err(error) = head.answer(&response, &mut out) {
                // Nothing can be said in this version; the client's own timeout has to.
                tracing::error!("{error}");
            }
        }
        out
    });
    Ok(Handled::Later(later))
}
