//! The figures of a run, as a Markdown table and as JSON.

use std::{collections::BTreeMap, fmt::Write};

use serde_json::{Value, json};

use super::{
    goals::Verdict,
    plot::{Bars, Growth},
};
use crate::measure::{Metric, median};

/// One line: a figure of a workload, with a value for each system and round.
#[derive(Debug, Clone)]
struct Row {
    workload: String,
    figure: &'static str,
    unit: &'static str,
    /// By system, then by round.
    values: BTreeMap<String, BTreeMap<usize, f64>>,
}

/// All figures, in the order in which they came first.
#[derive(Debug, Clone, Default)]
pub struct Table {
    rows: Vec<Row>,
}

impl Table {
    pub fn add(&mut self, workload: &str, system: &str, round: usize, metrics: &[Metric]) {
        for metric in metrics.iter().filter(|metric| metric.value.is_finite()) {
            let known =
                self.rows.iter().position(|row| row.workload == workload && row.figure == metric.name);
            let index = known.unwrap_or_else(|| {
                self.rows.push(Row {
                    workload: workload.to_owned(),
                    figure: metric.name,
                    unit: metric.unit,
                    values: BTreeMap::new(),
                });
                self.rows.len() - 1
            });
            let values = self.rows[index].values.entry(system.to_owned()).or_default();
            values.insert(round, metric.value);
        }
    }

    fn row(&self, workload: &str, figure: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.workload == workload && row.figure == figure)
    }

    pub fn unit(&self, workload: &str, figure: &str) -> Option<&'static str> {
        self.row(workload, figure).map(|row| row.unit)
    }

    pub fn median(&self, workload: &str, figure: &str, system: &str) -> Option<f64> {
        self.row(workload, figure)?.median(system)
    }

    /// The median of the ratios within each round.
    pub fn ratio(&self, workload: &str, figure: &str, system: &str, to: &str) -> Option<f64> {
        self.row(workload, figure)?.ratio(system, to)
    }

    /// The figures that `shown` names for each workload, with their ratios.
    pub fn markdown(&self, systems: &[String], shown: impl Fn(&str, &str) -> bool) -> String {
        let pairs = ratio_pairs(systems);
        let mut out = String::from("| figure |");
        for system in systems {
            let _ = write!(out, " {system} |");
        }
        for (system, to) in &pairs {
            let _ = write!(out, " {system} : {to} |");
        }
        let _ = writeln!(out, " others' cores |");
        let _ = writeln!(out, "|{}", " --- |".repeat(systems.len() + pairs.len() + 2));
        for row in self.rows.iter().filter(|row| shown(&row.workload, row.figure)) {
            let _ = write!(out, "| {}: {}, {} |", row.workload, row.figure, row.unit);
            for system in systems {
                let cell = row.median(system).map_or_else(|| "-".to_owned(), |value| row.cell(system, value));
                let _ = write!(out, " {cell} |");
            }
            for (system, to) in &pairs {
                let ratio =
                    row.ratio(system, to).map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
                let _ = write!(out, " {ratio} |");
            }
            let _ = writeln!(out, " {} |", self.others(&row.workload));
        }
        out
    }

    /// The figures that `shown` names, as bars.
    pub fn bars(&self, systems: &[String], shown: impl Fn(&str, &str) -> bool) -> Vec<Bars> {
        let rows = self.rows.iter().filter(|row| row.figure != "others" && shown(&row.workload, row.figure));
        rows.map(|row| Bars {
            label: format!("{}: {}", row.workload, row.figure),
            values: systems.iter().map(|system| row.median(system)).collect(),
        })
        .collect()
    }

    /// The figures of workloads whose names end with a size, as lines over it.
    pub fn growth(&self, systems: &[String], shown: impl Fn(&str, &str) -> bool) -> Vec<Growth> {
        let mut plots: Vec<Growth> = Vec::new();
        for row in self.rows.iter().filter(|row| shown(&row.workload, row.figure)) {
            let Some((what, size)) = row.workload.rsplit_once(": ") else { continue };
            let Ok(size) = size.replace(',', "").parse::<f64>() else { continue };
            let title = format!("{what}: {}", row.figure);
            let known = plots.iter().position(|plot| plot.title == title);
            let index = known.unwrap_or_else(|| {
                let lines = systems.iter().map(|system| (system.clone(), Vec::new())).collect();
                plots.push(Growth { title, unit: row.unit.to_owned(), lines });
                plots.len() - 1
            });
            for (system, points) in &mut plots[index].lines {
                points.extend(row.median(system).map(|median| (size, median)));
            }
        }
        plots.iter_mut().for_each(|plot| plot.lines.retain(|(_, points)| !points.is_empty()));
        plots
    }

    /// How many CPUs others kept busy while a workload ran: the median over systems and rounds.
    fn others(&self, workload: &str) -> String {
        let Some(row) = self.row(workload, "others") else { return "-".to_owned() };
        let values: Vec<f64> = row.values.values().flat_map(BTreeMap::values).copied().collect();
        median(&values).map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"))
    }

    pub fn json(&self, systems: &[String], rounds: usize, goals: &[Verdict], failures: &[String]) -> Value {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                let systems_found: BTreeMap<&str, Value> = systems
                    .iter()
                    .filter_map(|system| {
                        let values: Vec<f64> = row.values.get(system)?.values().copied().collect();
                        Some((system.as_str(), json!({ "median": median(&values), "rounds": values })))
                    })
                    .collect();
                let ratios: BTreeMap<String, f64> = ratio_pairs(systems)
                    .into_iter()
                    .filter_map(|(system, to)| Some((format!("{system} : {to}"), row.ratio(system, to)?)))
                    .collect();
                json!({
                    "workload": row.workload, "figure": row.figure, "unit": row.unit,
                    "systems": systems_found, "ratios": ratios,
                })
            })
            .collect();
        let goals: Vec<Value> = goals
            .iter()
            .map(|goal| json!({ "goal": goal.what, "limit": goal.limit, "measured": goal.measured, "met": goal.met }))
            .collect();
        json!({ "systems": systems, "rounds_counted": rounds, "figures": rows, "goals": goals, "failures": failures })
    }
}

