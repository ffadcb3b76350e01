//! The report as text, in tables that are also Markdown.

use comfy_table::{Table, presets};

use super::{shown, sum};
use crate::compare::{Sample, figure};
use crate::options::{Name, Options};
use crate::table::{Found, Outcome, TABLE};

/// The whole report.
pub(super) fn render(facts: &[(&str, String)], found: &Found, options: &Options) -> String {
    let facts: Vec<_> = facts
        .iter()
        .map(|(what, is)| format!("{what}: {is}\n"))
        .collect();
    let [hold, short, unmeasured] = sum(found, options);
    format!(
        "{}\n{}\n{hold} rows hold, {short} fall short, {unmeasured} were not measured\n\n{}",
        facts.concat(),
        rows(found, options),
        samples(&found.samples)
    )
}

/// What is asked.
pub(super) fn asked() -> String {
    let mut table = table(&["row", "work", "against", "asked"]);
    for asked in &TABLE {
        let limit = format!("≤ {}", asked.unit.show(asked.limit));
        table.add_row([asked.name, asked.work, asked.against, &limit]);
    }
    table.to_string()
}

/// What is asked, and what was measured.
fn rows(found: &Found, options: &Options) -> String {
    let mut table = table(&["row", "work", "against", "asked", "measured", ""]);
    let mut notes = String::new();
    for asked in &TABLE {
        let outcome = found.outcome(asked, options);
        let (verdict, note) = match &outcome {
            Outcome::Measured { figure, note } => (asked.verdict(figure.value), note),
            Outcome::NotMeasured(why) => ("not measured".to_owned(), why),
        };
        if !note.is_empty() && options.wants(asked.name) {
            notes += &format!("- {}: {note}\n", asked.name);
        }
        table.add_row([
            asked.name.to_owned(),
            asked.work.to_owned(),
            asked.against.to_owned(),
            format!("≤ {}", asked.unit.show(asked.limit)),
            shown(asked, &outcome),
            verdict,
        ]);
    }
    format!("{table}\n\n{notes}")
}

/// What stands behind the ratios: the median of each contender's rounds.
fn samples(samples: &[Sample]) -> String {
    let mut table = table(&[
        "work",
        "who",
        "µs CPU/request",
        "user",
        "system",
        "requests/s",
        "p50 µs",
        "p90 µs",
        "p99 µs",
        "memory MB",
    ]);
    let mut done: Vec<(&str, Name)> = Vec::new();
    for sample in samples {
        if done.contains(&(sample.work, sample.who)) {
            continue;
        }
        done.push((sample.work, sample.who));
        let same = samples.iter().filter(|other| other.work == sample.work);
        let same: Vec<_> = same.cloned().collect();
        let median = |value: fn(&Sample) -> f64| figure(&same, sample.who, value).value;
        let cost = figure(&same, sample.who, Sample::cost);
        table.add_row([
            sample.work.to_owned(),
            sample.who.title().to_owned(),
            format!("{:.1} ({:.1} to {:.1})", cost.value, cost.low, cost.high),
            format!("{:.1}", median(Sample::user)),
            format!("{:.1}", median(|sample| sample.cost() - sample.user())),
            format!(
                "{:.0}",
                median(|sample| sample.load.requests as f64 / sample.load.seconds)
            ),
            format!("{:.0}", median(|sample| sample.load.latency.p50)),
            format!("{:.0}", median(|sample| sample.load.latency.p90)),
            format!("{:.0}", median(|sample| sample.load.latency.p99)),
            format!("{:.1}", median(|sample| sample.memory as f64 / 1e6)),
        ]);
    }
    table.to_string()
}

fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(head);
    table
}
