//! Data on standard output: a table for people, JSON for programs.

use std::io::{ErrorKind, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use super::CliError;
use crate::store::Date;

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(super) enum Output {
    /// For people.
    #[default]
    Table,
    /// For programs: one document.
    Json,
}

/// `--output`, for verbs that print data.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(super) struct OutputOption {
    /// How data is printed
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(super) output: Output,
}

impl OutputOption {
    /// Prints `data`: as JSON as it is, else as the table or text that `people` makes.
    pub(super) fn print<T: Serialize>(
        self,
        data: &T,
        people: impl FnOnce(&T) -> String,
    ) -> Result<(), CliError> {
        match self.output {
            Output::Table => line(&people(data)),
            Output::Json => {
                let text = serde_json::to_string_pretty(data)
                    .map_err(|error| CliError::Output(error.into()))?;
                line(&text)
            }
        }
    }
}

/// A table with a header and rows.
pub(super) fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = new_table();
    table.set_header(header.map(str::to_uppercase));
    table.add_rows(rows);
    text(&table)
}

/// Names and values, one pair a line.
pub(super) fn facts(pairs: impl IntoIterator<Item = (&'static str, String)>) -> String {
    let mut table = new_table();
    table.add_rows(
        pairs
            .into_iter()
            .map(|(name, value)| [name.to_owned(), value]),
    );
    text(&table)
}

/// A moment in milliseconds since 1970, in UTC, to the second.
pub(super) fn moment(millis: i64) -> String {
    let seconds = millis.rem_euclid(86_400_000) / 1000;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{}T{hours:02}:{minutes:02}:{seconds:02}Z", Date(millis))
}

/// The table's lines, without the space on either side that each comes with.
fn text(table: &Table) -> String {
    let lines: Vec<String> = table.lines().map(|line| line.trim().to_owned()).collect();
    lines.join("\n")
}

fn new_table() -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    table
}

/// Writes a line to standard output. Whoever stopped reading has seen enough: that is no fault.
pub(super) fn line(text: &str) -> Result<(), CliError> {
    raw(format!("{text}\n").as_bytes())
}

/// Writes bytes to standard output, as [`line`] does.
pub(super) fn raw(bytes: &[u8]) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(CliError::Output(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_in_utc() {
        assert_eq!(moment(0), "1970-01-01T00:00:00Z");
        assert_eq!(moment(1_709_164_799_999), "2024-02-28T23:59:59Z");
        assert_eq!(moment(-1), "1969-12-31T23:59:59Z");
    }

    #[test]
    fn a_table_starts_at_the_left_edge() {
        let shown = table(["slug", "name"], [["acme".to_owned(), "Acme".to_owned()]]);
        assert_eq!(shown, "SLUG  NAME\nacme  Acme");
    }
}
