//! The report: to be read, for programs, and as a chart.

mod json;
mod svg;
mod text;

use crate::bed::Bed;
use crate::fault::{Result, While};
use crate::options::Options;
use crate::table::{Found, Outcome, TABLE};

/// Prints the report and writes the files that were asked for.
pub(crate) fn publish(bed: &Bed, facts: &[(&str, String)], found: &Found) -> Result<()> {
    #[expect(
        clippy::print_stdout,
        reason = "the report is what this program is for"
    )]
    {
        println!("{}", text::render(facts, found, &bed.options));
    }
    if let Some(place) = &bed.options.json {
        std::fs::write(place, json::render(facts, found, &bed.options)?)
            .when(|| place.display().to_string())?;
    }
    if let Some(place) = &bed.options.svg {
        std::fs::write(place, svg::render(facts, found, &bed.options))
            .when(|| place.display().to_string())?;
    }
    Ok(())
}

/// The rows and what is asked, nothing measured.
pub(crate) fn list() -> String {
    text::asked()
}

/// A figure with the lowest and highest of its rounds where there was more than one.
fn shown(asked: &crate::table::Asked, outcome: &Outcome) -> String {
    match outcome {
        Outcome::Measured { figure, .. } if figure.low < figure.high => {
            let show = |value| asked.unit.show(value);
            format!(
                "{} ({} to {})",
                show(figure.value),
                show(figure.low),
                show(figure.high)
            )
        }
        Outcome::Measured { figure, .. } => asked.unit.show(figure.value),
        Outcome::NotMeasured(_) => "–".to_owned(),
    }
}

/// How many rows hold, fall short and were not measured.
fn sum(found: &Found, options: &Options) -> [usize; 3] {
    let mut sum = [0; 3];
    for asked in &TABLE {
        let place = match found.outcome(asked, options) {
            Outcome::Measured { figure, .. } if figure.value <= asked.limit => 0,
            Outcome::Measured { .. } => 1,
            Outcome::NotMeasured(_) => 2,
        };
        sum[place] += 1;
    }
    sum
}
