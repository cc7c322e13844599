//! What a consumer is configured with. Names and defaults are the Java client's.

use std::sync::Arc;
use std::time::Duration;

use super::Interceptors;
use super::assignor::{Assignor, PartitionAssignor, Registered};
use crate::config::{boolean, invalid, millis, number, one_of};
use crate::{ClientConfig, ClientError};

/// Where to begin in a partition, or begin again (`auto.offset.reset`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartOffset {
    /// Where the group is; where it has committed nothing, as `auto.offset.reset` says.
    Committed,
    /// With the first record that is kept.
    Earliest,
    /// Behind the last record that there is.
    Latest,
    /// At this offset.
    At(i64),
    /// With the first record whose timestamp, in ms since 1970, is this or later; at the end if there is none.
    Timestamp(i64),
}

/// What happens at an offset that the log does not have (`auto.offset.reset`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AutoOffsetReset {
    /// On with the first record that is kept.
    Earliest,
    /// On behind the last record.
    #[default]
    Latest,
    /// On with the first record that is no older than this (`by_duration:PT1H`, KIP-1106).
    ByDuration(Duration),
    /// It is an error.
    None,
}

impl AutoOffsetReset {
    fn parse(key: &str, value: &str) -> Result<AutoOffsetReset, ClientError> {
        use AutoOffsetReset::{ByDuration, Earliest, Latest, None};
        if let Some(duration) = value.trim().strip_prefix("by_duration:") {
            return iso_8601(duration).map(ByDuration).ok_or_else(|| {
                invalid(
                    key,
                    value,
                    "by_duration is followed by an ISO 8601 duration that is not negative, such as PT1H",
                )
            });
        }
        one_of(key, value, &[("latest", Latest), ("earliest", Earliest), ("none", None)])
    }

    /// Where a partition without an offset begins; none where that is an error.
    pub(super) fn start(self, now_ms: i64) -> Option<StartOffset> {
        match self {
            AutoOffsetReset::Earliest => Some(StartOffset::Earliest),
            AutoOffsetReset::Latest => Some(StartOffset::Latest),
            AutoOffsetReset::ByDuration(age) => {
                let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
                Some(StartOffset::Timestamp(now_ms.saturating_sub(age_ms).max(0)))
            }
            AutoOffsetReset::None => None,
        }
    }
}

/// `java.time.Duration.parse`, of what is not negative: `P2DT3H4M5.6S`.
fn iso_8601(text: &str) -> Option<Duration> {
    let text = text.to_ascii_uppercase();
    let (days, time) = match text.strip_prefix('P')?.split_once('T') {
        Some((days, time)) if !time.is_empty() => (days, time),
        Some(_) => return None,
        None => (text.strip_prefix('P')?, ""),
    };
    let mut seconds = 0.0;
    let mut any = false;
    for (mut rest, units) in
        [(days, &[('D', 86_400.0)][..]), (time, &[('H', 3600.0), ('M', 60.0), ('S', 1.0)])]
    {
        for (unit, length) in units {
            let Some((number, behind)) = rest.split_once(*unit) else { continue };
            let is_number =
                number.bytes().all(|byte| byte.is_ascii_digit() || (byte == b'.' && *unit == 'S'));
            seconds += number.parse::<f64>().ok().filter(|_| is_number)? * length;
            (rest, any) = (behind, true);
        }
        if !rest.is_empty() {
            return None;
        }
    }
    any.then(|| Duration::try_from_secs_f64(seconds).ok()).flatten()
}

/// How members of a group agree on who has what (`group.protocol`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GroupProtocol {
    /// They meet at a barrier, and one of them divides the partitions.
    #[default]
    Classic,
    /// The coordinator divides them, and each member follows in its own time (KIP-848).
    Consumer,
}

/// Which records of transactions are seen (`isolation.level`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IsolationLevel {
    /// All of them.
    #[default]
    ReadUncommitted,
    /// Those of transactions that were committed; reading stops before the first that is still open.
    ReadCommitted,
}

