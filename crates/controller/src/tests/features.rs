use protocol::messages::UpdateFeaturesRequest;
use protocol::messages::update_features_request::FeatureUpdateKey;

use super::*;

fn update(cluster: &mut Cluster, name: &str, level: i16, upgrade_type: i8) -> (ErrorCode, String) {
    let update = FeatureUpdateKey {
        feature: name.to_owned(),
        max_version_level: level,
        upgrade_type,
        ..FeatureUpdateKey::default()
    };
    let request = UpdateFeaturesRequest { feature_updates: vec![update], ..UpdateFeaturesRequest::default() };
    let context = cluster.context(2);
    let result = cluster.controller.update_features(&context, &request);
    let response = cluster.commit(result);
    (ErrorCode::from_code(response.error_code), response.error_message.unwrap_or_default())
}

#[test]
fn levels_go_up_and_only_harmlessly_down() {
    let old = config(MetadataVersion::V4_0_IV0, &[]);
    let mut cluster = Cluster::of_config(1, old);
    let good = (ErrorCode::None, String::new());
    assert_eq!(update(&mut cluster, "metadata.version", 33, 1), good);
    assert_eq!(cluster.controller.metadata_version(), Some(MetadataVersion::V4_4_IV2));
    let prefix = "The update failed for all features since the following feature had an error: ";
    let refused = |cluster: &mut Cluster, name: &str, level, upgrade_type| {
        let (error, message) = update(cluster, name, level, upgrade_type);
        assert_eq!(error, ErrorCode::InvalidUpdateVersion);
        message.strip_prefix(prefix).expect("Kafka's words").to_owned()
    };
    assert_eq!(
        refused(&mut cluster, "metadata.version", 32, 1),
        "Invalid update version 32 for feature metadata.version. Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade."
    );
    assert_eq!(
        refused(&mut cluster, "metadata.version", 30, 2),
        "Unsupported metadata.version downgrade from 33 to 30. Refusing to perform the requested downgrade because it might delete metadata information."
    );
    assert_eq!(
        refused(&mut cluster, "metadata.version", 34, 1),
        "Invalid update version 34 for feature metadata.version. Local controller 1 only supports versions 7-33"
            .replace("controller 1", &format!("controller {}", cluster.controller.config.node_id))
    );
    assert_eq!(
        refused(&mut cluster, "no.such", 1, 1),
        format!(
            "Invalid update version 1 for feature no.such. Local controller {} does not support this feature.",
            cluster.controller.config.node_id
        )
    );
    assert_eq!(update(&mut cluster, "share.version", 1, 1), good);
    assert_eq!(update(&mut cluster, "share.version", 2, 1), good);
    assert_eq!(update(&mut cluster, "share.version", 0, 2), good);
    assert_eq!(cluster.image().features.level(metadata::Feature::ShareVersion), 0);
    cluster.assert_replay_is_complete();
}

#[test]
fn a_level_that_a_broker_lacks_cannot_be_had() {
    let levels = [("share.version", 0)];
    let mut cluster = Cluster::of_config(1, config(MetadataVersion::LATEST_PRODUCTION, &levels));
    let mut request = Cluster::registration(5, uuid(5));
    request.features.retain(|feature| feature.name != "share.version");
    assert_eq!(cluster.try_register(&request).error_code, 0);
    let (error, message) = update(&mut cluster, "share.version", 1, 1);
    assert_eq!(error, ErrorCode::InvalidUpdateVersion);
    assert!(message.ends_with("Broker 5 does not support this feature."), "{message}");
}

#[test]
fn turning_elr_on_makes_min_isr_a_matter_of_the_cluster() {
    let levels = [("eligible.leader.replicas.version", 0)];
    let mut cluster = Cluster::of_config(1, config(MetadataVersion::LATEST_PRODUCTION, &levels));
    assert!(cluster.image().configs.is_empty());
    assert_eq!(update(&mut cluster, "eligible.leader.replicas.version", 1, 1).0, ErrorCode::None);
    let default = metadata::ConfigResource::default_broker();
    assert_eq!(cluster.image().configs.value(&default, "min.insync.replicas"), Some("1"));
    assert!(cluster.image().features.is_elr_enabled());
}

#[test]
fn old_levels_write_old_records() {
    let mut cluster = Cluster::of_config(2, config(MetadataVersion::V3_3_IV3, &[]));
    cluster.create_assigned("topic", &[&[0, 1]]);
    let versions: BTreeMap<i16, i16> =
        cluster.log.iter().map(|(record, version)| (record.api_key(), *version)).collect();
    assert_eq!((versions[&0], versions[&3]), (1, 0));
    assert!(!versions.contains_key(&23), "there were no metadata transactions");
    // A smaller ISR bumped the leader epoch then.
    cluster.heartbeat_with(1, |request| request.want_fence = true);
    let partition = cluster.partition("topic", 0);
    assert_eq!((partition.leader, partition.leader_epoch), (0, 1));
    assert_eq!(partition.directories, [metadata::directory_id::MIGRATING; 2]);
    cluster.assert_replay_is_complete();
}
