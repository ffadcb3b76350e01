//! Reading a backup: once to its end before anything is believed, and once more to put it back.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};

use crate::model::SigningKeyRecord;
use crate::store::{StoreError, migrations};

use super::Backup;
use super::file::{BackupError, FORMAT, Header, Sum, Summing, TableLine};
use super::tables::{Column, Table, Value};

/// Longest line that is read; the longest that is written has a tenant's meta and texts, or an audit's detail, escaped: some 30 KiB.
const MAX_LINE: u64 = 1024 * 1024;

/// A table of the backup: one of ours, with those of its columns that there were when it was made.
#[derive(Clone)]
pub(super) struct Section {
    pub(super) of: &'static Table,
    columns: Vec<Column>,
}

/// The next rows of a table.
type Chunk = (Section, Vec<Vec<Value>>);

/// The rows of a backup, in order.
pub(super) struct Rows<'b> {
    lines: Lines<'b>,
    schema: i64,
    section: Option<Section>,
    /// A row that belongs to the next chunk.
    pending: Option<(Section, Vec<Value>)>,
    /// `None` once the end was reached and was right.
    expected: Option<&'b Sum>,
}

/// The lines of a file, summed up as they are read, but for the last.
struct Lines<'f> {
    file: BufReader<&'f mut File>,
    summing: Summing,
    number: u64,
    line: Vec<u8>,
    next: Vec<u8>,
}

impl Backup {
    /// Reads all of `file` and checks it.
    ///
    /// # Errors
    /// Whatever is wrong with it; nothing of it has been used then.
    pub fn read(mut file: File) -> Result<Self, BackupError> {
        let (header, sum) = check(&mut file)?;
        let mut backup = Self {
            file,
            header,
            sum,
            signing_keys: Vec::new(),
        };
        backup.signing_keys = backup.find_signing_keys()?;
        Ok(backup)
    }

    /// The signing keys that it holds.
    pub fn signing_keys(&self) -> &[SigningKeyRecord] {
        &self.signing_keys
    }

    /// When it was made, in milliseconds since 1970.
    pub fn made_at(&self) -> i64 {
        self.header.made_at
    }

    /// Its rows from the first on.
    pub(super) fn rows(&mut self) -> Result<Rows<'_>, BackupError> {
        self.file.rewind()?;
        let mut lines = Lines::new(&mut self.file)?;
        lines.advance()?;
        Ok(Rows {
            lines,
            schema: self.header.schema,
            section: None,
            pending: None,
            expected: Some(&self.sum),
        })
    }

    /// Every row is looked at on the way, so a file that is not what its end says it is fails here.
    fn find_signing_keys(&mut self) -> Result<Vec<SigningKeyRecord>, BackupError> {
        let mut found = Vec::new();
        let mut rows = self.rows()?;
        while let Some((section, row)) = rows.row()? {
            if section.of.name == "signing_keys" {
                let record = signing_key(&section.columns, row);
                found.push(record.ok_or_else(|| rows.lines.wrong(rows.schema))?);
            }
        }
        Ok(found)
    }
}

/// The head, and the sum of everything, which is the one that the end names.
fn check(file: &mut File) -> Result<(Header, Sum), BackupError> {
    file.rewind()?;
    let mut lines = Lines::new(file)?;
    let header = header(lines.advance()?)?;
    while lines.advance()?.is_some() {}
    let end = lines.next;
    let sum = lines.summing.sum();
    if end == sum.end.as_bytes() {
        return Ok((header, sum));
    }
    match end.starts_with(b"{\"end\":") && end.ends_with(b"\n") {
        true => Err(BackupError::Changed),
        false => Err(BackupError::Cut),
    }
}

fn header(line: Option<&[u8]>) -> Result<Header, BackupError> {
    /// The part that every version has.
    #[derive(serde::Deserialize)]
    struct Form {
        vestibule_backup: u32,
    }
    let line = line.ok_or(BackupError::Foreign)?;
    let Ok(Form { vestibule_backup }) = serde_json::from_slice(line) else {
        return Err(BackupError::Foreign);
    };
    if vestibule_backup > FORMAT {
        return Err(BackupError::NewerFormat {
            found: vestibule_backup,
        });
    }
    let header: Header = serde_json::from_slice(line).map_err(|_| BackupError::Foreign)?;
    match (header.schema, migrations::known()) {
        (found, known) if found > known => Err(BackupError::NewerSchema { found, known }),
        _ => Ok(header),
    }
}

