//! The broker with the coordinators: `GroupCoordinator` over `__consumer_offsets` in a `LogManager`, on a disk that fails.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use common::topic::GROUP_METADATA_TOPIC;
use common::{ErrorCode, TopicPartition, Uuid};
use coordinator::{Appended, CoordinatorLog};
use group::{GroupConfig, GroupCoordinator, TopicsChange};
use io::SimulatedDisk;
use metadata::{MetadataDelta, MetadataImage};
use protocol::messages::{PartitionRecord, TopicRecord};
use storage::{
    AppendOrigin, CleanerConfig, CleanerHost, Log, LogCleaner, LogConfig, LogManager, LogManagerConfig,
};

use super::clients::{PARTITIONS, TOPIC, WORDS};
use crate::offsets::{self, Topics};
use crate::planted::Planted;

pub(crate) const OFFSETS_PARTITIONS: i32 = 2;

/// The cluster's metadata: one topic.
pub(crate) fn image() -> Result<Arc<MetadataImage>, String> {
    let mut delta = MetadataDelta::new(&MetadataImage::empty());
    let failed = |error: metadata::ReplayError| error.to_string();
    delta.replay(&TopicRecord { name: WORDS.to_owned(), topic_id: TOPIC }.into()).map_err(failed)?;
    for partition_id in 0..PARTITIONS {
        let record = PartitionRecord { partition_id, topic_id: TOPIC, ..PartitionRecord::default() };
        delta.replay(&record.into()).map_err(failed)?;
    }
    Ok(Arc::new(delta.apply(MetadataImage::empty().provenance)))
}

/// The coordinators' log. Where records must survive the loss of power they are committed by a later sync.
struct OffsetsLog {
    logs: BTreeMap<i32, Arc<Log>>,
    at_once: bool,
    failed: Arc<AtomicBool>,
}

impl CoordinatorLog for OffsetsLog {
    fn append(&self, partition: i32, batch: &[u8], now_ms: i64) -> Result<Appended, ErrorCode> {
        let log = self.logs.get(&partition).ok_or(ErrorCode::NotLeaderOrFollower)?;
        let appended =
            log.append_as_leader(batch, 0, AppendOrigin::Coordinator, now_ms).map_err(|error| {
                self.failed.store(true, Ordering::Relaxed);
                error.error_code()
            })?;
        if self.at_once {
            log.update_high_watermark(appended.log_end_offset);
        }
        Ok(Appended { last_offset: appended.last_offset, high_watermark: log.high_watermark() })
    }

    fn max_batch_size(&self, _: i32) -> usize {
        1_000_000
    }
}

/// A broker that runs.
pub(crate) struct Broker {
    pub coordinator: GroupCoordinator,
    logs: Arc<LogManager>,
    cleaner: LogCleaner,
    /// Something was refused: its process ends.
    pub failed: Arc<AtomicBool>,
}

fn partition(index: i32) -> TopicPartition {
    TopicPartition::new(GROUP_METADATA_TOPIC, index)
}

impl Broker {
    /// Starts it. `survives_power_loss`: records are committed by syncs, not at once.
    pub fn start(
        disk: &SimulatedDisk,
        image: &Arc<MetadataImage>,
        survives_power_loss: bool,
        planted: Option<Planted>,
        first_id: u64,
        now_ms: i64,
    ) -> Result<Broker, String> {
        let config = Arc::new(LogConfig {
            segment_size: 6000,
            index_interval: 500,
            compact: true,
            delete: false,
            min_cleanable_ratio: 0.1,
            file_delete_delay_ms: 1000,
            ..LogConfig::default()
        });
        let manager = LogManager::open(LogManagerConfig {
            log_dirs: vec![disk.path().join("data")],
            cluster_id: Some("cluster".to_owned()),
            node_id: 1,
            num_recovery_threads_per_data_dir: 1,
            default_config: Arc::clone(&config),
            producer_id_expiration_ms: 86_400_000,
        });
        let logs = Arc::new(manager.map_err(|error| error.to_string())?);
        logs.load(&|_| None, &|_, _| false, now_ms).map_err(|error| error.to_string())?;
        let mut offsets = BTreeMap::new();
        for index in 0..OFFSETS_PARTITIONS {
            let log = logs.create_log(&partition(index), None, Arc::clone(&config), now_ms);
            let log = log.map_err(|error| error.to_string())?;
            if survives_power_loss {
                log.flush().map_err(|error| error.to_string())?;
            }
            // What a lone leader has is committed.
            log.update_high_watermark(log.log_end_offset());
            offsets.insert(index, log);
        }
        let failed = Arc::new(AtomicBool::new(false));
        let at_once = !survives_power_loss || planted == Some(Planted::AnswerBeforeCommit);
        let offsets_log = OffsetsLog { logs: offsets.clone(), at_once, failed: Arc::clone(&failed) };
        let group_config =
            GroupConfig { offsets_topic_num_partitions: OFFSETS_PARTITIONS, ..GroupConfig::default() };
        let ids = AtomicU64::new(first_id);
        let coordinator = GroupCoordinator::with_ids(
            group_config,
            Arc::new(offsets_log),
            Box::new(|_| {}),
            Box::new(move || Uuid::from_u128(u128::from(ids.fetch_add(1, Ordering::Relaxed)))),
        );
        let change = TopicsChange { created: true, names: vec![WORDS.to_owned()] };
        coordinator.on_metadata_update(Arc::new(Topics(Arc::clone(image))), &change, now_ms);
        for (index, log) in &offsets {
            let mut end = log.log_end_offset();
            if planted == Some(Planted::UnreadEnd) {
                end -= 2;
            }
            offsets::load(&coordinator, *index, 0, log, end, now_ms)
                .map_err(|error| format!("{GROUP_METADATA_TOPIC}-{index} does not load: {error:?}"))?;
        }
        let cleaner = LogCleaner::new(
            Arc::clone(&logs),
            CleanerConfig { dedupe_buffer_size: 1 << 20, ..CleanerConfig::default() },
        );
        Ok(Broker { coordinator, logs, cleaner, failed })
    }

    /// Syncs and commits what was appended.
    pub fn commit(&self, now_ms: i64) {
        for index in 0..OFFSETS_PARTITIONS {
            let Some(log) = self.logs.get_log(&partition(index)) else { continue };
            let end = log.log_end_offset();
            if log.flush().is_err() {
                self.failed.store(true, Ordering::Relaxed);
                return;
            }
            log.update_high_watermark(end);
            self.coordinator.on_high_watermark(index, end, now_ms);
        }
    }

    /// Compaction, and what else is done from time to time.
    pub fn housekeeping(&self, now_ms: i64) -> bool {
        let host = CleanerHost { monotonic_ns: &|| 0, sleep: &|_| {}, is_stopping: &|| false };
        let cleaned = self.cleaner.clean_filthiest(&host, now_ms);
        self.logs.retention(now_ms);
        self.logs.flush_dirty(now_ms);
        let written =
            self.logs.checkpoint_recovery_points().and_then(|()| self.logs.checkpoint_high_watermarks());
        if written.is_err() || self.logs.live_dirs().is_empty() {
            self.failed.store(true, Ordering::Relaxed);
        }
        cleaned
    }
}
