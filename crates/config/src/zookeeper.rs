//! A `server.properties` of ZooKeeper's days: which one can start as a single node, and what to write where it cannot.

use crate::error::ConfigError;
use crate::properties::Properties;
use crate::quorum::HostPort;

/// Keys that Kafka had and has no more: read quietly, with one warning. Every key that starts with `zookeeper.` too.
pub(crate) const REMOVED_KEYS: &[&str] = &[
    "advertised.host.name",
    "advertised.port",
    "auto.include.jmx.reporter",
    "broker.id.generation.enable",
    "control.plane.listener.name",
    "controlled.shutdown.max.retries",
    "controlled.shutdown.retry.backoff.ms",
    "controller.message.queue.size",
    "delegation.token.master.key",
    "enable.zookeeper.finalization",
    "host.name",
    "inter.broker.protocol.version",
    "leader.imbalance.per.broker.percentage",
    "log.message.downconversion.enable",
    "log.message.format.version",
    "log.message.timestamp.difference.max.ms",
    "metadata.log.segment.min.bytes",
    "offsets.commit.required.acks",
    "password.encoder.cipher.algorithm",
    "password.encoder.iterations",
    "password.encoder.key.length",
    "password.encoder.keyfactory.algorithm",
    "password.encoder.old.secret",
    "password.encoder.secret",
    "port",
    "quota.consumer.default",
    "quota.producer.default",
    "reserved.broker.max.id",
];

/// Whether Kafka had this key and has it no more.
pub(crate) fn is_removed(name: &str) -> bool {
    name.starts_with("zookeeper.") || REMOVED_KEYS.contains(&name)
}

/// The port of the controller listener in the lines that are printed.
const CONTROLLER_PORT: u16 = 9093;

/// Refuses a file whose `zookeeper.connect` names a ZooKeeper that others may share: each such broker would come up as a
/// lonely cluster of its own.
pub(crate) fn check_connect(properties: &Properties) -> Result<(), ConfigError> {
    let Some(connect) = properties.get("zookeeper.connect") else { return Ok(()) };
    let hosts = parse_connect(connect);
    if hosts.is_empty() || matches!(hosts.as_slice(), [only] if is_local(only)) {
        return Ok(());
    }
    Err(ConfigError::SharedZooKeeper(instructions(properties, connect.trim(), &hosts)))
}

/// The hosts of `host:port,host:port/chroot`.
fn parse_connect(connect: &str) -> Vec<String> {
    let servers = connect.trim().split('/').next().unwrap_or_default();
    servers
        .split(',')
        .map(str::trim)
        .filter(|server| !server.is_empty())
        .map(|server| match server.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, _)) => host.to_owned(),
            None if server.matches(':').count() > 1 => server.to_owned(),
            None => server.split(':').next().unwrap_or(server).to_owned(),
        })
        .collect()
}

fn is_local(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || matches!(host, "127.0.0.1" | "::1")
}

