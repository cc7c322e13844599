//! Plots as SVG, small and by hand: bars of ratios, and lines of what grows.

use std::fmt::Write;

/// A hue for each system, by its place: the floor, milena, the others.
fn colour(system: &str) -> &'static str {
    match system {
        "floor" => "#9aa0a6",
        "milena" => "#c2410c",
        "apache" => "#1d4ed8",
        _ => "#047857",
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn begin(width: f64, height: f64) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    )
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let _ =
        writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>", escape(words));
}

fn line(out: &mut String, from: (f64, f64), to: (f64, f64), stroke: &str) {
    let ((x1, y1), (x2, y2)) = (from, to);
    let _ = writeln!(
        out,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{stroke}\"/>"
    );
}

fn legend(out: &mut String, x: f64, y: f64, systems: &[String]) {
    let mut x = x;
    for system in systems {
        let hue = colour(system);
        let _ = writeln!(
            out,
            "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"10\" height=\"10\" fill=\"{hue}\"/>",
            y - 9.0
        );
        text(out, x + 14.0, y, "start", system);
        x += 26.0 + 7.5 * system.len() as f64;
    }
}

/// A figure of all systems.
#[derive(Debug, Clone)]
pub struct Bars {
    pub label: String,
    /// Medians, in the order of the systems.
    pub values: Vec<Option<f64>>,
}

/// For each figure a bar for each system, as a ratio to one of them, on a logarithmic scale.
pub fn ratios(title: &str, systems: &[String], to: usize, rows: &[Bars]) -> String {
    const LEFT: f64 = 540.0;
    const WIDTH: f64 = 420.0;
    const BAR: f64 = 9.0;
    let drawn = systems.len().saturating_sub(1);
    let row_height = BAR * drawn as f64 + 10.0;
    let ratio = |row: &Bars, index: usize| {
        let (value, base) =
            (row.values.get(index).copied().flatten()?, row.values.get(to).copied().flatten()?);
        let ratio = value / base;
        (ratio.is_finite() && ratio > 0.0).then_some(ratio)
    };
    let rows: Vec<&Bars> = rows
        .iter()
        .filter(|row| (0..systems.len()).any(|index| index != to && ratio(row, index).is_some()))
        .collect();
    let height = 84.0 + row_height * rows.len() as f64;
    // From a hundredth to ten times.
    let x = |ratio: f64| LEFT + WIDTH * ((ratio.clamp(0.005, 20.0).log10() + 2.0) / 3.0).clamp(0.0, 1.0);
    let mut out = begin(LEFT + WIDTH + 60.0, height);
    text(&mut out, 10.0, 20.0, "start", title);
    let others: Vec<String> =
        systems.iter().enumerate().filter(|(index, _)| *index != to).map(|(_, name)| name.clone()).collect();
    legend(&mut out, 10.0, 42.0, &others);
    for (mark, label) in [(0.01, "0.01"), (0.1, "0.1"), (1.0, "1"), (10.0, "10")] {
        line(&mut out, (x(mark), 58.0), (x(mark), height - 20.0), if mark == 1.0 { "#444" } else { "#ddd" });
        text(&mut out, x(mark), 54.0, "middle", label);
    }
    for (number, row) in rows.iter().enumerate() {
        let top = 64.0 + row_height * number as f64;
        text(&mut out, LEFT - 8.0, top + row_height / 2.0 + 2.0, "end", &row.label);
        let mut place = 0.0;
        for (index, system) in systems.iter().enumerate().filter(|(index, _)| *index != to) {
            if let Some(ratio) = ratio(row, index) {
                let (from, end) = (x(1.0).min(x(ratio)), x(1.0).max(x(ratio)));
                let (y, width, hue) = (top + place, (end - from).max(1.0), colour(system));
                let _ = writeln!(
                    out,
                    "<rect x=\"{from:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{:.1}\" fill=\"{hue}\"/>",
                    BAR - 1.0
                );
                text(&mut out, LEFT + WIDTH + 8.0, y + BAR - 1.0, "start", &format!("{ratio:.2}"));
            }
            place += BAR;
        }
    }
    text(&mut out, LEFT, height - 6.0, "start", &format!("times {}", systems[to]));
    out.push_str("</svg>\n");
    out
}

