//! The part of `milena configs` that is about users, clients and addresses: quotas and SCRAM credentials.

use std::collections::BTreeMap;

use client::Admin;
use client::admin::{ClientQuotaEntity, QuotaFilter, ScramCredentialAlteration, ScramMechanism};

use super::configs::Failure;
use super::java_text;

/// The quotas of users and clients, and of addresses (`QuotaConfig`).
const CLIENT_QUOTAS: [&str; 4] =
    ["producer_byte_rate", "consumer_byte_rate", "request_percentage", "controller_mutation_rate"];
const IP_QUOTAS: [&str; 1] = ["connection_creation_rate"];

/// Where nothing is said of it.
const DEFAULT_ITERATIONS: u32 = 4096;

/// The type of an entity in Kafka's requests.
fn wire_type(entity_type: &str) -> &'static str {
    match entity_type {
        "users" => "user",
        "clients" => "client-id",
        _ => "ip",
    }
}

fn said(message: impl Into<String>) -> Failure {
    Failure::Said(message.into())
}

/// The names that come first: those of types in excess mean all.
fn filter(types: &[String], names: &[String]) -> Vec<(String, QuotaFilter)> {
    let wanted = |index: usize| match names.get(index).map(String::as_str) {
        None => QuotaFilter::Any,
        Some("") => QuotaFilter::Default,
        Some(name) => QuotaFilter::Name(name.to_owned()),
    };
    types.iter().enumerate().map(|(index, kind)| (wire_type(kind).to_owned(), wanted(index))).collect()
}

/// Describes quotas, and the credentials of users.
pub(super) async fn describe(admin: &Admin, types: &[String], names: &[String]) -> Result<(), Failure> {
    if names.len() > types.len() {
        return Err(said("More entity names specified than entity types"));
    }
    for (entity, quotas) in admin.describe_client_quotas(&filter(types, names)).await? {
        let quotas: Vec<String> =
            quotas.iter().map(|(key, value)| format!("{key}={}", java_text::double(*value))).collect();
        println!("Quota configs for {} are {}", entity_text(&entity), quotas.join(", "));
    }
    let of_users = types.iter().any(|kind| kind == "users") && !types.iter().any(|kind| kind == "clients");
    if !of_users || names.iter().any(String::is_empty) {
        return Ok(());
    }
    for (user, described) in admin.describe_user_scram_credentials(names).await? {
        match described {
            Ok(infos) => {
                let infos: Vec<String> = infos
                    .iter()
                    .map(|(name, iterations)| format!("{name}=iterations={iterations}"))
                    .collect();
                println!("SCRAM credential configs for user-principal '{user}' are {}", infos.join(", "));
            }
            Err(error) => {
                println!(
                    "Error retrieving SCRAM credential configs for user-principal '{user}': {}",
                    super::client_tool::failed_future(&error)
                );
            }
        }
    }
    Ok(())
}

fn entity_text(entity: &ClientQuotaEntity) -> String {
    let part = |(kind, shown): (&str, &str)| {
        Some(match entity.get(kind)?.as_deref() {
            None | Some("") => format!("the default {shown}"),
            Some(name) => format!("{shown} '{name}'"),
        })
    };
    let parts = [("user", "user-principal"), ("client-id", "client-id"), ("ip", "ip")];
    parts.into_iter().filter_map(part).collect::<Vec<_>>().join(", ")
}