impl IsolationLevel {
    pub(crate) fn code(self) -> i8 {
        match self {
            IsolationLevel::ReadUncommitted => 0,
            IsolationLevel::ReadCommitted => 1,
        }
    }
}

/// What a consumer is configured with.
#[derive(Debug, Clone)]
pub struct ConsumerConfig {
    /// Where the brokers are.
    pub client: ClientConfig,
    /// `fetch.min.bytes`: a broker waits until it has so many.
    pub fetch_min_bytes: i32,
    /// `fetch.max.wait.ms`: how long it waits for them.
    pub fetch_max_wait: Duration,
    /// `fetch.max.bytes`: how much one answer may hold; a single larger batch still comes.
    pub fetch_max_bytes: i32,
    /// `max.partition.fetch.bytes`: the same for one partition.
    pub max_partition_fetch_bytes: i32,
    /// `max.poll.records`.
    pub max_poll_records: usize,
    /// `auto.offset.reset`.
    pub auto_offset_reset: AutoOffsetReset,
    /// `isolation.level`.
    pub isolation_level: IsolationLevel,
    /// `check.crcs`.
    pub check_crcs: bool,
    /// `allow.auto.create.topics`.
    pub allow_auto_create_topics: bool,
    /// `exclude.internal.topics`: whether a pattern leaves out topics such as `__consumer_offsets`.
    pub exclude_internal_topics: bool,
    /// `client.rack`.
    pub client_rack: String,
    /// `group.id`; without one there are no groups and no committed offsets.
    pub group_id: Option<String>,
    /// `group.instance.id`: a member with this name keeps its partitions when it comes back within its session.
    pub group_instance_id: Option<String>,
    /// `group.protocol`.
    pub group_protocol: GroupProtocol,
    /// `group.remote.assignor`: the coordinator's assignor, of `group.protocol=consumer`.
    pub group_remote_assignor: Option<String>,
    /// `partition.assignment.strategy`, the favourite first; none is range and cooperative-sticky. This and the next two
    /// are for `group.protocol=classic` alone: in the other one they are the coordinator's settings.
    pub partition_assignment_strategy: Option<Vec<Assignor>>,
    /// Assignors of the application's own that `partition.assignment.strategy` can name.
    pub registered_assignors: Registered,
    /// What sees every record and every commit (`interceptor.classes`).
    pub interceptors: Interceptors,
    /// `session.timeout.ms`; none is 45 s.
    pub session_timeout: Option<Duration>,
    /// `heartbeat.interval.ms`; none is 3 s.
    pub heartbeat_interval: Option<Duration>,
    /// `max.poll.interval.ms`: a member that does not poll for so long leaves its group.
    pub max_poll_interval: Duration,
    /// `enable.auto.commit`; none is yes with a `group.id` and no without.
    pub enable_auto_commit: Option<bool>,
    /// `auto.commit.interval.ms`.
    pub auto_commit_interval: Duration,
}

impl ConsumerConfig {
    /// The Java client's defaults for brokers at `bootstrap_servers`.
    pub fn new(bootstrap_servers: impl Into<String>) -> ConsumerConfig {
        ConsumerConfig {
            client: ClientConfig::new(bootstrap_servers),
            fetch_min_bytes: 1,
            fetch_max_wait: Duration::from_millis(500),
            fetch_max_bytes: 50 * 1024 * 1024,
            max_partition_fetch_bytes: 1024 * 1024,
            max_poll_records: 500,
            auto_offset_reset: AutoOffsetReset::Latest,
            isolation_level: IsolationLevel::ReadUncommitted,
            check_crcs: true,
            allow_auto_create_topics: true,
            exclude_internal_topics: true,
            client_rack: String::new(),
            group_id: None,
            group_instance_id: None,
            group_protocol: GroupProtocol::Classic,
            group_remote_assignor: None,
            partition_assignment_strategy: None,
            registered_assignors: Registered::default(),
            interceptors: Interceptors::default(),
            session_timeout: None,
            heartbeat_interval: None,
            max_poll_interval: Duration::from_secs(300),
            enable_auto_commit: None,
            auto_commit_interval: Duration::from_secs(5),
        }
    }

