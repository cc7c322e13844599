//! The text: what is read from the node's state, and what was counted.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use group::{GroupCoordinator, GroupCounts, GroupType};
use metadata::MetadataImage;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeCounterValue, EncodeLabelSet, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use replica::Partition;

use super::Metrics;
use super::requests::{Histogram, RequestsOfApi};
use super::topics::TopicCounts;
use crate::broker::Broker;
use crate::clock::now_ms;
use crate::controller_server::ControllerServer;

/// Clock ticks a second, which Linux tells every program.
const USER_HZ: f64 = 100.0;

/// What the metrics are read from.
pub(crate) struct Sources {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) broker: Option<Arc<Broker>>,
    pub(crate) controller: Option<Arc<ControllerServer>>,
}

impl Sources {
    /// All metrics as they stand.
    pub(crate) fn text(self: &Arc<Sources>) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Scrape(Arc::clone(self))));
        let mut text = String::new();
        // Writing into a string does not fail.
        let _ = text::encode(&mut text, &registry);
        text
    }
}

struct Scrape(Arc<Sources>);

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrape")
    }
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let sources = &self.0;
        let mut out = Out(encoder);
        if let Some(broker) = &sources.broker {
            out.broker(broker, &sources.metrics)?;
            out.groups(&broker.groups)?;
        }
        if let Some(controller) = &sources.controller {
            out.controller(controller)?;
        }
        out.quorum(sources)?;
        out.requests(&sources.metrics.requests.by_api())?;
        out.process()?;
        out.pushed(&sources.metrics)
    }
}

type Label<'a> = (&'a str, &'a str);

/// A metric's name, what it says, and how it is read.
type Figure<From, Value> = (&'static str, &'static str, fn(&From) -> Value);

struct Out<'a>(DescriptorEncoder<'a>);

