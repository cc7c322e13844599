//! What Kafka's clients say for an error code when the broker says nothing: the exception's name and its words, by which people
//! and their scripts know it (`org.apache.kafka.common.protocol.Errors`).

use super::ErrorCode;

/// The name of the exception below `org.apache.kafka.common`, and its message, by the code from -1 on.
#[rustfmt::skip]
const TABLE: &[(&str, &str)] = &[
    ("errors.UnknownServerException", "The server experienced an unexpected error when processing the request."),
    ("", "NONE"),
    ("errors.OffsetOutOfRangeException", "The requested offset is not within the range of offsets maintained by the server."),
    ("errors.CorruptRecordException", "This message has failed its CRC checksum, exceeds the valid size, has a null key for a compacted topic, or is otherwise corrupt."),
    ("errors.UnknownTopicOrPartitionException", "This server does not host this topic-partition."),
    ("errors.InvalidFetchSizeException", "The requested fetch size is invalid."),
    ("errors.LeaderNotAvailableException", "There is no leader for this topic-partition as we are in the middle of a leadership election."),
    ("errors.NotLeaderOrFollowerException", "For requests intended only for the leader, this error indicates that the broker is not the current leader. For requests intended for any replica, this error indicates that the broker is not a replica of the topic partition."),
    ("errors.TimeoutException", "The request timed out."),
    ("errors.BrokerNotAvailableException", "The broker is not available."),
    ("errors.ReplicaNotAvailableException", "The replica is not available for the requested topic-partition. Produce/Fetch requests and other requests intended only for the leader or follower return NOT_LEADER_OR_FOLLOWER if the broker is not a replica of the topic-partition."),
    ("errors.RecordTooLargeException", "The request included a message larger than the max message size the server will accept."),
    ("errors.ControllerMovedException", "The controller moved to another broker."),
    ("errors.OffsetMetadataTooLarge", "The metadata field of the offset request was too large."),
    ("errors.NetworkException", "The server disconnected before a response was received."),
    ("errors.CoordinatorLoadInProgressException", "The coordinator is loading and hence can't process requests."),
    ("errors.CoordinatorNotAvailableException", "The coordinator is not available."),
    ("errors.NotCoordinatorException", "This is not the correct coordinator."),
    ("errors.InvalidTopicException", "The request attempted to perform an operation on an invalid topic."),
    ("errors.RecordBatchTooLargeException", "The request included message batch larger than the configured segment size on the server."),
    ("errors.NotEnoughReplicasException", "Messages are rejected since there are fewer in-sync replicas than required."),
    ("errors.NotEnoughReplicasAfterAppendException", "Messages are written to the log, but to fewer in-sync replicas than required."),
    ("errors.InvalidRequiredAcksException", "Produce request specified an invalid value for required acks."),
    ("errors.IllegalGenerationException", "Specified group generation id is not valid."),
    ("errors.InconsistentGroupProtocolException", "The group member's supported protocols are incompatible with those of existing members or first group member tried to join with empty protocol type or empty protocol list."),
    ("errors.InvalidGroupIdException", "The group id is invalid."),
    ("errors.UnknownMemberIdException", "The coordinator is not aware of this member."),
    ("errors.InvalidSessionTimeoutException", "The session timeout is not within the range allowed by the broker (as configured by group.min.session.timeout.ms and group.max.session.timeout.ms)."),
    ("errors.RebalanceInProgressException", "The group is rebalancing, so a rejoin is needed."),
    ("errors.InvalidCommitOffsetSizeException", "The committing offset data size is not valid."),
    ("errors.TopicAuthorizationException", "Topic authorization failed."),
    ("errors.GroupAuthorizationException", "Group authorization failed."),
    ("errors.ClusterAuthorizationException", "Cluster authorization failed."),
    ("errors.InvalidTimestampException", "The timestamp of the message is out of acceptable range."),
    ("errors.UnsupportedSaslMechanismException", "The broker does not support the requested SASL mechanism."),
    ("errors.IllegalSaslStateException", "Request is not valid given the current SASL state."),
    ("errors.UnsupportedVersionException", "The version of API is not supported."),
    ("errors.TopicExistsException", "Topic with this name already exists."),
    ("errors.InvalidPartitionsException", "Number of partitions is below 1."),
    ("errors.InvalidReplicationFactorException", "Replication factor is below 1 or larger than the number of available brokers."),
    ("errors.InvalidReplicaAssignmentException", "Replica assignment is invalid."),
    ("errors.InvalidConfigurationException", "Configuration is invalid."),
    ("errors.NotControllerException", "This is not the correct controller for this cluster."),
    ("errors.InvalidRequestException", "This most likely occurs because of a request being malformed by the client library or the message was sent to an incompatible broker. See the broker logs for more details."),
    ("errors.UnsupportedForMessageFormatException", "The message format version on the broker does not support the request."),
    ("errors.PolicyViolationException", "Request parameters do not satisfy the configured policy."),
    ("errors.OutOfOrderSequenceException", "The broker received an out of order sequence number."),
    ("errors.DuplicateSequenceException", "The broker received a duplicate sequence number."),
    ("errors.InvalidProducerEpochException", "Producer attempted to produce with an old epoch."),
    ("errors.InvalidTxnStateException", "The producer attempted a transactional operation in an invalid state."),
    ("errors.InvalidPidMappingException", "The producer attempted to use a producer id which is not currently assigned to its transactional id."),
    ("errors.InvalidTxnTimeoutException", "The transaction timeout is larger than the maximum value allowed by the broker (as configured by transaction.max.timeout.ms)."),
    ("errors.ConcurrentTransactionsException", "The producer attempted to update a transaction while another concurrent operation on the same transaction was ongoing."),
    ("errors.TransactionCoordinatorFencedException", "Indicates that the transaction coordinator sending a WriteTxnMarker is no longer the current coordinator for a given producer."),
    ("errors.TransactionalIdAuthorizationException", "Transactional Id authorization failed."),
    ("errors.SecurityDisabledException", "Security features are disabled."),
    ("errors.OperationNotAttemptedException", "The broker did not attempt to execute this operation. This may happen for batched RPCs where some operations in the batch failed, causing the broker to respond without trying the rest."),
    ("errors.KafkaStorageException", "Disk error when trying to access log file on the disk."),
    ("errors.LogDirNotFoundException", "The user-specified log directory is not found in the broker config."),
    ("errors.SaslAuthenticationException", "SASL Authentication failed."),
    ("errors.UnknownProducerIdException", "This exception is raised by the broker if it could not locate the producer metadata associated with the producerId in question. This could happen if, for instance, the producer's records were deleted because their retention time had elapsed. Once the last records of the producerId are removed, the producer's metadata is removed from the broker, and future appends by the producer will return this exception."),
    ("errors.ReassignmentInProgressException", "A partition reassignment is in progress."),
    ("errors.DelegationTokenDisabledException", "Delegation Token feature is not enabled."),
    ("errors.DelegationTokenNotFoundException", "Delegation Token is not found on server."),
    ("errors.DelegationTokenOwnerMismatchException", "Specified Principal is not valid Owner/Renewer."),
    ("errors.UnsupportedByAuthenticationException", "Delegation Token requests are not allowed on PLAINTEXT/1-way SSL channels and on delegation token authenticated channels."),
    ("errors.DelegationTokenAuthorizationException", "Delegation Token authorization failed."),
    ("errors.DelegationTokenExpiredException", "Delegation Token is expired."),
    ("errors.InvalidPrincipalTypeException", "Supplied principalType is not supported."),
    ("errors.GroupNotEmptyException", "The group is not empty."),
    ("errors.GroupIdNotFoundException", "The group id does not exist."),
    ("errors.FetchSessionIdNotFoundException", "The fetch session ID was not found."),
    ("errors.InvalidFetchSessionEpochException", "The fetch session epoch is invalid."),
    ("errors.ListenerNotFoundException", "There is no listener on the leader broker that matches the listener on which metadata request was processed."),
    ("errors.TopicDeletionDisabledException", "Topic deletion is disabled."),
    ("errors.FencedLeaderEpochException", "The leader epoch in the request is older than the epoch on the broker."),
    ("errors.UnknownLeaderEpochException", "The leader epoch in the request is newer than the epoch on the broker."),
    ("errors.UnsupportedCompressionTypeException", "The requesting client does not support the compression type of given partition."),
    ("errors.StaleBrokerEpochException", "Broker epoch has changed."),
    ("errors.OffsetNotAvailableException", "The leader high watermark has not caught up from a recent leader election so the offsets cannot be guaranteed to be monotonically increasing."),
    ("errors.MemberIdRequiredException", "The group member needs to have a valid member id before actually entering a consumer group."),
    ("errors.PreferredLeaderNotAvailableException", "The preferred leader was not available."),
    ("errors.GroupMaxSizeReachedException", "The group has reached its maximum size."),
    ("errors.FencedInstanceIdException", "The broker rejected this static consumer since another consumer with the same group.instance.id has registered with a different member.id."),
    ("errors.EligibleLeadersNotAvailableException", "Eligible topic partition leaders are not available."),
    ("errors.ElectionNotNeededException", "Leader election not needed for topic partition."),
    ("errors.NoReassignmentInProgressException", "No partition reassignment is in progress."),
    ("errors.GroupSubscribedToTopicException", "Deleting offsets of a topic is forbidden while the consumer group is actively subscribed to it."),
    ("InvalidRecordException", "This record has failed the validation on broker and hence will be rejected."),
    ("errors.UnstableOffsetCommitException", "There are unstable offsets that need to be cleared."),
    ("errors.ThrottlingQuotaExceededException", "The throttling quota has been exceeded."),
    ("errors.ProducerFencedException", "There is a newer producer with the same transactionalId which fences the current one."),
    ("errors.ResourceNotFoundException", "A request illegally referred to a resource that does not exist."),
    ("errors.DuplicateResourceException", "A request illegally referred to the same resource twice."),
    ("errors.UnacceptableCredentialException", "Requested credential would not meet criteria for acceptability."),
    ("errors.InconsistentVoterSetException", "Indicates that the either the sender or recipient of a voter-only request is not one of the expected voters."),
    ("errors.InvalidUpdateVersionException", "The given update version was invalid."),
    ("errors.FeatureUpdateFailedException", "Unable to update finalized features due to an unexpected server error."),
    ("errors.PrincipalDeserializationException", "Request principal deserialization failed during forwarding. This indicates an internal error on the broker cluster security setup."),
    ("errors.SnapshotNotFoundException", "Requested snapshot was not found."),
    ("errors.PositionOutOfRangeException", "Requested position is not greater than or equal to zero, and less than the size of the snapshot."),
    ("errors.UnknownTopicIdException", "This server does not host this topic ID."),
    ("errors.DuplicateBrokerRegistrationException", "This broker ID is already in use."),
    ("errors.BrokerIdNotRegisteredException", "The given broker ID was not registered."),
    ("errors.InconsistentTopicIdException", "The log's topic ID did not match the topic ID in the request."),
    ("errors.InconsistentClusterIdException", "The clusterId in the request does not match that found on the server."),
    ("errors.TransactionalIdNotFoundException", "The transactionalId could not be found."),
    ("errors.FetchSessionTopicIdException", "The fetch session encountered inconsistent topic ID usage."),
    ("errors.IneligibleReplicaException", "The new ISR contains at least one ineligible replica."),
    ("errors.NewLeaderElectedException", "The AlterPartition request successfully updated the partition state but the leader has changed."),
    ("errors.OffsetMovedToTieredStorageException", "The requested offset is moved to tiered storage."),
    ("errors.FencedMemberEpochException", "The member epoch is fenced by the group coordinator. The member must abandon all its partitions and rejoin."),
    ("errors.UnreleasedInstanceIdException", "The instance ID is still used by another member in the consumer group. That member must leave first."),
    ("errors.UnsupportedAssignorException", "The assignor or its version range is not supported by the consumer group."),
    ("errors.StaleMemberEpochException", "The member epoch is stale. The member must retry after receiving its updated member epoch via the ConsumerGroupHeartbeat API."),
    ("errors.MismatchedEndpointTypeException", "The request was sent to an endpoint of the wrong type."),
    ("errors.UnsupportedEndpointTypeException", "This endpoint type is not supported yet."),
    ("errors.UnknownControllerIdException", "This controller ID is not known."),
    ("errors.UnknownSubscriptionIdException", "Client sent a push telemetry request with an invalid or outdated subscription ID."),
    ("errors.TelemetryTooLargeException", "Client sent a push telemetry request larger than the maximum size the broker will accept."),
    ("errors.InvalidRegistrationException", "The controller has considered the broker registration to be invalid."),
    ("errors.TransactionAbortableException", "The server encountered an error with the transaction. The client can abort the transaction to continue using this transactional ID."),
    ("errors.InvalidRecordStateException", "The record state is invalid. The acknowledgement of delivery could not be completed."),
    ("errors.ShareSessionNotFoundException", "The share session was not found."),
    ("errors.InvalidShareSessionEpochException", "The share session epoch is invalid."),
    ("errors.FencedStateEpochException", "The coordinator rejected the request because the state epoch did not match."),
    ("errors.InvalidVoterKeyException", "The voter key doesn't match the receiving replica's key."),
    ("errors.DuplicateVoterException", "The voter is already part of the set of voters."),
    ("errors.VoterNotFoundException", "The voter is not part of the set of voters."),
    ("errors.InvalidRegularExpression", "The regular expression is not valid."),
    ("errors.RebootstrapRequiredException", "Client metadata is stale. The client should rebootstrap to obtain new metadata."),
    ("errors.StreamsInvalidTopologyException", "The supplied topology is invalid."),
    ("errors.StreamsInvalidTopologyEpochException", "The supplied topology epoch is invalid."),
    ("errors.StreamsTopologyFencedException", "The supplied topology epoch is outdated."),
    ("errors.ShareSessionLimitReachedException", "The limit of share sessions has been reached."),
    ("errors.GroupDeletionFailedException", "DeleteGroups could not complete; see the error message on the per-group result for details."),
    ("errors.StreamsTopologyDescriptionUpdateFailedException", "The broker could not process the topology description update; see the error message for details."),
    ("errors.ControllerIdNotRegisteredException", "The given controller ID was not registered."),
];

impl ErrorCode {
    fn words(self) -> (&'static str, &'static str) {
        // The table is in the order of the codes, which start at -1.
        TABLE[(self.code() + 1) as usize]
    }

    /// What Kafka's clients say for the code where the broker sent no message.
    pub fn message(self) -> &'static str {
        self.words().1
    }

    /// The full name of the exception that the code becomes in Kafka's Java clients and in the output of its tools; empty for
    /// `NONE`.
    pub fn exception(self) -> String {
        match self.words().0 {
            "" => String::new(),
            name => format!("org.apache.kafka.common.{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_words() {
        assert_eq!(TABLE.len(), super::super::ALL.len());
        assert_eq!(ErrorCode::GroupIdNotFound.message(), "The group id does not exist.");
        assert_eq!(
            ErrorCode::NonEmptyGroup.exception(),
            "org.apache.kafka.common.errors.GroupNotEmptyException"
        );
        assert_eq!(ErrorCode::InvalidRecord.exception(), "org.apache.kafka.common.InvalidRecordException");
        assert_eq!(ErrorCode::None.exception(), "");
    }
}
