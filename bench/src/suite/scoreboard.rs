//! All goals of all recorded parts on one page, and every figure in which Apache Kafka is ahead.

use std::{fmt::Write as _, fs, path::Path};

use serde_json::Value;

use super::report::number;
use crate::{Failure, Result};

/// The pages that have goals or a comparison, in the order in which they are shown. Not the tools: there the columns are clients.
const PAGES: [&str; 10] = [
    "speed",
    "user",
    "growth",
    "recovery",
    "groups",
    "codecs",
    "cluster",
    "cluster-partitions",
    "hostile",
    "lasting",
];
/// Figures of the generator, of the machine, or of a system beside itself.
const NOT_COMPARED: [&str; 8] = [
    "others",
    "page cache append",
    "rate",
    "sender late p50",
    "sender late p99",
    "p99, end : begin",
    "resident memory, end : begin",
    "metadata size",
];
const MORE_IS_BETTER: [&str; 5] = ["MB/s", "M msg/s", "requests/s", "1/s", "msg/s"];

/// Writes `scoreboard.md` from the figures of the parts that lie in the directory.
pub fn write(dir: &Path) -> Result<()> {
    let mut goals = String::new();
    let mut behind = String::new();
    for page in PAGES {
        let path = dir.join(format!("{page}.json"));
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let part: Value = serde_json::from_str(&text)
            .map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
        let of_part = part["goals"].as_array().map_or(&[] as &[Value], Vec::as_slice);
        // A page of one piece of the part leaves the goals to the page of the whole.
        if of_part.iter().any(|goal| !goal["measured"].is_null()) {
            of_part.iter().for_each(|goal| goals.push_str(&goal_line(page, &part, goal)));
        }
        for figure in figures(&part).filter(|figure| apache_is_ahead(figure)) {
            behind.push_str(&behind_line(page, figure));
        }
    }
    if behind.is_empty() {
        behind.push_str("| - | none | | | |\n");
    }
    let text = format!(
        "# Scoreboard\n\nEvery goal, and what was measured for it: medians of the recorded runs, each on its page; \"x\" is times the floor or Apache Kafka in the \
         same round. Made by the bench from the pages' figures whenever one is recorded. What is not met is explained in the [README](README.md).\n\n\
         | page | figure | floor | milena | Apache Kafka | goal | reached | met |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n{goals}\n\
         ## Where Apache Kafka is ahead\n\nOf all figures on the pages, with no allowance for chance.\n\n\
         | page | figure | milena | Apache Kafka | milena : Apache Kafka |\n| --- | --- | --- | --- | --- |\n{behind}"
    );
    Ok(fs::write(dir.join("scoreboard.md"), text)?)
}

fn figures(part: &Value) -> impl Iterator<Item = &Value> {
    part["figures"].as_array().into_iter().flatten()
}

fn name(figure: &Value) -> String {
    let text = |key: &str| figure[key].as_str().unwrap_or_default();
    format!("{}: {}", text("workload"), text("figure"))
}

fn link(page: &str) -> String {
    format!("[{page}]({page}.md)")
}

fn median(figure: &Value, system: &str) -> String {
    figure["systems"][system]["median"].as_f64().map_or_else(|| "-".to_owned(), number)
}

fn goal_line(page: &str, part: &Value, goal: &Value) -> String {
    let what = goal["goal"].as_str().unwrap_or_default();
    let figure = figures(part).find(|figure| name(figure) == what).unwrap_or(&Value::Null);
    let unit = figure["unit"].as_str().map_or_else(String::new, |unit| format!(", {unit}"));
    let reached = goal["measured"].as_f64().map_or_else(|| "not measured".to_owned(), |x| format!("{x:.2}"));
    let met = if goal["met"] == Value::Bool(true) { "yes" } else { "**no**" };
    let mut line = format!("| {} | {what}{unit} |", link(page));
    for system in ["floor", "milena", "apache"] {
        let _ = write!(line, " {} |", median(figure, system));
    }
    let _ = writeln!(line, " {} | {reached} | {met} |", goal["limit"].as_str().unwrap_or_default());
    line
}

fn to_apache(figure: &Value) -> Option<f64> {
    figure["ratios"]["milena : apache"].as_f64()
}

fn apache_is_ahead(figure: &Value) -> bool {
    let text = |key: &str| figure[key].as_str().unwrap_or_default();
    let is_minute = text("workload").contains(", minute: ");
    let compared = !is_minute && !NOT_COMPARED.contains(&text("figure"));
    let more_is_better = MORE_IS_BETTER.contains(&text("unit"));
    compared && to_apache(figure).is_some_and(|ratio| if more_is_better { ratio < 1.0 } else { ratio > 1.0 })
}

fn behind_line(page: &str, figure: &Value) -> String {
    let unit = figure["unit"].as_str().unwrap_or_default();
    let (ours, theirs) = (median(figure, "milena"), median(figure, "apache"));
    let ratio = to_apache(figure).map_or_else(String::new, |ratio| format!("{ratio:.2}"));
    format!("| {} | {}, {unit} | {ours} | {theirs} | {ratio} |\n", link(page), name(figure))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn goals_and_what_is_behind_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let figure = |figure: &str, unit: &str, milena: f64, apache: f64| {
            json!({
                "workload": "work", "figure": figure, "unit": unit,
                "systems": { "milena": { "median": milena }, "apache": { "median": apache } },
                "ratios": { "milena : apache": milena / apache },
            })
        };
        let speed = json!({
            "figures": [
                figure("CPU", "us", 10.0, 40.0), figure("records", "M msg/s", 1.0, 2.0),
                figure("throughput", "MB/s", 3.0, 2.0), figure("p50", "us", 5.0, 4.0), figure("others", "cores", 2.0, 1.0),
            ],
            "goals": [
                { "goal": "work: CPU", "limit": "<= 12 us", "measured": 10.0, "met": true },
                { "goal": "work: unknown", "limit": "<= 1 x floor", "measured": null, "met": false },
            ],
        });
        fs::write(dir.path().join("speed.json"), speed.to_string()).unwrap();
        write(dir.path()).unwrap();
        let page = fs::read_to_string(dir.path().join("scoreboard.md")).unwrap();
        let lines: Vec<&str> = page.lines().filter(|line| line.starts_with("| [")).collect();
        assert_eq!(
            lines,
            [
                "| [speed](speed.md) | work: CPU, us | - | 10.0 | 40.0 | <= 12 us | 10.00 | yes |",
                "| [speed](speed.md) | work: unknown | - | - | - | <= 1 x floor | not measured | **no** |",
                "| [speed](speed.md) | work: records, M msg/s | 1.00 | 2.00 | 0.50 |",
                "| [speed](speed.md) | work: p50, us | 5.00 | 4.00 | 1.25 |",
            ]
        );
    }
}