impl Out<'_> {
    fn gauge(&mut self, name: &str, help: &str, value: impl Into<f64>) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value.into())
    }

    fn gauge_of(&mut self, name: &str, help: &str, count: usize) -> fmt::Result {
        self.gauge(name, help, count as f64)
    }

    fn counter(&mut self, name: &str, help: &str, value: impl EncodeCounterValue) -> fmt::Result {
        self.0
            .encode_descriptor(name, help, None, MetricType::Counter)?
            .encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    /// Values of one name, each with its labels.
    fn family<S: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        is_counter: bool,
        values: impl IntoIterator<Item = (S, f64)>,
    ) -> fmt::Result {
        let kind = if is_counter { MetricType::Counter } else { MetricType::Gauge };
        let mut metric = self.0.encode_descriptor(name, help, None, kind)?;
        for (labels, value) in values {
            let mut one = metric.encode_family(&labels)?;
            match is_counter {
                true => one.encode_counter::<NoLabelSet, _, u64>(&value, None)?,
                false => one.encode_gauge(&value)?,
            }
        }
        Ok(())
    }

    fn broker(&mut self, broker: &Broker, metrics: &Metrics) -> fmt::Result {
        self.gauge(
            "kafka_server_kafkaserver_brokerstate",
            "2: started and not let in yet, 3: running, 6: handing over its partitions, 7: stopping.",
            broker.lifecycle.state_number(),
        )?;
        self.applied("kafka_server_broker_metadata_metrics_last_applied_record_", &broker.image())?;
        let partitions = Partitions::count(&broker.replicas.partitions());
        let name = |name: &str| format!("kafka_server_replicamanager_{name}");
        self.gauge_of(&name("partitioncount"), "Replicas that this broker has.", partitions.all)?;
        self.gauge_of(&name("leadercount"), "Partitions that this broker leads.", partitions.led)?;
        self.gauge_of(
            &name("underreplicatedpartitions"),
            "Partitions led here with replicas that are not in sync.",
            partitions.under_replicated,
        )?;
        self.gauge_of(
            &name("underminisrpartitioncount"),
            "Partitions led here with fewer replicas in sync than min.insync.replicas.",
            partitions.under_min_isr,
        )?;
        self.gauge_of(
            &name("atminisrpartitioncount"),
            "Partitions led here with just as many replicas in sync as min.insync.replicas.",
            partitions.at_min_isr,
        )?;
        self.gauge_of(
            &name("offlinereplicacount"),
            "Replicas in log directories that have failed.",
            partitions.offline,
        )?;
        self.gauge_of(
            &name("reassigningpartitions"),
            "Partitions led here that are being moved.",
            partitions.reassigning,
        )?;
        let counts = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        self.counter(&name("isrexpands"), "Replicas that came into sync.", counts(&metrics.isr_expands))?;
        self.counter(&name("isrshrinks"), "Replicas that fell out of sync.", counts(&metrics.isr_shrinks))?;
        self.counter(
            &name("failedisrupdates"),
            "Changes of an ISR that the controller did not take.",
            counts(&metrics.failed_isr_updates),
        )?;

        self.topics(broker, metrics)?;
        self.logs(broker)?;

        let logs = broker.replicas.logs();
        let (live, offline) = (logs.live_dirs(), logs.offline_dirs());
        self.gauge_of(
            "kafka_log_logmanager_offlinelogdirectorycount",
            "Log directories that have failed.",
            offline.len(),
        )?;
        let dirs = live.iter().map(|dir| (dir, 0.0)).chain(offline.iter().map(|dir| (dir, 1.0)));
        let dirs: Vec<(String, f64)> =
            dirs.map(|(dir, is_offline)| (dir.display().to_string(), is_offline)).collect();
        self.family(
            "kafka_log_logmanager_logdirectoryoffline",
            "1 for a log directory that has failed.",
            false,
            dirs.iter().map(|(dir, offline)| ([("logDirectory", dir.as_str())], *offline)),
        )?;
        self.gauge_of(
            "kafka_server_socketservermetrics_connection_count",
            "Connections of all listeners.",
            broker.connections.count(),
        )
    }

    /// `GroupCoordinatorMetrics`.
    fn groups(&mut self, groups: &GroupCoordinator) -> fmt::Result {
        const TYPES: [(GroupType, &str); 4] = [
            (GroupType::Classic, "Classic groups, by state."),
            (GroupType::Consumer, "Consumer groups, by state."),
            (GroupType::Share, "Share groups, by state."),
            (GroupType::Streams, "Streams groups, by state."),
        ];
        let name = |name: &str| format!("kafka_server_group_coordinator_metrics_{name}");
        let counts = groups.counts(now_ms());
        self.gauge_of(&name("offset_count"), "Offsets that groups have committed.", counts.offsets)?;
        let by_type = TYPES.map(|(of, _)| ([("protocol", of.name())], counts.of_type(of) as f64));
        self.family(&name("group_count"), "Groups, by their protocol.", false, by_type)?;
        for (of, help) in TYPES {
            let states = GroupCounts::states(of).iter();
            let states = states.map(|state| ([("state", *state)], counts.in_state(of, state) as f64));
            self.family(&name(&format!("{}_group_count", of.name())), help, false, states)?;
        }
        for (counter, help, value) in groups.counters().by_name() {
            self.counter(&name(counter), help, value)?;
        }
        Ok(())
    }

    /// How far this node has applied the metadata.
    fn applied(&mut self, name: &str, image: &MetadataImage) -> fmt::Result {
        let newest = &image.provenance;
        self.gauge(
            &format!("{name}offset"),
            "The offset of the last record of the metadata that is applied here.",
            newest.last_contained_offset as f64,
        )?;
        self.gauge(
            &format!("{name}timestamp"),
            "When that record was written, in ms since 1970.",
            newest.last_contained_log_time_ms as f64,
        )
    }

    /// `kafka.server:type=raft-metrics`.
    fn quorum(&mut self, sources: &Sources) -> fmt::Result {
        let leader = match (&sources.controller, &sources.broker) {
            (Some(controller), _) => controller.leader.borrow().clone(),
            (None, Some(broker)) => broker.channel.leader().borrow().clone(),
            (None, None) => return Ok(()),
        };
        self.gauge(
            "kafka_server_raft_metrics_current_leader",
            "The active controller, -1 where none is known.",
            leader.leader_id.unwrap_or(-1),
        )?;
        self.gauge("kafka_server_raft_metrics_current_epoch", "The epoch of the quorum.", leader.epoch)
    }

    /// `BrokerTopicMetrics`: a value of all topics together, and one of each.
    fn topics(&mut self, broker: &Broker, metrics: &Metrics) -> fmt::Result {
        let image = broker.image();
        let (all, each) = metrics.topics.sum(|topic| image.topics.topic(topic).is_some());
        let figures: [Figure<TopicCounts, u64>; 5] = [
            ("messagesin", "Records from producers.", |counts| counts.messages_in),
            ("bytesin", "Bytes of batches from producers.", |counts| counts.bytes_in),
            ("bytesout", "Bytes of batches to consumers.", |counts| counts.bytes_out),
            ("totalproducerequests", "Batches from producers.", |counts| counts.total_produce_requests),
            ("failedproducerequests", "Batches from producers that were refused.", |counts| {
                counts.failed_produce_requests
            }),
        ];
        for (what, help, figure) in figures {
            let name = format!("kafka_server_brokertopicmetrics_{what}");
            let mut metric = self.0.encode_descriptor(&name, help, None, MetricType::Counter)?;
            metric.encode_counter::<NoLabelSet, _, u64>(&figure(&all), None)?;
            for (topic, counts) in &each {
                let labels: [Label<'_>; 1] = [("topic", topic)];
                metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&figure(counts), None)?;
            }
        }
        self.counter(
            "kafka_server_brokertopicmetrics_replicationbytesout",
            "Bytes of batches to followers.",
            all.replication_bytes_out,
        )
    }

    /// `kafka.log:type=Log` and `kafka.cluster:type=Partition`: a value of each partition that is here.
    fn logs(&mut self, broker: &Broker) -> fmt::Result {
        let mut partitions = broker.replicas.partitions();
        partitions.sort_unstable_by(|one, other| one.topic_partition().cmp(other.topic_partition()));
        let figures: [Figure<Partition, Option<f64>>; 7] = [
            ("kafka_log_log_size", "Bytes of a partition's log.", |partition| {
                Some(partition.log().size() as f64)
            }),
            ("kafka_log_log_numlogsegments", "Segments of a partition's log.", |partition| {
                Some(partition.log().segment_count() as f64)
            }),
            ("kafka_log_log_logstartoffset", "The first offset of a partition's log.", |partition| {
                Some(partition.log().log_start_offset() as f64)
            }),
            ("kafka_log_log_logendoffset", "The offset that the next record gets.", |partition| {
                Some(partition.log().log_end_offset() as f64)
            }),
            ("kafka_cluster_partition_replicascount", "Replicas of a partition led here.", |partition| {
                partition.is_leader().then(|| partition.registration().replicas.len() as f64)
            }),
            (
                "kafka_cluster_partition_insyncreplicascount",
                "Replicas in sync of a partition led here.",
                |partition| partition.is_leader().then(|| partition.registration().isr.len() as f64),
            ),
            (
                "kafka_cluster_partition_underreplicated",
                "1 for a partition led here with replicas that are not in sync.",
                |partition| {
                    partition.is_leader().then(|| f64::from(u8::from(is_under_replicated(partition))))
                },
            ),
        ];
        for (name, help, figure) in figures {
            let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for partition in &partitions {
                let Some(value) = figure(partition) else { continue };
                let of = partition.topic_partition();
                let index = of.partition.to_string();
                let labels: [Label<'_>; 2] = [("topic", &of.topic), ("partition", &index)];
                metric.encode_family(&labels)?.encode_gauge(&value)?;
            }
        }
        Ok(())
    }

    /// `KafkaController`, `ControllerMetadataMetrics`.
    fn controller(&mut self, controller: &ControllerServer) -> fmt::Result {
        let image = controller.image.load();
        let cluster = Cluster::count(&image);
        let name = |name: &str| format!("kafka_controller_kafkacontroller_{name}");
        self.applied(&name("lastappliedrecord"), &image)?;
        self.gauge(
            &name("activecontrollercount"),
            "1 for the active controller.",
            u8::from(controller.is_active()),
        )?;
        self.gauge_of(&name("activebrokercount"), "Brokers that take requests.", cluster.active_brokers)?;
        self.gauge_of(
            &name("fencedbrokercount"),
            "Brokers that are registered and take none.",
            cluster.fenced_brokers,
        )?;
        self.gauge_of(&name("globaltopiccount"), "Topics of the cluster.", cluster.topics)?;
        self.gauge_of(&name("globalpartitioncount"), "Partitions of the cluster.", cluster.partitions)?;
        self.gauge_of(
            &name("offlinepartitionscount"),
            "Partitions of the cluster without a leader.",
            cluster.offline_partitions,
        )?;
        self.gauge_of(
            &name("preferredreplicaimbalancecount"),
            "Partitions of the cluster that another than their first replica leads.",
            cluster.imbalanced_partitions,
        )
    }

    fn requests(&mut self, requests: &[RequestsOfApi]) -> fmt::Result {
        let name = |name: &str| format!("kafka_network_requestmetrics_{name}");
        let counted = [
            ("requests", "Requests.", (|of| of.local.count) as fn(&RequestsOfApi) -> u64),
            ("requestbytes", "Bytes of requests.", |of| of.request_bytes),
            ("responsebytes", "Bytes of answers.", |of| of.response_bytes),
        ];
        for (what, help, value) in counted {
            let values = requests.iter().map(|of| ([("request", of.api.name())], value(of) as f64));
            self.family(&name(what), help, true, values)?;
        }
        let times = [
            (
                "localtimems",
                "Milliseconds on the thread that read a request.",
                (|of| &of.local) as fn(&RequestsOfApi) -> &Histogram,
            ),
            ("totaltimems", "Milliseconds until the answer to a request was there.", |of| &of.total),
        ];
        for (what, help, histogram) in times {
            let name = name(what);
            let mut metric = self.0.encode_descriptor(&name, help, None, MetricType::Histogram)?;
            for of in requests {
                let histogram = histogram(of);
                metric.encode_family(&[("request", of.api.name())])?.encode_histogram::<NoLabelSet>(
                    histogram.sum_ms,
                    histogram.count,
                    &histogram.buckets,
                    None,
                )?;
            }
        }
        Ok(())
    }

    fn process(&mut self) -> fmt::Result {
        let version: [Label<'_>; 1] = [("version", env!("CARGO_PKG_VERSION"))];
        self.family("milena_build", "The version of milena.", false, [(version, 1.0)])?;
        let Some((cpu_seconds, resident_bytes)) = process() else { return Ok(()) };
        self.counter("process_cpu_seconds", "CPU time of all threads.", cpu_seconds)?;
        self.gauge("process_resident_memory_bytes", "Memory that the process holds.", resident_bytes)
    }

    fn pushed(&mut self, metrics: &Metrics) -> fmt::Result {
        for (name, family) in metrics.pushed.families(now_ms()) {
            self.family(&name, "Pushed by clients (KIP-714).", family.is_counter, family.values)?;
        }
        Ok(())
    }
}

/// CPU seconds, and bytes of resident memory, of this process.
fn process() -> Option<(f64, f64)> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name, in parentheses, may hold anything; user and system time are the twelfth and thirteenth words behind it.
    let mut ticks = stat.rsplit_once(')')?.1.split_whitespace().skip(11).map(str::parse::<f64>);
    let cpu = ticks.next()?.ok()? + ticks.next()?.ok()?;
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let resident: f64 = resident.split_whitespace().next()?.parse().ok()?;
    Some((cpu / USER_HZ, resident * 1024.0))
}