/// Sets and takes away quotas, or credentials.
pub(super) async fn alter(
    admin: &Admin,
    types: &[String],
    names: &[String],
    added: &BTreeMap<String, String>,
    deleted: &[&str],
) -> Result<(), Failure> {
    check(types, names, added, deleted).map_err(Failure::Said)?;
    let is_quota = |key: &str| CLIENT_QUOTAS.contains(&key) || IP_QUOTAS.contains(&key);
    let quotas = added.keys().map(String::as_str).chain(deleted.iter().copied()).any(is_quota);
    if quotas || types.iter().any(|kind| kind == "ips") {
        return alter_quotas(admin, types, names, added, deleted).await;
    }
    let Some(user) = names.first() else { return Err(said("A user has to be named")) };
    let mut alterations = Vec::new();
    for key in deleted {
        alterations.extend(ScramMechanism::parse(key).map(ScramCredentialAlteration::Delete));
    }
    for (key, value) in added {
        let Some(mechanism) = ScramMechanism::parse(key) else { continue };
        let (iterations, password) = credential(mechanism, value).map_err(Failure::Said)?;
        alterations.push(ScramCredentialAlteration::Upsert { mechanism, iterations, password });
    }
    admin.alter_user_scram_credentials(user, &alterations).await?;
    Ok(())
}

/// What cannot be set for whom, in Kafka's words.
fn check(
    types: &[String],
    names: &[String],
    added: &BTreeMap<String, String>,
    deleted: &[&str],
) -> Result<(), String> {
    let has = |wanted: &str| types.iter().any(|kind| kind == wanted);
    let is_quota = |key: &&str| CLIENT_QUOTAS.contains(key);
    let is_scram = |key: &&str| ScramMechanism::parse(key).is_some();
    let added: Vec<&str> = added.keys().map(String::as_str).collect();
    let unexpected = |keys: &[&str], allowed: &dyn Fn(&&str) -> bool| -> Option<String> {
        let keys: Vec<&str> = keys.iter().copied().filter(|key| !allowed(key)).collect();
        (!keys.is_empty()).then(|| keys.join(","))
    };
    if has("ips") {
        let keys: Vec<&str> = added.iter().chain(deleted).copied().collect();
        return match unexpected(&keys, &|key| IP_QUOTAS.contains(key)) {
            None => Ok(()),
            Some(keys) => Err(format!(
                "Only connection quota configs can be added for 'ips' using --bootstrap-server. Unexpected config names: {keys}"
            )),
        };
    }
    let (kinds, whose): (&str, &str) =
        if has("clients") { ("quota", "clients") } else { ("quota and SCRAM credential", "users") };
    let allowed = |key: &&str| is_quota(key) || (!has("clients") && is_scram(key));
    for (keys, done) in [(added.as_slice(), "added"), (deleted, "deleted")] {
        if let Some(keys) = unexpected(keys, &allowed) {
            return Err(format!(
                "Only {kinds} configs can be {done} for '{whose}' using --bootstrap-server. Unexpected config names: {keys}"
            ));
        }
    }
    let all = || added.iter().chain(deleted);
    if !has("clients") && all().any(is_scram) {
        if names.iter().any(String::is_empty) {
            return Err("The use of --entity-default or --user-defaults is not allowed with User SCRAM Credentials using \
                        --bootstrap-server."
                .to_owned());
        }
        if all().any(is_quota) {
            return Err("Cannot alter both quota and SCRAM credential configs simultaneously for 'users' using --bootstrap-server."
                .to_owned());
        }
    }
    Ok(())
}

async fn alter_quotas(
    admin: &Admin,
    types: &[String],
    names: &[String],
    added: &BTreeMap<String, String>,
    deleted: &[&str],
) -> Result<(), Failure> {
    let before = admin.describe_client_quotas(&filter(types, names)).await?;
    let before = before.into_iter().next().map(|(_, quotas)| quotas).unwrap_or_default();
    let unknown: Vec<&str> = deleted.iter().copied().filter(|key| !before.contains_key(*key)).collect();
    if !unknown.is_empty() {
        return Err(said(format!("Invalid config(s): {}", unknown.join(","))));
    }
    let mut changes = Vec::new();
    for (key, value) in added {
        let number = value.trim().parse::<f64>();
        let number =
            number.map_err(|_| said(format!("Cannot parse quota configuration value for {key}: {value}")))?;
        changes.push((key.clone(), Some(number)));
    }
    changes.extend(deleted.iter().map(|key| ((*key).to_owned(), None)));
    let entity = types
        .iter()
        .zip(names)
        .map(|(kind, name)| (wire_type(kind).to_owned(), Some(name.clone()).filter(|name| !name.is_empty())));
    admin.alter_client_quotas(&entity.collect(), &changes).await?;
    Ok(())
}