    /// Lets `partition.assignment.strategy` name an assignor of the application's own.
    pub fn register_assignor(&mut self, assignor: impl PartitionAssignor + 'static) {
        self.registered_assignors.add(Arc::new(assignor));
    }

    /// Whether the consumer commits by itself.
    pub fn auto_commits(&self) -> bool {
        self.enable_auto_commit.unwrap_or(self.group_id.is_some())
    }

    pub(super) fn session_timeout(&self) -> Duration {
        self.session_timeout.unwrap_or(Duration::from_secs(45))
    }

    pub(super) fn heartbeat_interval(&self) -> Duration {
        self.heartbeat_interval.unwrap_or(Duration::from_secs(3))
    }

    pub(super) fn assignors(&self) -> Vec<Assignor> {
        self.partition_assignment_strategy
            .clone()
            .unwrap_or(vec![Assignor::Range, Assignor::CooperativeSticky])
    }

    /// What does not go together.
    pub(super) fn check(&self) -> Result<(), ClientError> {
        if self.group_id.is_none() && self.enable_auto_commit == Some(true) {
            let reason = "enable.auto.commit cannot be set to true when default group id (null) is used.";
            return Err(invalid("enable.auto.commit", "true", reason));
        }
        if self.group_id.as_deref().is_some_and(|group| group.trim().is_empty()) {
            return Err(invalid(
                "group.id",
                "",
                "The configured group.id should not be an empty string or whitespace.",
            ));
        }
        let (protocol, foreign) = match self.group_protocol {
            GroupProtocol::Classic => {
                ("classic", vec![("group.remote.assignor", self.group_remote_assignor.is_some())])
            }
            GroupProtocol::Consumer => (
                "consumer",
                vec![
                    ("partition.assignment.strategy", self.partition_assignment_strategy.is_some()),
                    ("heartbeat.interval.ms", self.heartbeat_interval.is_some()),
                    ("session.timeout.ms", self.session_timeout.is_some()),
                ],
            ),
        };
        if let Some((key, _)) = foreign.into_iter().find(|(_, is_set)| *is_set) {
            return Err(ClientError::IllegalState(format!(
                "{key} cannot be set when group.protocol={protocol}"
            )));
        }
        if self.heartbeat_interval() >= self.session_timeout() {
            return Err(ClientError::IllegalState(
                "Heartbeat must be set lower than the session timeout".to_owned(),
            ));
        }
        Ok(())
    }

