//! The file: JSON lines. A head, for each table a line with its columns and one for each row, and an end that counts the rows and
//! sums up every byte before it. So a person can read it, and a file that was cut short or changed is found out.

use std::io::{self, Write};

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use super::tables::{Table, Value};

/// The form described above.
pub(super) const FORMAT: u32 = 1;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    /// The version of the file's form.
    pub(super) vestibule_backup: u32,
    /// The version of the store's schema.
    pub(super) schema: i64,
    /// When it was made, in milliseconds since 1970.
    pub(super) made_at: i64,
    /// Which program made it.
    pub(super) program: String,
}

/// The line before the rows of a table.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TableLine {
    pub(super) table: String,
    pub(super) columns: Vec<String>,
}

/// Why a file is no backup that this program can use.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says it")]
pub enum BackupError {
    #[error("it cannot be read")]
    Read(#[from] io::Error),
    #[error("it is no backup of a Vestibule store")]
    Foreign,
    #[error("it has the form {found}, this program knows only up to {FORMAT}")]
    NewerFormat { found: u32 },
    #[error("it was made of schema version {found}, this program knows only up to {known}")]
    NewerSchema { found: i64, known: i64 },
    #[error("its end is missing: it was cut short")]
    Cut,
    #[error("its checksum is wrong: it was changed or damaged")]
    Changed,
    #[error("line {line} is not what a backup of schema version {schema} has there")]
    Line { line: u64, schema: i64 },
}

/// What the end line says of everything before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sum {
    /// The end line as it must stand, to the byte.
    pub(super) end: String,
}

/// Sums up lines.
pub(super) struct Summing {
    context: Context,
    lines: u64,
}

impl Summing {
    pub(super) fn new() -> Self {
        Self {
            context: Context::new(&SHA256),
            lines: 0,
        }
    }

    pub(super) fn line(&mut self, line: &[u8]) {
        self.context.update(line);
        self.lines += 1;
    }

    pub(super) fn sum(self) -> Sum {
        let hex: String = (self.context.finish().as_ref().iter())
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let lines = self.lines;
        Sum {
            end: format!("{{\"end\":{{\"lines\":{lines},\"sha256\":\"{hex}\"}}}}\n"),
        }
    }
}

/// Writes a backup, line by line.
pub(super) struct Writer<'w> {
    out: &'w mut (dyn Write + Send),
    summing: Summing,
    rows: usize,
}

impl<'w> Writer<'w> {
    pub(super) fn begin(
        out: &'w mut (dyn Write + Send),
        schema: i64,
        made_at: i64,
    ) -> io::Result<Self> {
        let mut writer = Self {
            out,
            summing: Summing::new(),
            rows: 0,
        };
        writer.line(&Header {
            vestibule_backup: FORMAT,
            schema,
            made_at,
            program: env!("CARGO_PKG_VERSION").to_owned(),
        })?;
        Ok(writer)
    }

    pub(super) fn table(&mut self, table: &Table) -> io::Result<()> {
        self.line(&TableLine {
            table: table.name.to_owned(),
            columns: (table.columns.iter())
                .map(|column| column.name.to_owned())
                .collect(),
        })
    }

    pub(super) fn row(&mut self, values: &[Value]) -> io::Result<()> {
        self.rows += 1;
        self.line(&values.iter().map(Value::json).collect::<Vec<_>>())
    }

    /// Rows so far.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn end(self) -> io::Result<()> {
        self.out.write_all(self.summing.sum().end.as_bytes())
    }

    fn line(&mut self, content: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(content)?;
        line.push(b'\n');
        self.summing.line(&line);
        self.out.write_all(&line)
    }
}
