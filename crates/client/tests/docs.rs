//! The table of keys is what the code does, and `docs/configuration-clients.md` what the table says. `MILENA_BLESS=1 cargo test -p client
//! --test docs` writes the page.

use std::fmt::Write;
use std::path::Path;

use client::{CONFIG_KEYS, ClientConfig, ClientError, ConsumerConfig, KeyDefault, ProducerConfig};

/// What setting a key makes of each kind of configuration, and what that was before.
fn set(key: &str, value: &str) -> [(Result<bool, ClientError>, String, String); 3] {
    let (mut producer, mut consumer) = (ProducerConfig::new("a:1"), ConsumerConfig::new("a:1"));
    let mut admin = ClientConfig::new("a:1");
    let before = [format!("{producer:?}"), format!("{consumer:?}"), format!("{admin:?}")];
    let results = [producer.set(key, value), consumer.set(key, value), admin.set(key, value)];
    let after = [format!("{producer:?}"), format!("{consumer:?}"), format!("{admin:?}")];
    let mut all = results.into_iter().zip(before).zip(after);
    std::array::from_fn(|_| all.next().map(|((result, before), after)| (result, before, after)).unwrap())
}

/// Whether any client looks at a key. A value that is refused is one of a key that is known.
fn is_known(key: &str) -> bool {
    set(key, "?").iter().any(|(result, ..)| !matches!(result, Ok(false)))
}

#[test]
fn keys_have_an_effect_unless_they_say_that_they_have_none() {
    assert!(CONFIG_KEYS.is_sorted_by_key(|key| key.name));
    for key in CONFIG_KEYS {
        assert_eq!(is_known(key.name), key.no_effect.is_none(), "{}", key.name);
        assert!(!is_known(&format!("{}.x", key.name)), "{}", key.name);
        assert!(key.doc.ends_with('.') && !key.clients.is_empty(), "{}", key.name);
    }
}

#[test]
fn what_is_said_to_be_the_default_is_it() {
    // These are not settled before the rest is known, such as whether there is a group.
    let later = [
        "enable.auto.commit",
        "heartbeat.interval.ms",
        "partition.assignment.strategy",
        "session.timeout.ms",
    ];
    // Of these the codecs' own defaults are meant, whatever they are.
    let levels = ["compression.gzip.level", "compression.lz4.level", "compression.zstd.level"];
    let mut compared = 0;
    for key in CONFIG_KEYS.iter().filter(|key| key.no_effect.is_none()) {
        let KeyDefault::Value(default) = key.default else { continue };
        for (result, before, after) in set(key.name, default) {
            let takes = result.unwrap_or_else(|error| panic!("{}: {error}", key.name));
            if takes && !later.contains(&key.name) && !levels.contains(&key.name) {
                assert_eq!(before, after, "{}", key.name);
                compared += 1;
            }
        }
    }
    assert!(compared > 40, "{compared}");
}

fn page() -> String {
    let mut page = String::from(
        "# Configuration of clients\n\
         \n\
         Every key of a producer, consumer or admin client of Apache Kafka 4.4. milena's client library takes them by `set`, its \
         tools by `--command-property`, or from the file of `--command-config`. The broker's keys are in \
         [configuration.md](configuration.md). Made from `crates/client/src/keys.rs` by `MILENA_BLESS=1 cargo test -p client --test docs`.\n\
         \n\
         *Not yet* says that the key has no effect here, and why; the tools say so on stderr.\n\
         \n\
         | Key | Type | Default | Valid | Importance | Clients | |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for key in CONFIG_KEYS {
        let default = match key.default {
            KeyDefault::Required => "required".to_owned(),
            KeyDefault::Unset => "unset".to_owned(),
            KeyDefault::Value("") => "empty".to_owned(),
            KeyDefault::Value(value) => format!("`{value}`"),
        };
        let not_yet = key.no_effect.map_or(String::new(), |reason| format!(" *Not yet: {reason}.*"));
        let _ = writeln!(
            page,
            "| `{}` | {} | {default} | {} | {} | {} | {}{not_yet} |",
            key.name, key.config_type, key.valid, key.importance, key.clients, key.doc
        );
    }
    page
}

#[test]
fn the_committed_page_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration-clients.md");
    let page = page();
    if std::env::var_os("MILENA_BLESS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == page,
        "docs/configuration-clients.md is not current: run MILENA_BLESS=1 cargo test -p client --test docs"
    );
}