fn instructions(properties: &Properties, connect: &str, hosts: &[String]) -> String {
    let broker_id =
        properties.get("broker.id").and_then(|id| id.trim().parse::<i32>().ok()).filter(|id| *id >= 0);
    // Voters count from 0 where this broker does, so that its own id can stay what it is.
    let first_id = i32::from(broker_id != Some(0));
    let ids: Vec<i32> = (first_id..).take(hosts.len()).collect();
    let voters = ids
        .iter()
        .zip(hosts)
        .map(|(id, host)| format!("{id}@{}", HostPort { host: host.clone(), port: CONTROLLER_PORT }))
        .collect::<Vec<_>>()
        .join(",");
    let is_voter = broker_id.is_none_or(|id| ids.contains(&id));
    let node_id = broker_id.unwrap_or(first_id);
    let listeners = properties.get("listeners").map_or("PLAINTEXT://:9092", str::trim);
    let inter_broker = properties
        .get("inter.broker.listener.name")
        .or_else(|| properties.get("security.inter.broker.protocol"))
        .map_or("PLAINTEXT", str::trim);
    let mut map = properties
        .get("listener.security.protocol.map")
        .map_or("PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL", str::trim)
        .to_owned();
    if !map.contains("CONTROLLER:") {
        map = format!("CONTROLLER:PLAINTEXT,{map}");
    }
    let (roles, own_listeners) = if is_voter {
        ("broker,controller", format!("{listeners},CONTROLLER://:{CONTROLLER_PORT}"))
    } else {
        ("broker", listeners.to_owned())
    };
    let place = properties.place("zookeeper.connect").unwrap_or_default();
    let first = ids.first().copied().unwrap_or(first_id);
    format!(
        "{place}: zookeeper.connect={connect} names a ZooKeeper of a cluster. milena has no ZooKeeper: its controllers \
         are a quorum of their own (KRaft), and a broker that started alone here would not be part of your cluster. \
         Put these lines in the place of the zookeeper.* and broker.id lines (the hosts are those that you named):\n\
         \n\
         process.roles={roles}\n\
         node.id={node_id}\n\
         controller.quorum.voters={voters}\n\
         listeners={own_listeners}\n\
         controller.listener.names=CONTROLLER\n\
         inter.broker.listener.name={inter_broker}\n\
         listener.security.protocol.map={map}\n\
         \n\
         On {host}, node.id is {first}, and so on in the order of controller.quorum.voters: each node.id once. A broker \
         on any other host has process.roles=broker, a node.id that is not among the voters, and no CONTROLLER in \
         listeners. Then format each directory with one cluster id: `milena storage random-uuid` makes it, `milena \
         storage format -t ID -c server.properties` uses it.\n\
         For a single node instead, remove the zookeeper.connect line.",
        host = hosts.first().map_or("", String::as_str),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_a_connect_string() {
        assert_eq!(parse_connect("a:2181,b:2181,c/kafka"), ["a", "b", "c"]);
        assert_eq!(parse_connect("[::1]:2181"), ["::1"]);
        assert_eq!(parse_connect("::1"), ["::1"]);
        assert_eq!(parse_connect(" localhost:2181/chroot "), ["localhost"]);
        assert!(parse_connect("").is_empty());
    }

    fn check(text: &str) -> Result<(), ConfigError> {
        check_connect(&Properties::parse(text.as_bytes(), "server.properties").unwrap())
    }

    #[test]
    fn only_a_zookeeper_on_this_host_is_taken_for_a_single_node() {
        for local in ["localhost:2181", "127.0.0.1:2181/kafka", "[::1]:2181", "LOCALHOST", ""] {
            assert_eq!(check(&format!("zookeeper.connect={local}\n")), Ok(()), "{local}");
        }
        for shared in
            ["zk1:2181", "localhost:2181,zk2:2181", "10.0.0.1:2181", "localhost:2181,localhost:2182"]
        {
            assert!(
                matches!(
                    check(&format!("zookeeper.connect={shared}\n")),
                    Err(ConfigError::SharedZooKeeper(_))
                ),
                "{shared}"
            );
        }
    }

    #[test]
    fn the_lines_to_put_instead_are_ready_to_copy() {
        let text =
            "broker.id=2\nlisteners=PLAINTEXT://:9092\nzookeeper.connect=zk1:2181,zk2:2181,zk3:2181/kafka\n";
        let message = check(text).unwrap_err().to_string();
        assert!(
            message
                .starts_with("server.properties line 3: zookeeper.connect=zk1:2181,zk2:2181,zk3:2181/kafka")
        );
        for line in [
            "process.roles=broker,controller",
            "node.id=2",
            "controller.quorum.voters=1@zk1:9093,2@zk2:9093,3@zk3:9093",
            "listeners=PLAINTEXT://:9092,CONTROLLER://:9093",
            "controller.listener.names=CONTROLLER",
            "inter.broker.listener.name=PLAINTEXT",
        ] {
            assert!(message.lines().any(|l| l == line), "{line} in\n{message}");
        }
        // Beyond the voters' ids it is a broker alone.
        let message =
            check("broker.id=7\nzookeeper.connect=zk1:2181,zk2:2181,zk3:2181\n").unwrap_err().to_string();
        assert!(message.lines().any(|l| l == "process.roles=broker"));
        assert!(message.lines().any(|l| l == "listeners=PLAINTEXT://:9092"));
        let message = check("broker.id=0\nzookeeper.connect=zk1:2181,zk2:2181\n").unwrap_err().to_string();
        assert!(message.lines().any(|l| l == "controller.quorum.voters=0@zk1:9093,1@zk2:9093"));
    }
}
