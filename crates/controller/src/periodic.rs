//! What the active controller does by itself as time passes (`org.apache.kafka.controller.PeriodicTaskControlManager`).

use metadata::VersionedRecord;
use protocol::messages::NoOpRecord;

use crate::config::ControllerConfig;
use crate::quorum_controller::QuorumController;
use crate::result::{ControllerRequestContext, ControllerResult};

/// How soon a task runs again that left something over.
const IMMEDIATE_MS: i64 = 10;
/// How many elections one run of a task starts at most.
const MAX_ELECTIONS: usize = 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    WriteNoOpRecord,
    MaybeFenceStaleBroker,
    ElectPreferred,
    ElectUnclean,
}

/// The tasks, how often each runs and when it runs next.
#[derive(Clone, Debug)]
pub(crate) struct PeriodicTasks(Vec<(Task, i64, i64)>);

impl PeriodicTasks {
    pub fn new(config: &ControllerConfig, now_ms: i64) -> PeriodicTasks {
        let periods = [
            (Task::WriteNoOpRecord, config.max_idle_interval_ms),
            (Task::MaybeFenceStaleBroker, Some((config.session_timeout_ms / 8).max(1))),
            (Task::ElectPreferred, config.leader_imbalance_check_interval_ms),
            (Task::ElectUnclean, Some(config.unclean_leader_election_interval_ms)),
        ];
        let tasks = periods.into_iter().filter_map(|(task, period_ms)| {
            period_ms.map(|period_ms| (task, period_ms, now_ms.saturating_add(period_ms)))
        });
        PeriodicTasks(tasks.collect())
    }

    fn next_ms(&self) -> Option<i64> {
        self.0.iter().map(|(_, _, next_ms)| *next_ms).min()
    }

    /// A task that is due, with its next run a period from now.
    fn take_due(&mut self, now_ms: i64) -> Option<Task> {
        let (task, period_ms, next_ms) = self.0.iter_mut().find(|(_, _, next_ms)| *next_ms <= now_ms)?;
        *next_ms = now_ms.saturating_add((*period_ms).max(1));
        Some(*task)
    }

    fn run_soon(&mut self, again: Task, now_ms: i64) {
        for (task, _, next_ms) in &mut self.0 {
            if *task == again {
                *next_ms = (*next_ms).min(now_ms.saturating_add(IMMEDIATE_MS));
            }
        }
    }
}

impl QuorumController {
    /// When [`QuorumController::poll`] has something to do next, in the time of `now_ms`; none if it is not active.
    pub fn next_event_ms(&self) -> Option<i64> {
        self.periodic.as_ref()?.next_ms()
    }

    /// Does what is due, until something makes records. None if nothing is due any more.
    pub fn poll(&mut self, context: &ControllerRequestContext<'_>) -> Option<ControllerResult<()>> {
        while let Some(task) = self.periodic.as_mut()?.take_due(context.now_ms) {
            let (records, again) = match task {
                Task::WriteNoOpRecord => (vec![(NoOpRecord::default().into(), 0)], false),
                Task::MaybeFenceStaleBroker => self.maybe_fence_one_stale_broker(context.now_ms),
                Task::ElectPreferred => with_limit(self.state.elect_preferred_leaders(MAX_ELECTIONS)),
                Task::ElectUnclean => with_limit(self.state.elect_unclean_leaders(MAX_ELECTIONS)),
            };
            if again && let Some(periodic) = &mut self.periodic {
                periodic.run_soon(task, context.now_ms);
            }
            if !records.is_empty() {
                return Some(ControllerResult::of(records, ()));
            }
        }
        None
    }

    /// Fences one broker whose session is over. There may be more: it says whether to look again soon.
    fn maybe_fence_one_stale_broker(&mut self, now_ms: i64) -> (Vec<VersionedRecord>, bool) {
        let Some(heartbeats) = &mut self.heartbeats else { return (Vec::new(), false) };
        let Some((broker_id, broker_epoch)) = heartbeats.remove_expired(now_ms) else {
            return (Vec::new(), false);
        };
        match self.state.cluster.broker(broker_id) {
            None => heartbeats.remove(broker_id),
            Some(broker) if broker.epoch != broker_epoch => {}
            Some(_) => {
                tracing::warn!(broker_id, broker_epoch, "fencing a broker because its session has timed out");
                return (self.fence(broker_id), true);
            }
        }
        (Vec::new(), true)
    }

    fn fence(&mut self, broker_id: i32) -> Vec<VersionedRecord> {
        let mut records = Vec::new();
        if self.state.handle_broker_fenced(broker_id, &mut records).is_err() {
            return Vec::new();
        }
        if let Some(heartbeats) = &mut self.heartbeats {
            heartbeats.fence(broker_id);
        }
        records
    }

    /// Fences a broker whose process is known to be gone, and ends its session: others lead at once what it led, and its
    /// next incarnation may register at once.
    ///
    /// Divergence: Kafka waits until the session has run out, 9 s by default. A broker that was taken for gone and is not
    /// loses nothing but time: its next heartbeat lets it in again, and leader epochs keep it from answering for the past.
    pub fn fence_lost_broker(&mut self, broker_id: i32, broker_epoch: i64) -> ControllerResult<()> {
        let registered = self.state.cluster.broker(broker_id);
        let mut records = Vec::new();
        if let Some(broker) = registered.filter(|broker| broker.epoch == broker_epoch)
            && self.is_active()
        {
            let fenced = broker.fenced;
            self.end_session(broker_id);
            if !fenced {
                tracing::warn!(broker_id, broker_epoch, "fencing a broker because its process is gone");
                records = self.fence(broker_id);
            }
        }
        ControllerResult::of(records, ())
    }
}

fn with_limit(records: Vec<VersionedRecord>) -> (Vec<VersionedRecord>, bool) {
    let again = records.len() >= MAX_ELECTIONS;
    (records, again)
}
