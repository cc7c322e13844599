//! `DescribeClientQuotas` (KIP-546): who has which quotas (`ClientQuotasImage.describe`).

use std::collections::BTreeMap;
use std::sync::Arc;

use common::ErrorCode;
use metadata::client_quotas_image::{CLIENT_ID, IP, USER};
use metadata::{ClientQuotaEntity, ClientQuotasImage};
use network::{Handled, Outbox};
use protocol::messages::describe_client_quotas_response::{EntityData, EntryData, ValueData};
use protocol::messages::{DescribeClientQuotasRequest, DescribeClientQuotasResponse};

use crate::broker::Broker;
use crate::request::{BadRequest, Request};

/// Entities with this very name.
const EXACT: i8 = 0;
/// The default of all that have no name of their own.
const DEFAULT: i8 = 1;
/// Entities that say anything of the type.
const SPECIFIED: i8 = 2;

type Refusal = (ErrorCode, String);

pub(crate) fn handle(
    broker: &Arc<Broker>,
    mut request: Request<'_>,
    out: &mut Outbox,
) -> Result<Handled, BadRequest> {
    let body: DescribeClientQuotasRequest = request.read()?;
    let response = match describe(&broker.image().client_quotas, &body) {
        Ok(entries) => DescribeClientQuotasResponse { entries: Some(entries), ..Default::default() },
        Err((error, message)) => DescribeClientQuotasResponse {
            error_code: error.code(),
            error_message: Some(message),
            entries: None,
            ..Default::default()
        },
    };
    request.head.answer(&response, out)
}

/// What an entity has to be of one type: named so, the default (no name), or anything.
enum Match<'a> {
    Name(Option<&'a str>),
    Anything,
}

fn describe(
    quotas: &ClientQuotasImage,
    body: &DescribeClientQuotasRequest,
) -> Result<Vec<EntryData>, Refusal> {
    let filter = filter(body)?;
    // Strictly nothing is what no entity is.
    let meets = |entity: &ClientQuotaEntity| {
        let each = filter.iter().all(|(kind, wanted)| match (entity.0.get(*kind), wanted) {
            (None, _) => false,
            (Some(_), Match::Anything) => true,
            (Some(name), Match::Name(wanted)) => name.as_deref() == *wanted,
        });
        each && (!body.strict || entity.0.len() == filter.len())
    };
    let found = quotas.entities.iter().filter(|(entity, _)| meets(entity));
    Ok(found.map(|(entity, values)| entry(entity, values)).collect())
}

fn entry(entity: &ClientQuotaEntity, values: &BTreeMap<String, f64>) -> EntryData {
    let part = |(kind, name): (&String, &Option<String>)| EntityData {
        entity_type: kind.clone(),
        entity_name: name.clone(),
    };
    let value = |(key, value): (&String, &f64)| ValueData { key: key.clone(), value: *value };
    EntryData { entity: entity.0.iter().map(part).collect(), values: values.iter().map(value).collect() }
}

