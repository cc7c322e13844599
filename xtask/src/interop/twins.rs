//! Apache Kafka and the broker under test are asked the same things by Apache Kafka's own clients: the same answers, down
//! to the words of an error.

use super::broker::{Kind, Node};
use super::report::Report;
use super::toolbox::java;
use super::{World, program, wire};
use crate::project;

/// Runs the case.
pub fn run(world: &World, report: &mut Report) -> Result<(), String> {
    let (theirs, offered) = ask(world, Kind::Apache, "apache")?;
    let (ours, ours_offered) = ask(world, world.kind, "tested")?;
    let known = answers(&project::read(&project::root().join("interop/twins/differences.txt"))?);
    let find = |list: &Answers, title: &str| {
        list.iter().find(|(asked, _)| asked == title).map(|(_, answer)| answer.clone())
    };
    let mut equal = 0;
    for (title, expected) in &theirs {
        let why = if world.kind == Kind::Apache { None } else { find(&known, title) };
        match (find(&ours, title), why) {
            (Some(got), None) if got == *expected => equal += 1,
            (Some(got), Some(_)) if got == *expected => {
                report.fail(title, "it no longer differs: take it off interop/twins/differences.txt");
            }
            (_, Some(why)) => report.skip(title, &why),
            (None, None) => report.fail(title, &format!("not answered; Apache: {expected}")),
            (Some(got), None) if got.starts_with("UnsupportedVersionException") => report.skip(title, &got),
            (Some(got), None) => report.fail(title, &parting(expected, &got)),
        }
    }
    for (title, got) in ours.iter().filter(|(title, _)| theirs.iter().all(|(asked, _)| asked != title)) {
        report.fail(title, &format!("Apache does not have it; here: {got}"));
    }
    report.pass("the same answers", &format!("{equal} of {}", theirs.len()));
    let is_known = |api: i16| find(&known, &format!("offered: {api}")).is_some();
    let wrong: Vec<_> =
        ours_offered.iter().filter(|range| !offered.contains(range) && !is_known(range.0)).collect();
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
    // A second log directory, to which replicas move.
    let dirs = format!("log.dirs={},{}\n", node.data.display(), node.dir.join("more").display());
    project::write(&node.properties, project::read(&node.properties)? + &dirs)?;
    let broker = node.start_as(world, kind)?;
    let mut transcript = java("twins/Transcript.java")?;
    transcript.arg(broker.bootstrap());
    let text = program::run(&mut transcript, &node.dir, "transcript")?.text()?;
    let offered = wire::api_versions(broker.port)?;
    broker.stop()?;
    Ok((answers(&text), offered))
}

/// Lines of `TITLE => ANSWER`.
fn answers(text: &str) -> Answers {
    let pairs = text.lines().filter_map(|line| line.split_once(" => "));
    pairs.map(|(title, answer)| (title.to_owned(), answer.to_owned())).collect()
}

/// Both answers from a little before the place where they part.
fn parting(expected: &str, got: &str) -> String {
    let same = expected.chars().zip(got.chars()).take_while(|(a, b)| a == b).count();
    let from = same.saturating_sub(40);
    let tail = |text: &str| text.chars().skip(from).take(220).collect::<String>();
    format!("Apache: …{} | here: …{}", tail(expected), tail(got))
}
