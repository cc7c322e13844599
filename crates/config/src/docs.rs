//! `docs/configuration.md`, made from the tables.

use std::fmt::Write;

use crate::def::{ConfigKey, Default, Effect};
use crate::keys::{
    BROKER_AREAS, KeyTable, client_metrics_keys, dynamic_only_keys, group_keys, own_keys, topic_keys,
};
use crate::synonyms::topic_synonyms;

/// The whole page.
pub fn markdown() -> String {
    let mut page = String::from(
        "# Configuration\n\
         \n\
         Every key of Apache Kafka 4.4, with its name, type and default there. milena reads the same \
         `server.properties`. The keys of clients have [a page of their own](configuration-clients.md). Made from the tables in `crates/config/src/keys` by `MILENA_BLESS=1 cargo test -p config`.\n\
         \n\
         - *Update* says when a broker key can change: `read-only` with a restart, `cluster-wide` at runtime for one or \
         all brokers, `per-broker` at runtime for one.\n\
         - *Not yet* says that milena takes the key without acting on it, and why; a file that sets it gets a warning.\n\
         - A file without `process.roles` (also one of ZooKeeper's days) starts a single node that is its own controller, \
         with replication factor 1 for internal topics; no file at all starts one on port 9092 with its data in `./data`.\n\
         \n\
         ## Broker\n",
    );
    for (title, keys) in BROKER_AREAS {
        let mut keys: Vec<&ConfigKey> = keys.iter().filter(|key| !key.internal).collect();
        keys.sort_by_key(|key| key.name);
        let _ = write!(page, "\n### {title}\n\n");
        broker_table(&mut page, keys.into_iter());
    }
    page.push_str("\n### At runtime only\n\n");
    broker_table(&mut page, dynamic_only_keys().values().copied());
    page.push_str("\n### milena's own\n\nApache Kafka does not have these, and warns of them.\n\n");
    broker_table(&mut page, own_keys().values().copied());
    page.push_str("\n## Topics\n\n| Key | Type | Default | Valid | Broker's default | |\n| --- | --- | --- | --- | --- | --- |\n");
    for key in topic_keys().values().filter(|key| !key.internal) {
        let synonyms: Vec<String> =
            topic_synonyms(key.name).iter().map(|synonym| format!("`{}`", synonym.name)).collect();
        let _ = writeln!(page, "| {} | {} | {} |", facts(key), synonyms.join(", "), words(key));
    }
    resource_table(&mut page, "Groups", group_keys());
    resource_table(&mut page, "Client-metrics subscriptions", client_metrics_keys());
    page
}

fn broker_table<'a>(page: &mut String, keys: impl Iterator<Item = &'a ConfigKey>) {
    page.push_str("| Key | Type | Default | Valid | Update | |\n| --- | --- | --- | --- | --- | --- |\n");
    for key in keys {
        let _ = writeln!(page, "| {} | {} | {} |", facts(key), key.update_mode.name(), words(key));
    }
}

fn resource_table(page: &mut String, title: &str, table: &KeyTable) {
    let _ =
        write!(page, "\n## {title}\n\n| Key | Type | Default | Valid | |\n| --- | --- | --- | --- | --- |\n");
    for key in table.values().filter(|key| !key.internal) {
        let _ = writeln!(page, "| {} | {} |", facts(key), words(key));
    }
}

fn facts(key: &ConfigKey) -> String {
    let default = match key.default {
        Default::Required => "required".to_owned(),
        Default::Null => "unset".to_owned(),
        Default::Value("") => "empty".to_owned(),
        Default::Value(value) => format!("`{value}`"),
    };
    format!("`{}` | {} | {default} | {}", key.name, key.config_type.name().to_lowercase(), key.validator)
}

fn words(key: &ConfigKey) -> String {
    match key.effect {
        Effect::Yes => key.doc.to_owned(),
        Effect::None(reason) => format!("{} *Not yet: {reason}.*", key.doc),
    }
}
