//! `DescribeLogDirs`: what each log directory holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use common::ErrorCode;
use metadata::MetadataVersion;
use network::{Handled, Outbox};
use protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse};

use storage::Log;

use crate::broker::Broker;
use crate::request::{BadRequest, Request};

pub(crate) fn handle(
    broker: &Arc<Broker>,
    mut request: Request<'_>,
    out: &mut Outbox,
) -> Result<Handled, BadRequest> {
    let body: DescribeLogDirsRequest = request.read()?;
    let wanted = |topic: &str, partition: i32| match &body.topics {
        None => true,
        Some(topics) => {
            topics.iter().any(|asked| asked.topic == topic && asked.partitions.contains(&partition))
        }
    };
    let logs = broker.replicas.logs();
    let directories = logs.directory_ids();
    let version = broker.image().features.metadata_version();
    let cordons = version.is_some_and(MetadataVersion::is_cordoned_log_dirs_supported);
    let mut results = Vec::new();
    for directory in logs.live_dirs() {
        let id = directories.iter().find(|(path, _)| *path == directory).map(|(_, id)| *id);
        let mut topics: BTreeMap<String, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
        let mut note = |log: &Log, offset_lag: i64, is_future_key: bool| {
            let partition = log.topic_partition();
            if !wanted(&partition.topic, partition.partition) || logs.directory_id_of(log) != id {
                return;
            }
            topics.entry(partition.topic.to_string()).or_default().push(DescribeLogDirsPartition {
                partition_index: partition.partition,
                partition_size: log.size() as i64,
                offset_lag,
                is_future_key,
            });
        };
        for log in logs.logs() {
            note(&log, (log.high_watermark() - log.log_end_offset()).max(0), false);
            if let Some(future) = logs.future_log(log.topic_partition()) {
                note(&future, (log.log_end_offset() - future.log_end_offset()).max(0), true);
            }
        }
        let (total_bytes, usable_bytes) = match rustix::fs::statvfs(&directory) {
            Ok(stat) => ((stat.f_blocks * stat.f_frsize) as i64, (stat.f_bavail * stat.f_frsize) as i64),
            Err(_) => (-1, -1),
        };
        results.push(DescribeLogDirsResult {
            error_code: 0,
            log_dir: directory.display().to_string(),
            topics: topics
                .into_iter()
                .map(|(name, partitions)| DescribeLogDirsTopic { name, partitions })
                .collect(),
            total_bytes,
            usable_bytes,
            is_cordoned: cordons && logs.is_cordoned(&directory),
        });
    }
    for directory in logs.offline_dirs() {
        results.push(DescribeLogDirsResult {
            error_code: ErrorCode::KafkaStorageError.code(),
            log_dir: directory.display().to_string(),
            ..DescribeLogDirsResult::default()
        });
    }
    request.head.answer(&DescribeLogDirsResponse { results, ..Default::default() }, out)
}
