//! The metadata as a tree of directories and files (`org.apache.kafka.image.node`). Nodes are made when they are asked for: a tree
//! of many partitions costs nothing until it is shown.

use std::collections::BTreeMap;

use common::Uuid;
use metadata::client_quotas_image::{CLIENT_ID, IP, USER};
use metadata::{
    BrokerRegistration, ClientQuotaEntity, ConfigResource, ControllerRegistration, DelegationTokenData,
    Endpoint, LeaderRecoveryState, MetadataImage, MetadataProvenance, PartitionRegistration,
    ScramCredentialData, StandardAcl, TopicImage, VersionRange,
};

/// The SCRAM mechanisms by their names and numbers.
const MECHANISMS: [(&str, i8); 2] = [("SCRAM-SHA-256", 1), ("SCRAM-SHA-512", 2)];

/// What stands in front of a feature's name.
const FINALIZED: &str = "finalized_";

/// A directory or a file.
#[derive(Clone, Copy)]
pub(super) enum Node<'a> {
    Root(&'a MetadataImage),
    Local,
    Image(&'a MetadataImage),
    Features(&'a MetadataImage),
    Cluster(&'a MetadataImage),
    Brokers(&'a MetadataImage),
    Controllers(&'a MetadataImage),
    Topics(&'a MetadataImage),
    TopicsByName(&'a MetadataImage),
    TopicsById(&'a MetadataImage),
    Topic(&'a TopicImage),
    Configs(&'a MetadataImage),
    Config(&'a BTreeMap<String, String>),
    ClientQuotas(&'a MetadataImage),
    ClientQuota(&'a BTreeMap<String, f64>),
    ProducerIds(&'a MetadataImage),
    Acls(&'a MetadataImage),
    AclsById(&'a MetadataImage),
    Scram(&'a MetadataImage),
    ScramMechanism(&'a MetadataImage, i8),
    DelegationTokens(&'a MetadataImage),
    File(File<'a>),
}

/// Something to print.
#[derive(Clone, Copy)]
pub(super) enum File<'a> {
    Text(&'a str),
    Provenance(&'a MetadataProvenance),
    MetadataVersion(&'a MetadataImage),
    Number(i64),
    Quota(f64),
    Id(&'a Uuid),
    Broker(&'a BrokerRegistration),
    Controller(&'a ControllerRegistration),
    Partition(&'a PartitionRegistration),
    Acl(&'a StandardAcl),
    Scram(&'a ScramCredentialData),
    Token(&'a str, &'a DelegationTokenData),
}

impl<'a> Node<'a> {
    pub(super) fn is_directory(self) -> bool {
        !matches!(self, Node::File(_))
    }

    /// The names of what is in a directory, sorted; a file has none.
    pub(super) fn names(self) -> Vec<String> {
        let fixed = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let mut names: Vec<String> = match self {
            Node::Root(_) => fixed(&["local", "image"]),
            Node::Local => fixed(&["version", "commitId"]),
            Node::Image(_) => fixed(&[
                "provenance",
                "features",
                "cluster",
                "topics",
                "configs",
                "clientQuotas",
                "producerIds",
                "acls",
                "scram",
                "delegationToken",
            ]),
            Node::Features(image) => {
                let finalized = image.features.finalized_versions.keys();
                let finalized = finalized.filter(|name| *name != metadata::METADATA_VERSION_FEATURE);
                let names = finalized.map(|name| format!("{FINALIZED}{name}"));
                names.chain(Some("metadataVersion".to_owned())).collect()
            }
            Node::Cluster(_) => fixed(&["brokers", "controllers"]),
            Node::Brokers(image) => image.cluster.brokers.keys().map(i32::to_string).collect(),
            Node::Controllers(image) => image.cluster.controllers.keys().map(i32::to_string).collect(),
            Node::Topics(_) => fixed(&["byName", "byId"]),
            Node::TopicsByName(image) => image.topics.iter().map(|topic| topic.name.to_string()).collect(),
            Node::TopicsById(image) => image.topics.iter().map(|topic| topic.id.to_string()).collect(),
            Node::Topic(topic) => {
                let partitions = topic.partitions.keys().map(i32::to_string);
                partitions.chain(["name".to_owned(), "id".to_owned()]).collect()
            }
            Node::Configs(image) => {
                image.configs.iter().map(|(resource, _)| resource_name(resource)).collect()
            }
            Node::Config(entries) => entries.keys().cloned().collect(),
            Node::ClientQuotas(image) => image.client_quotas.entities.keys().map(entity_name).collect(),
            Node::ClientQuota(quotas) => quotas.keys().cloned().collect(),
            Node::ProducerIds(_) => fixed(&["nextProducerId"]),
            Node::Acls(_) => fixed(&["byId"]),
            Node::AclsById(image) => image.acls.acls.keys().map(Uuid::to_string).collect(),
            Node::Scram(_) => MECHANISMS.iter().map(|(name, _)| (*name).to_owned()).collect(),
            Node::ScramMechanism(image, mechanism) => {
                let users = image.scram.credentials.keys().filter(|(known, _)| *known == mechanism);
                users.map(|(_, user)| user.clone()).collect()
            }
            Node::DelegationTokens(image) => image.delegation_tokens.tokens.keys().cloned().collect(),
            Node::File(_) => Vec::new(),
        };
        names.sort_unstable();
        names
    }

    /// What has this name in a directory.
    pub(super) fn child(self, name: &str) -> Option<Node<'a>> {
        let file = |file| Some(Node::File(file));
        match self {
            Node::Root(image) => match name {
                "local" => Some(Node::Local),
                "image" => Some(Node::Image(image)),
                _ => None,
            },
            Node::Local => match name {
                "version" => file(File::Text(env!("CARGO_PKG_VERSION"))),
                "commitId" => file(File::Text("unknown")),
                _ => None,
            },
            Node::Image(image) => Some(match name {
                "provenance" => Node::File(File::Provenance(&image.provenance)),
                "features" => Node::Features(image),
                "cluster" => Node::Cluster(image),
                "topics" => Node::Topics(image),
                "configs" => Node::Configs(image),
                "clientQuotas" => Node::ClientQuotas(image),
                "producerIds" => Node::ProducerIds(image),
                "acls" => Node::Acls(image),
                "scram" => Node::Scram(image),
                "delegationToken" => Node::DelegationTokens(image),
                _ => return None,
            }),
            Node::Features(image) => match name {
                "metadataVersion" => file(File::MetadataVersion(image)),
                _ => {
                    let level = image.features.finalized_versions.get(name.strip_prefix(FINALIZED)?);
                    file(File::Number(level.copied().unwrap_or(0).into()))
                }
            },
            Node::Cluster(image) => match name {
                "brokers" => Some(Node::Brokers(image)),
                "controllers" => Some(Node::Controllers(image)),
                _ => None,
            },
            Node::Brokers(image) => file(File::Broker(image.cluster.brokers.get(&name.parse().ok()?)?)),
            Node::Controllers(image) => {
                file(File::Controller(image.cluster.controllers.get(&name.parse().ok()?)?))
            }
            Node::Topics(image) => match name {
                "byName" => Some(Node::TopicsByName(image)),
                "byId" => Some(Node::TopicsById(image)),
                _ => None,
            },
            Node::TopicsByName(image) => image.topics.topic(name).map(|topic| Node::Topic(topic)),
            Node::TopicsById(image) => {
                image.topics.topic_by_id(&name.parse().ok()?).map(|topic| Node::Topic(topic))
            }
            Node::Topic(topic) => match name {
                "name" => file(File::Text(&topic.name)),
                "id" => file(File::Id(&topic.id)),
                _ => file(File::Partition(topic.partition(name.parse().ok()?)?)),
            },
            Node::Configs(image) => {
                let found = image.configs.iter().find(|(resource, _)| resource_name(resource) == name);
                found.map(|(_, entries)| Node::Config(entries))
            }
            Node::Config(entries) => file(File::Text(entries.get(name)?)),
            Node::ClientQuotas(image) => {
                let mut entities = image.client_quotas.entities.iter();
                entities
                    .find(|(entity, _)| entity_name(entity) == name)
                    .map(|(_, quotas)| Node::ClientQuota(quotas))
            }
            Node::ClientQuota(quotas) => file(File::Quota(*quotas.get(name)?)),
            Node::ProducerIds(image) => match name {
                "nextProducerId" => file(File::Number(image.producer_ids.next_producer_id)),
                _ => None,
            },
            Node::Acls(image) => (name == "byId").then_some(Node::AclsById(image)),
            Node::AclsById(image) => file(File::Acl(image.acls.acls.get(&name.parse().ok()?)?)),
            Node::Scram(image) => {
                let mechanism = MECHANISMS.iter().find(|(known, _)| *known == name);
                mechanism.map(|(_, number)| Node::ScramMechanism(image, *number))
            }
            Node::ScramMechanism(image, mechanism) => {
                file(File::Scram(image.scram.credentials.get(&(mechanism, name.to_owned()))?))
            }
            Node::DelegationTokens(image) => {
                let (id, token) = image.delegation_tokens.tokens.get_key_value(name)?;
                file(File::Token(id, token))
            }
            Node::File(_) => None,
        }
    }
}

fn resource_name(resource: &ConfigResource) -> String {
    match resource.name.as_str() {
        "" => resource.resource_type.to_string(),
        name => format!("{}:{name}", resource.resource_type),
    }
}

fn entity_name(entity: &ClientQuotaEntity) -> String {
    let part = |kind: &str, shown: &str| {
        let name = entity.0.get(kind)?.as_ref()?;
        let name = name.replace('\\', "\\\\").replace('(', "\\(").replace(')', "\\)");
        Some(format!("{shown}({name})"))
    };
    let parts = [part(CLIENT_ID, "clientId"), part(IP, "ip"), part(USER, "user")];
    parts.into_iter().flatten().collect::<Vec<_>>().join("_")
}

impl std::fmt::Display for File<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            File::Text(text) => f.write_str(text),
            File::Provenance(provenance) => write!(
                f,
                "offset {}, epoch {}, time {}[UTC]",
                provenance.last_contained_offset,
                provenance.last_contained_epoch,
                super::super::date_time::iso(provenance.last_contained_log_time_ms)
            ),
            File::MetadataVersion(image) => {
                f.write_str(&optional(image.features.metadata_version().map(|version| version.to_string())))
            }
            File::Number(number) => write!(f, "{number}"),
            File::Quota(quota) => f.write_str(&super::super::java_text::double(*quota)),
            File::Id(id) => write!(f, "{id}"),
            File::Broker(broker) => write_broker(f, broker),
            File::Controller(controller) => write!(
                f,
                "ControllerRegistration(id={}, incarnationId={}, zkMigrationReady={}, listeners=[{}], supportedFeatures={{{}}})",
                controller.id,
                controller.incarnation_id,
                controller.zk_migration_ready,
                endpoints(&controller.listeners),
                features(&controller.supported_features)
            ),
            File::Partition(partition) => write_partition(f, partition),
            File::Acl(acl) => write_acl(f, acl),
            File::Scram(data) => write!(
                f,
                "ScramCredentialData(salt={}, storedKey={}, serverKey={}, iterations={})",
                hex(&data.salt),
                hex(&data.stored_key),
                hex(&data.server_key),
                data.iterations
            ),
            // The brackets are as Kafka's tool has them.
            File::Token(id, token) => write!(
                f,
                "DelegationTokenDatatokenId={id}(owner={}(tokenRequester={}(renewers={}, issueTimestamp={}, maxTimestamp={}), \
                 expiryTimestamp={}",
                token.owner,
                token.requester,
                token.renewers.join(" "),
                token.issue_timestamp_ms,
                token.max_timestamp_ms,
                token.expiration_timestamp_ms
            ),
        }
    }
}

fn list<T: ToString>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(T::to_string).collect();
    format!("[{}]", items.join(", "))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn endpoints(endpoints: &[Endpoint]) -> String {
    const PROTOCOLS: [&str; 4] = ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"];
    let mut sorted: Vec<&Endpoint> = endpoints.iter().collect();
    sorted.sort_by(|one, other| one.listener.cmp(&other.listener));
    let texts = sorted.into_iter().map(|endpoint| {
        let protocol =
            usize::try_from(endpoint.security_protocol).ok().and_then(|index| PROTOCOLS.get(index));
        format!(
            "Endpoint(listenerName='{}', securityProtocol={}, host='{}', port={})",
            endpoint.listener,
            protocol.copied().unwrap_or("UNKNOWN"),
            endpoint.host,
            endpoint.port
        )
    });
    texts.collect::<Vec<_>>().join(", ")
}

fn features(features: &BTreeMap<String, VersionRange>) -> String {
    let texts = features.iter().map(|(name, range)| format!("{name}: {range}"));
    texts.collect::<Vec<_>>().join(", ")
}

fn optional(text: Option<String>) -> String {
    text.map_or_else(|| "Optional.empty".to_owned(), |text| format!("Optional[{text}]"))
}

fn write_broker(f: &mut std::fmt::Formatter<'_>, broker: &BrokerRegistration) -> std::fmt::Result {
    write!(
        f,
        "BrokerRegistration(id={}, epoch={}, incarnationId={}, listeners=[{}], supportedFeatures={{{}}}, rack={}, fenced={}, \
         inControlledShutdown={}, isMigratingZkBroker={}, directories={}, cordonedDirectories={})",
        broker.id,
        broker.epoch,
        broker.incarnation_id,
        endpoints(&broker.listeners),
        features(&broker.supported_features),
        optional(broker.rack.clone()),
        broker.fenced,
        broker.in_controlled_shutdown,
        broker.is_migrating_zk_broker,
        list(&broker.directories),
        broker.cordoned_directories.as_deref().map_or_else(|| "null".to_owned(), list)
    )
}

fn write_partition(f: &mut std::fmt::Formatter<'_>, partition: &PartitionRegistration) -> std::fmt::Result {
    let recovery = match partition.leader_recovery_state {
        LeaderRecoveryState::Recovered => "RECOVERED",
        LeaderRecoveryState::Recovering => "RECOVERING",
    };
    write!(
        f,
        "PartitionRegistration(replicas={}, directories={}, isr={}, removingReplicas={}, addingReplicas={}, elr={}, \
         lastKnownElr={}, leader={}, leaderRecoveryState={recovery}, leaderEpoch={}, partitionEpoch={})",
        list(&partition.replicas),
        list(&partition.directories),
        list(&partition.isr),
        list(&partition.removing_replicas),
        list(&partition.adding_replicas),
        list(&partition.elr),
        list(&partition.last_known_elr),
        partition.leader,
        partition.leader_epoch,
        partition.partition_epoch
    )
}

fn write_acl(f: &mut std::fmt::Formatter<'_>, acl: &StandardAcl) -> std::fmt::Result {
    const RESOURCES: [&str; 8] =
        ["UNKNOWN", "ANY", "TOPIC", "GROUP", "CLUSTER", "TRANSACTIONAL_ID", "DELEGATION_TOKEN", "USER"];
    const PATTERNS: [&str; 5] = ["UNKNOWN", "ANY", "MATCH", "LITERAL", "PREFIXED"];
    const OPERATIONS: [&str; 16] = [
        "UNKNOWN",
        "ANY",
        "ALL",
        "READ",
        "WRITE",
        "CREATE",
        "DELETE",
        "ALTER",
        "DESCRIBE",
        "CLUSTER_ACTION",
        "DESCRIBE_CONFIGS",
        "ALTER_CONFIGS",
        "IDEMPOTENT_WRITE",
        "CREATE_TOKENS",
        "DESCRIBE_TOKENS",
        "TWO_PHASE_COMMIT",
    ];
    const PERMISSIONS: [&str; 4] = ["UNKNOWN", "ANY", "DENY", "ALLOW"];
    fn name(names: &'static [&'static str], code: i8) -> &'static str {
        usize::try_from(code).ok().and_then(|index| names.get(index)).copied().unwrap_or("UNKNOWN")
    }
    write!(
        f,
        "StandardAcl[resourceType={}, resourceName={}, patternType={}, principal={}, host={}, operation={}, permissionType={}]",
        name(&RESOURCES, acl.resource_type),
        acl.resource_name,
        name(&PATTERNS, acl.pattern_type),
        acl.principal,
        acl.host,
        name(&OPERATIONS, acl.operation),
        name(&PERMISSIONS, acl.permission_type)
    )
}