/// The replicas of a broker (`ReplicaManager`).
#[derive(Default)]
struct Partitions {
    all: usize,
    led: usize,
    under_replicated: usize,
    under_min_isr: usize,
    at_min_isr: usize,
    offline: usize,
    reassigning: usize,
}

impl Partitions {
    fn count(partitions: &[Arc<Partition>]) -> Partitions {
        let mut counts = Partitions { all: partitions.len(), ..Partitions::default() };
        for partition in partitions {
            counts.offline += usize::from(partition.is_offline());
            if !partition.is_leader() {
                continue;
            }
            let known = partition.registration();
            let (in_sync, least) = (known.isr.len(), partition.effective_min_insync_replicas());
            counts.led += 1;
            counts.under_replicated += usize::from(is_under_replicated(partition));
            counts.under_min_isr += usize::from(in_sync < least);
            counts.at_min_isr += usize::from(in_sync == least);
            counts.reassigning +=
                usize::from(!known.adding_replicas.is_empty() || !known.removing_replicas.is_empty());
        }
        counts
    }
}

/// Whether replicas of a partition that is led here are not in sync. What a reassignment adds is not missed before it is over.
fn is_under_replicated(partition: &Partition) -> bool {
    let known = partition.registration();
    known.isr.len() < known.replicas.len() - known.adding_replicas.len().min(known.replicas.len())
}

/// The cluster as a controller knows it.
#[derive(Default)]
struct Cluster {
    active_brokers: usize,
    fenced_brokers: usize,
    topics: usize,
    partitions: usize,
    offline_partitions: usize,
    imbalanced_partitions: usize,
}

impl Cluster {
    fn count(image: &MetadataImage) -> Cluster {
        let mut counts = Cluster { topics: image.topics.len(), ..Cluster::default() };
        for broker in image.cluster.brokers.values() {
            counts.fenced_brokers += usize::from(broker.fenced);
            counts.active_brokers += usize::from(!broker.fenced);
        }
        for partition in image.topics.iter().flat_map(|topic| topic.partitions.values()) {
            counts.partitions += 1;
            counts.offline_partitions += usize::from(partition.leader < 0);
            counts.imbalanced_partitions +=
                usize::from(partition.replicas.first() != Some(&partition.leader));
        }
        counts
    }
}