/// What grows: for each system, a figure over the size.
#[derive(Debug, Clone)]
pub struct Growth {
    pub title: String,
    pub unit: String,
    /// By system: sizes and medians.
    pub lines: Vec<(String, Vec<(f64, f64)>)>,
}

/// Small plots beside each other, both axes logarithmic.
pub fn growth(plots: &[Growth]) -> String {
    const WIDE: f64 = 290.0;
    const HIGH: f64 = 190.0;
    const COLUMNS: usize = 3;
    let rows = plots.len().div_ceil(COLUMNS);
    let mut out = begin(WIDE * COLUMNS as f64, HIGH * rows as f64 + 30.0);
    let mut systems: Vec<String> = Vec::new();
    for (system, _) in plots.iter().flat_map(|plot| &plot.lines) {
        if !systems.contains(system) {
            systems.push(system.clone());
        }
    }
    legend(&mut out, 10.0, 18.0, &systems);
    for (index, plot) in plots.iter().enumerate() {
        let origin = (WIDE * (index % COLUMNS) as f64 + 50.0, HIGH * (index / COLUMNS) as f64 + 54.0);
        one(&mut out, plot, origin, (WIDE - 75.0, HIGH - 62.0));
    }
    out.push_str("</svg>\n");
    out
}

fn one(out: &mut String, plot: &Growth, (left, top): (f64, f64), (width, height): (f64, f64)) {
    let points: Vec<(f64, f64)> = plot.lines.iter().flat_map(|(_, points)| points.iter().copied()).collect();
    let range = |values: &mut dyn Iterator<Item = f64>| {
        let (mut min, mut max) = (f64::MAX, f64::MIN);
        for value in values.filter(|value| *value > 0.0) {
            (min, max) = (min.min(value.log10()), max.max(value.log10()));
        }
        (min.floor(), if max > min.floor() { max.ceil() } else { min.floor() + 1.0 })
    };
    let (x_min, x_max) = range(&mut points.iter().map(|point| point.0));
    let (y_min, y_max) = range(&mut points.iter().map(|point| point.1));
    let x = |value: f64| left + width * (value.max(1e-9).log10() - x_min) / (x_max - x_min);
    let y = |value: f64| {
        top + height - height * ((value.max(1e-9).log10() - y_min) / (y_max - y_min)).clamp(0.0, 1.0)
    };
    text(out, left, top - 8.0, "start", &format!("{}, {}", plot.title, plot.unit));
    for power in y_min as i32..=y_max as i32 {
        let value = 10f64.powi(power);
        line(out, (left, y(value)), (left + width, y(value)), "#ddd");
        text(out, left - 4.0, y(value) + 4.0, "end", &short(value));
    }
    for power in x_min as i32..=x_max as i32 {
        let value = 10f64.powi(power);
        text(out, x(value), top + height + 14.0, "middle", &short(value));
    }
    for (system, points) in &plot.lines {
        let hue = colour(system);
        let path: Vec<String> =
            points.iter().map(|(size, value)| format!("{:.1},{:.1}", x(*size), y(*value))).collect();
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{hue}\" stroke-width=\"2\"/>",
            path.join(" ")
        );
        for (size, value) in points {
            let _ = writeln!(
                out,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{hue}\"/>",
                x(*size),
                y(*value)
            );
        }
    }
}

fn short(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{} M", value / 1e6),
        value if value >= 1e3 => format!("{} k", value / 1e3),
        value => format!("{value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_show_ratios_and_leave_out_what_was_not_measured() {
        let systems = ["milena", "apache"].map(str::to_owned);
        let rows = [
            Bars { label: "p50 <us>".to_owned(), values: vec![Some(10.0), Some(40.0)] },
            Bars { label: "unknown".to_owned(), values: vec![Some(10.0), None] },
        ];
        let svg = ratios("speed", &systems, 1, &rows);
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
        assert!(svg.contains("p50 &lt;us&gt;") && svg.contains(">0.25</text>") && !svg.contains("unknown"));
    }

    #[test]
    fn lines_have_a_point_for_each_size() {
        let lines = vec![("milena".to_owned(), vec![(1.0, 12.0), (1_000.0, 16.0), (10_000.0, 40.0)])];
        let svg = growth(&[Growth { title: "partitions: memory".to_owned(), unit: "MB".to_owned(), lines }]);
        assert_eq!(svg.matches("<circle").count(), 3);
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }
}