    /// Sets a key by its name in Kafka's documentation. `Ok(false)` where no such key has an effect here.
    ///
    /// # Errors
    /// [`ClientError::Config`] for a value that the key does not take.
    pub fn set(&mut self, key: &str, value: &str) -> Result<bool, ClientError> {
        match key {
            "fetch.min.bytes" => self.fetch_min_bytes = number(key, value)?,
            "fetch.max.wait.ms" => self.fetch_max_wait = millis(key, value)?,
            "fetch.max.bytes" => {
                self.fetch_max_bytes = number::<u32>(key, value)?.min(i32::MAX as u32) as i32
            }
            "max.partition.fetch.bytes" => {
                self.max_partition_fetch_bytes = number::<u32>(key, value)?.min(i32::MAX as u32) as i32;
            }
            "max.poll.records" => {
                self.max_poll_records = number::<std::num::NonZeroU32>(key, value)?.get() as usize
            }
            "auto.offset.reset" => self.auto_offset_reset = AutoOffsetReset::parse(key, value)?,
            "isolation.level" => {
                use IsolationLevel::{ReadCommitted, ReadUncommitted};
                let words = [("read_committed", ReadCommitted), ("read_uncommitted", ReadUncommitted)];
                self.isolation_level = one_of(key, value, &words)?;
            }
            "check.crcs" => self.check_crcs = boolean(key, value)?,
            "allow.auto.create.topics" => self.allow_auto_create_topics = boolean(key, value)?,
            "exclude.internal.topics" => self.exclude_internal_topics = boolean(key, value)?,
            "client.rack" => self.client_rack = value.to_owned(),
            "group.id" => self.group_id = Some(value.to_owned()),
            "group.instance.id" => {
                self.group_instance_id = Some(value.to_owned()).filter(|name| !name.is_empty())
            }
            "group.protocol" => {
                let words = [("classic", GroupProtocol::Classic), ("consumer", GroupProtocol::Consumer)];
                self.group_protocol = one_of(key, value, &words)?;
            }
            "group.remote.assignor" => {
                self.group_remote_assignor = Some(value.to_owned()).filter(|name| !name.is_empty());
            }
            "partition.assignment.strategy" => {
                let names = value.split(',').map(str::trim).filter(|name| !name.is_empty());
                self.partition_assignment_strategy = Some(
                    names
                        .map(|name| Assignor::parse(key, name, &self.registered_assignors))
                        .collect::<Result<_, _>>()?,
                );
            }
            "session.timeout.ms" => {
                self.session_timeout = Some(millis(key, value)?);
            }
            "heartbeat.interval.ms" => {
                self.heartbeat_interval = Some(millis(key, value)?);
            }
            "max.poll.interval.ms" => self.max_poll_interval = millis(key, value)?,
            "enable.auto.commit" => self.enable_auto_commit = Some(boolean(key, value)?),
            "auto.commit.interval.ms" => self.auto_commit_interval = millis(key, value)?,
            _ => return self.client.set(key, value),
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(entries: &[(&str, &str)]) -> Result<ConsumerConfig, ClientError> {
        let mut config = ConsumerConfig::new("a:1");
        for (key, value) in entries {
            assert!(config.set(key, value)?, "{key} has no effect");
        }
        config.check().map(|()| config)
    }

    #[test]
    fn durations_are_javas() {
        let reset = |text: &str| with(&[("auto.offset.reset", text)]).map(|config| config.auto_offset_reset);
        for (text, seconds) in [("PT1H", 3600.0), ("P1DT2H3M4.5S", 93_784.5), ("PT0S", 0.0), ("pt5m", 300.0)]
        {
            let expected = AutoOffsetReset::ByDuration(Duration::from_secs_f64(seconds));
            assert_eq!(reset(&format!("by_duration:{text}")).unwrap(), expected, "{text}");
        }
        for text in
            ["by_duration:", "by_duration:P", "by_duration:PT", "by_duration:PT-1S", "by_duration:1h", "soon"]
        {
            assert!(reset(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        assert!(with(&[("enable.auto.commit", "true")]).is_err());
        assert!(with(&[("group.id", " ")]).is_err());
        assert!(with(&[("heartbeat.interval.ms", "45000")]).is_err());
        let consumer = ("group.protocol", "CONSUMER");
        for foreign in [
            ("session.timeout.ms", "10000"),
            ("heartbeat.interval.ms", "1000"),
            ("partition.assignment.strategy", "range"),
        ] {
            let error = with(&[consumer, foreign]).unwrap_err().to_string();
            assert_eq!(error, format!("{} cannot be set when group.protocol=consumer", foreign.0));
        }
        assert!(with(&[("group.remote.assignor", "uniform")]).is_err());
        assert!(with(&[consumer, ("group.remote.assignor", "uniform")]).is_ok());
        assert!(with(&[("partition.assignment.strategy", "org.example.Mine")]).is_err());
        let config =
            with(&[("partition.assignment.strategy", "org.apache.kafka.clients.consumer.StickyAssignor")]);
        assert_eq!(config.unwrap().assignors(), [Assignor::Sticky]);
    }

    #[test]
    fn a_group_commits_by_itself_unless_it_is_told_not_to() {
        assert!(!with(&[]).unwrap().auto_commits());
        assert!(with(&[("group.id", "g")]).unwrap().auto_commits());
        assert!(!with(&[("group.id", "g"), ("enable.auto.commit", "false")]).unwrap().auto_commits());
    }
}