/// `iterations=8192,password=secret`.
fn credential(mechanism: ScramMechanism, text: &str) -> Result<(u32, String), String> {
    let name = mechanism.name();
    let invalid = || format!("Invalid credential property {name}={text}");
    let (iterations, rest) = match text.strip_prefix("iterations=") {
        None => (None, text),
        Some(rest) => rest.split_once(',').map(|(number, rest)| (Some(number), rest)).ok_or_else(invalid)?,
    };
    let password = rest.strip_prefix("password=").ok_or_else(invalid)?;
    let iterations = match iterations {
        None | Some("-1") => i64::from(DEFAULT_ITERATIONS),
        Some(number) => number.parse().map_err(|_| invalid())?,
    };
    let least = ScramMechanism::MIN_ITERATIONS;
    match u32::try_from(iterations) {
        Ok(enough) if enough >= least => Ok((enough, password.to_owned())),
        _ => Err(format!("Iterations {iterations} is less than the minimum {least} required for {name}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn entities_are_described_in_kafkas_words() {
        let entity = |parts: &[(&str, Option<&str>)]| -> ClientQuotaEntity {
            parts.iter().map(|(kind, name)| ((*kind).to_owned(), name.map(str::to_owned))).collect()
        };
        assert_eq!(
            entity_text(&entity(&[("user", Some("u")), ("client-id", None)])),
            "user-principal 'u', the default client-id"
        );
        assert_eq!(entity_text(&entity(&[("ip", Some("10.0.0.1"))])), "ip '10.0.0.1'");
    }

    #[test]
    fn credentials_have_a_password_and_perhaps_iterations() {
        let read = |text: &str| credential(ScramMechanism::Sha256, text);
        assert_eq!(read("password=a,b"), Ok((4096, "a,b".to_owned())));
        assert_eq!(read("iterations=8192,password=x"), Ok((8192, "x".to_owned())));
        assert_eq!(read("iterations=-1,password=x"), Ok((4096, "x".to_owned())));
        assert!(read("x").unwrap_err().starts_with("Invalid credential property SCRAM-SHA-256=x"));
        assert!(
            read("iterations=5,password=x")
                .unwrap_err()
                .starts_with("Iterations 5 is less than the minimum 4096")
        );
    }

    #[test]
    fn what_cannot_be_set_is_refused() {
        let check = |types: &[&str], names: &[&str], added: &[&str]| {
            let added = added.iter().map(|key| ((*key).to_owned(), String::new())).collect();
            super::check(&words(types), &words(names), &added, &[])
        };
        assert_eq!(check(&["users"], &["u"], &["producer_byte_rate"]), Ok(()));
        assert_eq!(check(&["users"], &["u"], &["SCRAM-SHA-256"]), Ok(()));
        for (types, names, added, expected) in [
            (
                &["users"][..],
                &["u"][..],
                &["retention.ms"][..],
                "Only quota and SCRAM credential configs can be added for 'users'",
            ),
            (&["clients"], &["c"], &["SCRAM-SHA-256"], "Only quota configs can be added for 'clients'"),
            (
                &["ips"],
                &["1.2.3.4"],
                &["producer_byte_rate"],
                "Only connection quota configs can be added for 'ips'",
            ),
            (
                &["users"],
                &[""],
                &["SCRAM-SHA-256"],
                "The use of --entity-default or --user-defaults is not allowed",
            ),
            (
                &["users"],
                &["u"],
                &["SCRAM-SHA-256", "producer_byte_rate"],
                "Cannot alter both quota and SCRAM",
            ),
        ] {
            let error = check(types, names, added).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
