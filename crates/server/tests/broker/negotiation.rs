//! Negotiation and framing: which versions are said to be served, and what else clients rely on before they ask.

use common::ErrorCode;
use protocol::messages::api_versions_response::ApiVersion;
use protocol::messages::*;
use protocol::{ApiKey, Message, Reader, Records, Writer};

use crate::harness::{Broker, NODE, batch, error, fetch_request, header, produce_request};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_on_one_connection_are_answered_in_their_order() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("pipeline", 1, &[]).await;
    let (one, none) = (batch(&["one"]), batch(&["unanswered"]));
    // A fetch that waits, a produce without answer, one with, and a request that the controller decides.
    let mut fetch = fetch_request(12, &topic, &[(0, 0)]);
    fetch.max_wait_ms = 200;
    fetch.min_bytes = 1_000_000;
    let mut correlation_ids = Vec::new();
    let mut frames = Vec::new();
    let mut push = |frame: Vec<u8>, answered: bool| {
        if answered {
            correlation_ids.push(i32::from_be_bytes(frame[4..8].try_into().unwrap()));
        }
        frames.extend_from_slice(&(frame.len() as u32).to_be_bytes());
        frames.extend_from_slice(&frame);
    };
    push(client.frame(12, &fetch), true);
    push(client.frame(11, &produce_request(11, 0, &topic, &[(0, &none)])), false);
    push(client.frame(11, &produce_request(11, 1, &topic, &[(0, &one)])), true);
    push(client.frame(0, &InitProducerIdRequest::default()), true);
    push(client.frame(4, &MetadataRequest { topics: Some(Vec::new()), ..Default::default() }), true);
    client.send_raw(&frames).await;
    for expected in correlation_ids {
        let frame = client.receive_frame().await.unwrap();
        assert_eq!(i32::from_be_bytes(frame[..4].try_into().unwrap()), expected);
    }
    assert_eq!(client.consume(&topic, 0).await, ["unanswered", "one"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_version_of_api_versions_is_answered_in_version_0() {
    let broker = Broker::start().await;
    for version in [6, 99, -1, i16::MAX] {
        let mut client = broker.connect().await;
        // What such a client writes behind the first fields cannot be known: here, nothing that makes sense.
        let mut frame = header(ApiKey::ApiVersions, version, 7, Some("future"));
        frame.extend_from_slice(&[0xff; 9]);
        client.send_frame(&frame).await;
        let answer = client.receive_frame().await.unwrap();
        let mut reader = Reader::new(answer);
        assert_eq!(reader.i32(), Ok(7));
        let response: ApiVersionsResponse = Message::read(&mut reader, 0).unwrap();
        assert!(reader.is_empty());
        assert_eq!(error(response.error_code), ErrorCode::UnsupportedVersion);
        let expected = ApiVersion { api_key: 18, min_version: 0, max_version: 5 };
        assert_eq!(response.api_keys, [expected]);
        // The connection goes on: the client asks again in a version that it was told.
        client.call(0, &ApiVersionsRequest::default()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn produce_is_advertised_from_0_and_refused_below_3() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let apis = client.api_versions().await;
    let produce = apis.iter().find(|api| api.api_key == 0).unwrap();
    assert_eq!((produce.min_version, produce.max_version), (0, 13));
    for version in 0..3 {
        let mut client = broker.connect().await;
        let mut frame = header(ApiKey::Produce, version, 1, Some("old"));
        frame.extend_from_slice(&[0, 1, 0, 0, 0, 100, 0, 0, 0, 0]);
        client.send_frame(&frame).await;
        client.assert_closed().await;
    }
    // The controller's listener does not serve it at all.
    let mut client = broker.connect_to_controller().await;
    let apis = client.api_versions().await;
    assert!(!apis.iter().any(|api| api.api_key == 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn features_that_may_be_absent_are_left_out_before_version_4() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let request = ApiVersionsRequest {
        client_software_name: "test".to_owned(),
        client_software_version: "1.0".to_owned(),
        ..ApiVersionsRequest::default()
    };
    let third = client.call(3, &request).await;
    assert!(third.supported_features.iter().all(|feature| feature.min_version > 0));
    let fourth = client.call(4, &request).await;
    let absent: Vec<_> =
        fourth.supported_features.iter().filter(|feature| feature.min_version == 0).collect();
    assert!(absent.iter().any(|feature| feature.name == "group.version"), "{absent:?}");
    assert_eq!(third.supported_features.len() + absent.len(), fourth.supported_features.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_misrouted_client_is_told_to_bootstrap_again() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let described = client.call(1, &DescribeClusterRequest::default()).await;
    let ask = |cluster_id: Option<&str>, node_id| ApiVersionsRequest {
        client_software_name: "test".to_owned(),
        client_software_version: "1.0".to_owned(),
        cluster_id: cluster_id.map(str::to_owned),
        node_id,
    };
    let own = described.cluster_id.as_str();
    for (request, expected) in [
        (ask(None, -1), ErrorCode::None),
        (ask(Some(own), NODE), ErrorCode::None),
        (ask(Some(own), -1), ErrorCode::InvalidRequest),
        (ask(None, NODE), ErrorCode::InvalidRequest),
        (ask(Some("another"), NODE), ErrorCode::RebootstrapRequired),
        (ask(Some(own), NODE + 1), ErrorCode::RebootstrapRequired),
    ] {
        let response = client.call(5, &request).await;
        assert_eq!(error(response.error_code), expected, "{request:?}");
        assert_eq!(response.api_keys.is_empty(), !expected.is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_names_of_client_software_are_checked() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    for (name, version) in [("", "1.0"), ("test", ""), ("te st", "1.0"), ("-test", "1.0"), ("test", "1.0_")] {
        let request = ApiVersionsRequest {
            client_software_name: name.to_owned(),
            client_software_version: version.to_owned(),
            ..ApiVersionsRequest::default()
        };
        let response = client.call(3, &request).await;
        assert_eq!(error(response.error_code), ErrorCode::InvalidRequest, "{name:?} {version:?}");
        assert!(response.api_keys.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_tagged_fields_are_skipped() {
    let broker = Broker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("tags", 1, &[]).await;
    let mut frame = Writer::new();
    frame.i16(ApiKey::Produce.code());
    frame.i16(9);
    frame.i32(5);
    frame.string("test", false).unwrap();
    let tag = |frame: &mut Writer| {
        frame.uvarint(1);
        frame.uvarint(9999);
        frame.uvarint(3);
        frame.raw(b"abc");
    };
    tag(&mut frame);
    frame.null_string(true);
    frame.i16(-1);
    frame.i32(1000);
    frame.array_length(1, true).unwrap();
    frame.string(&topic.name, true).unwrap();
    frame.array_length(1, true).unwrap();
    frame.i32(0);
    let records = batch(&["tagged"]);
    frame.records(&Records::Inline(&records), true).unwrap();
    tag(&mut frame);
    tag(&mut frame);
    tag(&mut frame);
    client.send_frame(&frame.into_bytes()).await;
    let answer = client.receive_frame().await.unwrap();
    let mut reader = Reader::new(answer);
    assert_eq!((reader.i32(), reader.uvarint()), (Ok(5), Ok(0)));
    let response: ProduceResponse = Message::read(&mut reader, 9).unwrap();
    assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
}
