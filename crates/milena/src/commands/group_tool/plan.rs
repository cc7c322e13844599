//! Offsets in CSV: what `--export` writes and `--from-file` reads.

use std::collections::BTreeMap;

use common::TopicPartition;

type Plan = BTreeMap<String, BTreeMap<TopicPartition, i64>>;

/// `topic,partition,offset` for one group, `group,topic,partition,offset` for several.
pub(super) fn to_csv(plan: &Plan, single: bool) -> String {
    let mut text = String::new();
    for (group, offsets) in plan {
        for (at, offset) in offsets {
            if !single {
                text.push_str(&field(group));
                text.push(',');
            }
            text.push_str(&format!("{},{},{offset}\n", field(&at.topic), at.partition));
        }
    }
    text
}

/// Quoted where it has to be, and where Kafka's writer does not look whether it has to be: from 25 characters on.
fn field(text: &str) -> String {
    let plain = text.chars().count() <= 24 && text.chars().all(|letter| letter > ',');
    if plain { text.to_owned() } else { format!("\"{}\"", text.replace('"', "\"\"")) }
}

/// The plan in a file. The lines of one group may leave it out.
pub(super) fn read(file: &str, single_group: Option<&str>) -> Result<Plan, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
    parse(&text, single_group).map_err(|(line, problem)| format!("{file}, line {line}: {problem}"))
}

fn parse(text: &str, single_group: Option<&str>) -> Result<Plan, (usize, String)> {
    let mut plan = Plan::new();
    let without_group = text.lines().next().is_some_and(|line| fields(line).len() == 3);
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let problem = |problem: String| (index + 1, problem);
        let fields = fields(line);
        let (group, topic, partition, offset) = match (fields.as_slice(), single_group) {
            ([topic, partition, offset], Some(group)) if without_group => (group, topic, partition, offset),
            ([group, topic, partition, offset], _) if !without_group || single_group.is_none() => {
                (group.as_str(), topic, partition, offset)
            }
            _ => {
                let expected = match single_group.filter(|_| without_group) {
                    Some(_) => "topic,partition,offset",
                    None => "group,topic,partition,offset",
                };
                return Err(problem(format!("{expected} is expected: {line}")));
            }
        };
        let number = |what: &str, text: &str| {
            text.trim().parse::<i64>().map_err(|_| problem(format!("{text:?} is no {what}")))
        };
        let partition = i32::try_from(number("partition", partition)?)
            .map_err(|_| problem(format!("{partition:?} is no partition")))?;
        let offsets = plan.entry(group.to_owned()).or_default();
        offsets.insert(TopicPartition::new(topic.as_str(), partition), number("offset", offset)?);
    }
    Ok(plan)
}

/// The fields of a line; quotes around one, doubled inside.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut letters = line.trim_end_matches('\r').chars().peekable();
    while let Some(letter) = letters.next() {
        let Some(field) = fields.last_mut() else { break };
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            letter => field.push(letter),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(rows: &[(&str, &str, i32, i64)]) -> Plan {
        let mut plan = Plan::new();
        for (group, topic, partition, offset) in rows {
            plan.entry((*group).to_owned())
                .or_default()
                .insert(TopicPartition::new(*topic, *partition), *offset);
        }
        plan
    }

    #[test]
    fn what_is_exported_can_be_read() {
        let one = plan(&[("g", "a", 0, 5), ("g", "a-topic-with-quite-a-long-name", 1, 7)]);
        let text = to_csv(&one, true);
        assert_eq!(text, "a,0,5\n\"a-topic-with-quite-a-long-name\",1,7\n");
        assert_eq!(parse(&text, Some("g")).unwrap(), one);
        let two = plan(&[("g", "a", 0, 5), ("h \"x\", y", "a", 0, 6)]);
        let text = to_csv(&two, false);
        assert_eq!(text, "g,a,0,5\n\"h \"\"x\"\", y\",a,0,6\n");
        assert_eq!(parse(&text, None).unwrap(), two);
        // A plan for several groups serves one of them too.
        assert_eq!(parse(&text, Some("g")).unwrap(), two);
    }

    #[test]
    fn bad_lines_are_named() {
        assert_eq!(parse("a,0,5\nb,x,5\n", Some("g")).unwrap_err(), (2, "\"x\" is no partition".to_owned()));
        assert_eq!(parse("a,0\n", Some("g")).unwrap_err().0, 1);
        assert_eq!(parse("a,0,5\n", None).unwrap_err().0, 1);
        assert_eq!(parse("a,4294967296,5\n", Some("g")).unwrap_err().0, 1);
    }
}
