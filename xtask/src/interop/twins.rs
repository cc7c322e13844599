//! Apache Kafka and the broker under test are asked the same things by Apache Kafka's own clients: the same answers, down
//! to the words of an error.

use super::broker::{Kind, Node};
use super::report::Report;
use super::toolbox::java;
use super::{World, program, wire};

/// Runs the case.
pub fn run(world: &World, report: &mut Report) -> Result<(), String> {
    let (theirs, offered) = ask(world, Kind::Apache, "apache")?;
    let (ours, ours_offered) = ask(world, world.kind, "tested")?;
    let mut equal = 0;
    for (title, expected) in &theirs {
        match ours.iter().find(|(asked, _)| asked == title) {
            None => report.fail(title, &format!("not answered; Apache: {expected}")),
            Some((_, got)) if got == expected => equal += 1,
            Some((_, got)) if got.starts_with("UnsupportedVersionException") => report.skip(title, got),
            Some((_, got)) => report.fail(title, &parting(expected, got)),
        }
    }
    for (title, got) in ours.iter().filter(|(title, _)| theirs.iter().all(|(asked, _)| asked != title)) {
        report.fail(title, &format!("Apache does not have it; here: {got}"));
    }
    report.pass("the same answers", &format!("{equal} of {}", theirs.len()));
    let wrong: Vec<_> = ours_offered.iter().filter(|range| !offered.contains(range)).collect();
    let what = format!("{} of {} APIs are offered", ours_offered.len(), offered.len());
    report.check(
        &what,
        if wrong.is_empty() { Ok("in the same versions".to_owned()) } else { Err(format!("{wrong:?}")) },
    );
    Ok(())
}

type Answers = Vec<(String, String)>;

fn ask(world: &World, kind: Kind, name: &str) -> Result<(Answers, Vec<wire::Offer>), String> {
    let node = Node::new(world, &format!("twins/{name}"), &[])?;
    let broker = node.start_as(world, kind)?;
    let mut transcript = java("twins/Transcript.java")?;
    transcript.arg(broker.bootstrap());
    let text = program::run(&mut transcript, &node.dir, "transcript")?.text()?;
    let answers = text
        .lines()
        .filter_map(|line| line.split_once(" => "))
        .map(|(title, answer)| (title.to_owned(), answer.to_owned()));
    let offered = wire::api_versions(broker.port)?;
    broker.stop()?;
    Ok((answers.collect(), offered))
}

/// Both answers from a little before the place where they part.
fn parting(expected: &str, got: &str) -> String {
    let same = expected.chars().zip(got.chars()).take_while(|(a, b)| a == b).count();
    let from = same.saturating_sub(40);
    let tail = |text: &str| text.chars().skip(from).take(220).collect::<String>();
    format!("Apache: …{} | here: …{}", tail(expected), tail(got))
}