fn filter(body: &DescribeClientQuotasRequest) -> Result<BTreeMap<&str, Match<'_>>, Refusal> {
    let invalid = |message: String| Err((ErrorCode::InvalidRequest, message));
    let mut filter: BTreeMap<&str, Match<'_>> = BTreeMap::new();
    for component in &body.components {
        let kind = component.entity_type.as_str();
        if kind.is_empty() {
            return invalid("Invalid empty entity type.".to_owned());
        }
        if filter.contains_key(kind) {
            return invalid(format!("Entity type {kind} cannot appear more than once in the filter."));
        }
        if ![IP, USER, CLIENT_ID].contains(&kind) {
            return Err((ErrorCode::UnsupportedVersion, format!("Unsupported entity type {kind}")));
        }
        let with_a_name =
            |name: &str| invalid(format!("Request specified {name}, but also specified a match string."));
        let wanted = match (component.match_type, component.match_.as_deref()) {
            (EXACT, Some(name)) => Match::Name(Some(name)),
            (EXACT, None) => {
                return invalid(
                    "Request specified MATCH_TYPE_EXACT, but set match string to null.".to_owned(),
                );
            }
            (DEFAULT, None) => Match::Name(None),
            (DEFAULT, Some(_)) => return with_a_name("MATCH_TYPE_DEFAULT"),
            (SPECIFIED, None) => Match::Anything,
            (SPECIFIED, Some(_)) => return with_a_name("MATCH_TYPE_SPECIFIED"),
            (other, _) => return invalid(format!("Unknown match type {other}")),
        };
        filter.insert(kind, wanted);
    }
    if filter.contains_key(IP) && filter.len() > 1 {
        return invalid(
            "Invalid entity filter component combination. IP filter component should not be used with user or clientId filter \
             component."
                .to_owned(),
        );
    }
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use protocol::messages::describe_client_quotas_request::ComponentData;

    use super::*;

    fn image() -> ClientQuotasImage {
        let entity = |parts: &[(&str, Option<&str>)]| {
            let parts = parts.iter().map(|(kind, name)| ((*kind).to_owned(), name.map(str::to_owned)));
            (ClientQuotaEntity(parts.collect()), BTreeMap::from([("request_percentage".to_owned(), 50.0)]))
        };
        ClientQuotasImage {
            entities: BTreeMap::from([
                entity(&[(USER, Some("alice"))]),
                entity(&[(USER, Some("alice")), (CLIENT_ID, Some("app"))]),
                entity(&[(USER, None)]),
                entity(&[(CLIENT_ID, None)]),
                entity(&[(IP, Some("10.0.0.1"))]),
            ]),
        }
    }

    fn found(components: &[(&str, i8, Option<&str>)], strict: bool) -> Result<usize, Refusal> {
        let component = |(kind, match_type, name): &(&str, i8, Option<&str>)| ComponentData {
            entity_type: (*kind).to_owned(),
            match_type: *match_type,
            match_: name.map(str::to_owned),
        };
        let components = components.iter().map(component).collect();
        describe(&image(), &DescribeClientQuotasRequest { components, strict }).map(|entries| entries.len())
    }

    #[test]
    fn filters_choose_entities() {
        for (components, strict, expected) in [
            (&[][..], false, 5),
            (&[], true, 0),
            (&[(USER, EXACT, Some("alice"))], false, 2),
            (&[(USER, EXACT, Some("alice"))], true, 1),
            (&[(USER, EXACT, Some("alice")), (CLIENT_ID, SPECIFIED, None)], true, 1),
            (&[(USER, DEFAULT, None)], false, 1),
            (&[(USER, SPECIFIED, None)], false, 3),
            (&[(IP, SPECIFIED, None)], false, 1),
            (&[(USER, EXACT, Some("nobody"))], false, 0),
        ] {
            assert_eq!(found(components, strict), Ok(expected), "{components:?} {strict}");
        }
    }

    #[test]
    fn filters_that_make_no_sense_are_refused() {
        for (components, error) in [
            (&[("", EXACT, Some("x"))][..], ErrorCode::InvalidRequest),
            (&[("host", EXACT, Some("x"))], ErrorCode::UnsupportedVersion),
            (&[(USER, EXACT, None)], ErrorCode::InvalidRequest),
            (&[(USER, DEFAULT, Some("x"))], ErrorCode::InvalidRequest),
            (&[(USER, 7, None)], ErrorCode::InvalidRequest),
            (&[(USER, DEFAULT, None), (USER, SPECIFIED, None)], ErrorCode::InvalidRequest),
            (&[(USER, DEFAULT, None), (IP, SPECIFIED, None)], ErrorCode::InvalidRequest),
        ] {
            assert_eq!(found(components, false).unwrap_err().0, error, "{components:?}");
        }
    }
}
