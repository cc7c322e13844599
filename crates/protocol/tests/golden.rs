//! Bytes that Apache Kafka's own classes wrote, for every message and version: ours read them to the end and write
//! them again as they were. `vectors/README.md` says how they were made.

use protocol::messages::round_trip;

const MESSAGES: &[u8] = include_bytes!("vectors/messages.bin");

/// Takes the next bytes off the front of the file.
fn take<'a>(rest: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (front, back) = rest.split_at(count);
    *rest = back;
    front
}

fn number(rest: &mut &[u8], bytes: usize) -> usize {
    take(rest, bytes).iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

struct Vector {
    name: &'static str,
    version: i16,
    instance: usize,
    bytes: &'static [u8],
}

fn vectors() -> Vec<Vector> {
    let mut rest = MESSAGES;
    let mut vectors = Vec::new();
    while !rest.is_empty() {
        let length = number(&mut rest, 1);
        let name = std::str::from_utf8(take(&mut rest, length)).expect("a name of ASCII letters");
        let version = i16::try_from(number(&mut rest, 2)).expect("a version");
        for instance in 0..number(&mut rest, 1) {
            let length = number(&mut rest, 4);
            vectors.push(Vector { name, version, instance, bytes: take(&mut rest, length) });
        }
    }
    vectors
}

#[test]
fn the_vectors_cover_every_message() {
    let mut versions: Vec<_> = vectors().iter().map(|vector| (vector.name, vector.version)).collect();
    versions.dedup();
    assert_eq!(versions.len(), 744);
    versions.dedup_by_key(|version| version.0);
    assert_eq!(versions.len(), 278);
}

#[test]
fn what_apache_kafka_wrote_comes_back_as_it_was() {
    let mut failures = Vec::new();
    for Vector { name, version, instance, bytes } in vectors() {
        let problem = match round_trip(name, version, bytes) {
            None => "is not known".to_owned(),
            Some(Err(error)) => error,
            Some(Ok(written)) if written == bytes => continue,
            Some(Ok(written)) => {
                let at = written.iter().zip(bytes).take_while(|(ours, theirs)| ours == theirs).count();
                format!("differs at byte {at}: {} bytes instead of {}", written.len(), bytes.len())
            }
        };
        failures.push(format!("{name} version {version}, instance {instance}: {problem}"));
    }
    assert!(
        failures.is_empty(),
        "{} vectors:\n{}",
        failures.len(),
        failures[..failures.len().min(40)].join("\n")
    );
}

#[test]
fn a_message_cut_anywhere_is_an_error_and_nothing_worse() {
    for Vector { name, version, bytes, .. } in vectors().iter().filter(|vector| vector.instance == 1) {
        for end in 0..bytes.len() {
            let read = round_trip(name, *version, &bytes[..end]);
            assert!(matches!(read, Some(Err(_))), "{name} version {version} cut after {end} bytes");
        }
    }
}