impl Row {
    fn median(&self, system: &str) -> Option<f64> {
        median(&self.values.get(system)?.values().copied().collect::<Vec<_>>())
    }

    fn ratio(&self, system: &str, to: &str) -> Option<f64> {
        let (ours, theirs) = (self.values.get(system)?, self.values.get(to)?);
        let ratios: Vec<f64> =
            ours.iter().filter_map(|(round, value)| Some(value / theirs.get(round)?)).collect();
        median(&ratios)
    }

    /// The median, and how far the rounds lie apart.
    fn cell(&self, system: &str, middle: f64) -> String {
        let values: Vec<f64> =
            self.values.get(system).into_iter().flat_map(BTreeMap::values).copied().collect();
        let (min, max) =
            values.iter().fold((f64::MAX, f64::MIN), |(min, max), value| (min.min(*value), max.max(*value)));
        if values.len() < 2 {
            number(middle)
        } else {
            format!("{} [{} to {}]", number(middle), number(min), number(max))
        }
    }
}

/// What the figures were taken on.
pub fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let info = read("/proc/cpuinfo");
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map(|(_, model)| model);
    let kernel = read("/proc/sys/kernel/osrelease");
    let memory = read("/proc/meminfo");
    let kib = memory.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(f64::NAN);
    format!(
        "{cpus} CPUs ({}), {:.0} GB, Linux {}",
        model.unwrap_or("of an unknown model"),
        kib / 1e6,
        kernel.trim()
    )
}

/// Each system to the floor, and milena to every other one.
fn ratio_pairs(systems: &[String]) -> Vec<(&str, &str)> {
    let mut pairs = Vec::new();
    if systems.iter().any(|system| system == "floor") {
        pairs.extend(
            systems.iter().filter(|system| *system != "floor").map(|system| (system.as_str(), "floor")),
        );
    }
    if systems.iter().any(|system| system == "milena") {
        let others = systems.iter().filter(|system| !["floor", "milena"].contains(&system.as_str()));
        pairs.extend(others.map(|system| ("milena", system.as_str())));
    }
    pairs
}

/// Three digits that count.
pub fn number(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

/// The goals as a table.
pub fn goals_markdown(goals: &[Verdict]) -> String {
    let mut out = String::from("| goal | limit | measured | met |\n| --- | --- | --- | --- |\n");
    for goal in goals {
        let measured = goal.measured.map_or_else(|| "not measured".to_owned(), |value| format!("{value:.2}"));
        let met = if goal.met { "yes" } else { "no" };
        let _ = writeln!(out, "| {} | {} | {measured} | {met} |", goal.what, goal.limit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::default();
        for (round, scale) in [(1, 1.0), (2, 4.0), (3, 2.0)] {
            for (system, value) in [("floor", 10.0), ("milena", 15.0), ("apache", 60.0)] {
                let metrics = [Metric::new("p50", "us", value * scale), Metric::new("others", "cores", 0.5)];
                table.add("one record", system, round, &metrics);
            }
        }
        table
    }

    fn systems() -> Vec<String> {
        ["floor", "milena", "apache"].map(str::to_owned).to_vec()
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        assert_eq!(table().ratio("one record", "p50", "milena", "floor"), Some(1.5));
        assert_eq!(table().ratio("one record", "p50", "milena", "apache"), Some(0.25));
        assert_eq!(table().ratio("one record", "p50", "milena", "nobody"), None);
        assert_eq!(table().median("one record", "p50", "floor"), Some(20.0));
    }

    #[test]
    fn the_table_shows_medians_spread_and_ratios() {
        let markdown = table().markdown(&systems(), |_, figure| figure == "p50");
        let lines: Vec<&str> = markdown.lines().collect();
        assert_eq!(
            lines[0],
            "| figure | floor | milena | apache | milena : floor | apache : floor | milena : apache | others' cores |"
        );
        assert_eq!(
            lines[2],
            "| one record: p50, us | 20.0 [10.0 to 40.0] | 30.0 [15.0 to 60.0] | 120 [60.0 to 240] | 1.50 | 6.00 | 0.25 | 0.5 |"
        );
    }

    #[test]
    fn json_holds_every_round() {
        let json = table().json(&systems(), 3, &[], &[]);
        assert_eq!(json["figures"][0]["systems"]["floor"]["rounds"], json!([10.0, 40.0, 20.0]));
        assert_eq!(json["figures"][0]["ratios"]["milena : floor"], json!(1.5));
    }
}
