//! Subscriptions by regular expression (Kafka's `TopicRegexResolver`): an expression is matched with all topics when it is
//! new, when there are new topics, and from time to time. What it matched is written down, so that members find the same
//! after the coordinator has moved.
//!
//! Divergence: Kafka's expressions are RE2's, ours those of the crate `regex`, which has the same roots: no look-around,
//! no back-references, linear time. The rare differences are in names of character classes.

use std::collections::BTreeSet;
use std::sync::Arc;

use common::ErrorCode;
use protocol::messages::consumer_group_regular_expression_value::ConsumerGroupRegularExpressionValue;
use regex::Regex;

use super::group::{self, count_topic};
use super::{ConsumerGroup, ConsumerGroupMember, Refusal};
use crate::config::Env;
use crate::metrics::add;
use crate::shard::{Timer, TimerKey};
use crate::{Ctx, GroupRecord, GroupResult, GroupShard};

/// Expressions are not matched more often than this, in milliseconds.
const MIN_REFRESH_INTERVAL_MS: i64 = 10_000;

/// What became of a member's expression.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum RegexUpdate {
    /// It is the same.
    None,
    /// It is another, and not matched yet.
    Updated,
    /// It is another, and known what it matches.
    UpdatedAndResolved,
}

impl RegexUpdate {
    pub(crate) fn is_update(self) -> bool {
        self != RegexUpdate::None
    }
}

/// Compiles an expression that has to match whole names.
fn compile(regex: &str) -> Result<Regex, regex::Error> {
    // By itself first: in parentheses, some that are wrong would be right.
    Regex::new(regex)?;
    Regex::new(&format!(r"\A(?:{regex})\z"))
}

impl ConsumerGroup {
    /// Notes that a member's expression is another now, and has the expressions matched if it is time.
    ///
    /// # Errors
    /// INVALID_REGULAR_EXPRESSION.
    pub(crate) fn update_regex(
        &self,
        before: &ConsumerGroupMember,
        updated: &ConsumerGroupMember,
        env: &Env,
        ctx: &mut Ctx<'_>,
        records: &mut Vec<GroupRecord>,
    ) -> Result<RegexUpdate, Refusal> {
        let mut update = RegexUpdate::None;
        let mut requires_refresh = false;
        if before.subscribed_topic_regex != updated.subscribed_topic_regex {
            update = RegexUpdate::Updated;
            if let Some(old) = before.regex()
                && self.subscribed_regexes.get(old) == Some(&1)
            {
                records.push(self.records().regex_tombstone(old));
            }
            match (before.regex(), updated.regex()) {
                (_, Some(new)) if !self.subscribed_regexes.contains_key(new) => {
                    if let Err(error) = compile(new) {
                        return Err(Refusal::new(
                            ErrorCode::InvalidRegularExpression,
                            format!(
                                "SubscribedTopicRegex `{new}` is not a valid regular expression: {error}."
                            ),
                        ));
                    }
                    requires_refresh = true;
                }
                (_, Some(new)) if self.resolved_regexes.contains_key(new) => {
                    update = RegexUpdate::UpdatedAndResolved;
                }
                (Some(_), None) => update = RegexUpdate::UpdatedAndResolved,
                _ => {}
            }
        }
        if !requires_refresh && self.subscribed_regexes.is_empty() {
            return Ok(update);
        }
        let key = TimerKey::Resolve(Arc::clone(&self.group_id));
        if ctx.timers.contains(&key) {
            return Ok(update);
        }
        let last = self.resolved_regexes.values().next();
        let last_ms = last.map(|resolved| resolved.timestamp_ms);
        if last_ms.is_some_and(|last_ms| ctx.now_ms <= last_ms.saturating_add(MIN_REFRESH_INTERVAL_MS)) {
            return Ok(update);
        }
        let regexes = self.subscribed_regexes_with(before, updated);
        let interval_ms = env.config.group_consumer_regex_refresh_interval_ms;
        requires_refresh |= regexes.len() != self.resolved_regexes.len()
            || last.map_or(0, |resolved| resolved.version) < env.topics().version_with_new_topics
            || last_ms.is_none_or(|last_ms| ctx.now_ms > last_ms.saturating_add(interval_ms));
        if requires_refresh && !regexes.is_empty() {
            // Not here: matching all topics may take its time, and the member need not wait for it.
            ctx.schedule(key, 0, Timer::Resolve);
        }
        Ok(update)
    }
}

impl GroupShard {
    /// Matches a group's expressions with the topics.
    pub(crate) fn resolve_regexes(&mut self, group_id: &str, ctx: &mut Ctx<'_>) -> GroupResult<()> {
        let topics = self.env.topics();
        let Some(group) = self.groups.consumer(group_id) else { return GroupResult::read(()) };
        let regexes: Vec<(&String, Regex)> = group
            .subscribed_regexes
            .keys()
            .filter_map(|regex| match compile(regex) {
                Ok(compiled) => Some((regex, compiled)),
                Err(error) => {
                    // Another release took it.
                    tracing::error!("expression `{regex}` of group {group_id} cannot be compiled: {error}");
                    None
                }
            })
            .collect();
        let mut matched: Vec<BTreeSet<String>> = vec![BTreeSet::new(); regexes.len()];
        topics.image.for_each_name(&mut |name| {
            for ((_, regex), matched) in regexes.iter().zip(&mut matched) {
                if regex.is_match(name) {
                    matched.insert(name.to_owned());
                }
            }
        });

        let mut records = Vec::new();
        let mut subscribed = group.subscribed_topics.clone();
        let mut bump = false;
        for ((regex, _), matched) in regexes.into_iter().zip(matched) {
            let none = BTreeSet::new();
            let before = group.resolved_regexes.get(regex).map_or(&none, |resolved| &resolved.topics);
            if *before != matched {
                bump = true;
                for topic in before {
                    count_topic(&mut subscribed, topic, 0, -1);
                }
                for topic in &matched {
                    count_topic(&mut subscribed, topic, 0, 1);
                }
            }
            let value = ConsumerGroupRegularExpressionValue {
                topics: matched.into_iter().collect(),
                version: topics.image.version(),
                timestamp: ctx.now_ms,
            };
            records.push(group.records().regex(regex, value));
        }
        let metadata_hash = group::metadata_hash(&subscribed, &topics);
        bump |= metadata_hash != group.metadata_hash;
        if bump {
            let group_epoch = group.group_epoch.wrapping_add(1);
            records.push(group.records().group(group_epoch, metadata_hash));
            tracing::info!("group {group_id} is in epoch {group_epoch}: its expressions match other topics");
            add(&self.env.counters.consumer_rebalances, 1);
            if let Some(group) = self.groups.consumer_mut(group_id) {
                group.refresh_metadata_at(
                    ctx.now_ms.saturating_add(super::heartbeat::METADATA_REFRESH_MS),
                    group_epoch,
                );
            }
        }
        GroupResult::new(records, ())
    }
}