impl Rows<'_> {
    /// The next rows of one table, at most `most`; `None` at the end.
    pub(super) fn chunk(&mut self, most: usize) -> Result<Option<Chunk>, StoreError> {
        let first = match self.pending.take() {
            Some(row) => Some(row),
            None => self.row()?,
        };
        let Some((section, row)) = first else {
            return Ok(None);
        };
        let mut rows = vec![row];
        while rows.len() < most {
            match self.row()? {
                Some((of, row)) if of.of.name == section.of.name => rows.push(row),
                other => {
                    self.pending = other;
                    break;
                }
            }
        }
        Ok(Some((section, rows)))
    }

    fn row(&mut self) -> Result<Option<(Section, Vec<Value>)>, BackupError> {
        while let Some(expected) = self.expected {
            let Some(line) = self.lines.advance()? else {
                // Somebody may have written to it since it was checked.
                let sum = std::mem::replace(&mut self.lines.summing, Summing::new()).sum();
                if sum != *expected {
                    return Err(BackupError::Changed);
                }
                self.expected = None;
                break;
            };
            if line.starts_with(b"[") {
                let row = self.section.as_ref().and_then(|section| section.row(line));
                let row = row.ok_or_else(|| self.lines.wrong(self.schema))?;
                return Ok(self.section.clone().map(|section| (section, row)));
            }
            let section = Section::read(line).ok_or_else(|| self.lines.wrong(self.schema))?;
            self.section = Some(section);
        }
        Ok(None)
    }
}

impl Section {
    fn read(line: &[u8]) -> Option<Self> {
        let line: TableLine = serde_json::from_slice(line).ok()?;
        let of = Table::named(&line.table)?;
        let columns = line.columns.iter().map(|name| of.column(name));
        let columns: Vec<Column> = columns.collect::<Option<_>>()?;
        (!columns.is_empty()).then_some(Self { of, columns })
    }

    fn row(&self, line: &[u8]) -> Option<Vec<Value>> {
        let values: Vec<serde_json::Value> = serde_json::from_slice(line).ok()?;
        if values.len() != self.columns.len() {
            return None;
        }
        (self.columns.iter().zip(values))
            .map(|(column, value)| Value::read(*column, value))
            .collect()
    }

    pub(super) fn insert(&self) -> String {
        self.of.insert(&self.columns)
    }
}

fn signing_key(columns: &[Column], row: Vec<Value>) -> Option<SigningKeyRecord> {
    let mut record = SigningKeyRecord {
        kid: String::new(),
        public_key: Vec::new(),
        sealed_private_key: Vec::new(),
        created_at: 0,
        active_from: 0,
        retired_at: None,
    };
    for (column, value) in columns.iter().zip(row) {
        match (column.name, value) {
            ("kid", Value::Text(Some(kid))) => record.kid = kid,
            ("public_key", Value::Bytes(Some(key))) => record.public_key = key,
            ("sealed_private_key", Value::Bytes(Some(key))) => record.sealed_private_key = key,
            ("created_at", Value::Int(Some(at))) => record.created_at = at,
            ("active_from", Value::Int(Some(at))) => record.active_from = at,
            ("retired_at", Value::Int(at)) => record.retired_at = at,
            _ => return None,
        }
    }
    Some(record)
}

impl<'f> Lines<'f> {
    fn new(file: &'f mut File) -> Result<Self, BackupError> {
        let mut lines = Self {
            file: BufReader::with_capacity(256 * 1024, file),
            summing: Summing::new(),
            number: 0,
            line: Vec::new(),
            next: Vec::new(),
        };
        lines.fill()?;
        Ok(lines)
    }

    /// The next line that is not the last. The last stays in `next`.
    fn advance(&mut self) -> Result<Option<&[u8]>, BackupError> {
        std::mem::swap(&mut self.line, &mut self.next);
        self.fill()?;
        if self.next.is_empty() {
            std::mem::swap(&mut self.line, &mut self.next);
            return Ok(None);
        }
        self.number += 1;
        self.summing.line(&self.line);
        Ok(Some(&self.line))
    }

    fn fill(&mut self) -> Result<(), BackupError> {
        self.next.clear();
        let read = (&mut self.file)
            .take(MAX_LINE)
            .read_until(b'\n', &mut self.next)?;
        match read as u64 == MAX_LINE {
            true => Err(BackupError::Foreign),
            false => Ok(()),
        }
    }

    fn wrong(&self, schema: i64) -> BackupError {
        let line = self.number;
        BackupError::Line { line, schema }
    }
}
