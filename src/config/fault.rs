//! What is wrong with a configuration: every fault with its place, the reason and a hint, on one page.

use std::fmt;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::raw::Place;
use super::redact::redact;

/// Every fault of a configuration, in the order of the file, those of the environment last. Never empty as an error.
#[derive(Debug, Clone)]
pub struct Faults {
    faults: Vec<Fault>,
    /// The texts that the faults point into, secrets masked.
    sources: Vec<(String, String)>,
}

/// One fault, or one thing that is allowed and most likely not meant.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Fault {
    /// The file, or the environment variable.
    pub source: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub reason: String,
    /// What to do about it.
    pub hint: Option<String>,
    #[serde(skip)]
    place: Place,
}

/// A fault on its way into [`Faults`].
pub(super) struct Flaw {
    place: Place,
    reason: String,
    hint: Option<String>,
    syntax: bool,
}

/// A text that settings come from.
pub(super) struct Source {
    name: String,
    text: String,
}

impl Source {
    pub(super) fn file(name: &str, text: &str) -> Self {
        Self {
            name: name.to_owned(),
            text: text.to_owned(),
        }
    }

    /// A variable is shown as it would stand in a shell: `NAME=value`.
    pub(super) fn variable(name: &str, value: &str) -> Self {
        Self {
            name: format!("environment variable {name}"),
            text: format!("{name}={value}"),
        }
    }
}

impl Flaw {
    pub(super) fn new(place: Place, reason: impl Into<String>) -> Self {
        Self {
            place,
            reason: reason.into(),
            hint: None,
            syntax: false,
        }
    }

    pub(super) fn syntax(place: Place, reason: String) -> Self {
        Self {
            syntax: true,
            ..Self::new(place, reason)
        }
    }

    pub(super) fn hint(self, hint: Option<String>) -> Self {
        Self { hint, ..self }
    }
}

impl Faults {
    /// Puts faults in order and finds their lines. A line that is not TOML is reported for that alone: whatever else is wrong
    /// on it follows from that.
    pub(super) fn new(mut flaws: Vec<Flaw>, sources: &[Source]) -> Self {
        let line = |place: Place| line_and_column(&sources[place.source].text, place.start).0;
        let broken: Vec<(usize, usize)> = flaws
            .iter()
            .filter(|flaw| flaw.syntax)
            .map(|flaw| (flaw.place.source, line(flaw.place)))
            .collect();
        flaws
            .retain(|flaw| flaw.syntax || !broken.contains(&(flaw.place.source, line(flaw.place))));
        Self {
            faults: placed(flaws, sources),
            sources: sources
                .iter()
                .map(|source| (source.name.clone(), redact(&source.text)))
                .collect(),
        }
    }

    /// A fault of the file as a whole: it cannot be read.
    pub(super) fn unreadable(name: &str, reason: String, hint: &str) -> Self {
        let place = Place {
            source: 0,
            start: 0,
            end: 0,
        };
        let flaw = Flaw::new(place, reason).hint(Some(hint.to_owned()));
        Self::new(vec![flaw], &[Source::file(name, "")])
    }

    /// The faults.
    pub fn list(&self) -> &[Fault] {
        &self.faults
    }

    /// The page: each fault with the line it is on, a caret under it, and the hint.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let renderer = renderer.decor_style(DecorStyle::Ascii);
        let pages: Vec<String> = self
            .faults
            .iter()
            .map(|fault| self.render_one(fault, &renderer))
            .collect();
        pages.join("\n\n")
    }

    fn render_one(&self, fault: &Fault, renderer: &Renderer) -> String {
        let (name, text) = &self.sources[fault.place.source];
        let title = Level::ERROR.primary_title(fault.reason.as_str());
        let snippet = Snippet::source(text.as_str())
            .path(name.as_str())
            .annotation(AnnotationKind::Primary.span(shown(text, fault.place)));
        let mut group = title.element(snippet);
        if let Some(hint) = &fault.hint {
            group = group.element(Level::HELP.with_name("hint").message(hint.as_str()));
        }
        renderer.render(&[group])
    }
}

/// In the order of their places, with the lines these are on.
pub(super) fn placed(mut flaws: Vec<Flaw>, sources: &[Source]) -> Vec<Fault> {
    flaws.sort_by_key(|flaw| flaw.place);
    let fault = |flaw: Flaw| {
        let source = &sources[flaw.place.source];
        let (line, column) = line_and_column(&source.text, flaw.place.start);
        Fault {
            source: source.name.clone(),
            line,
            column,
            reason: flaw.reason,
            hint: flaw.hint,
            place: flaw.place,
        }
    };
    let mut faults: Vec<Fault> = flaws.into_iter().map(fault).collect();
    faults.dedup();
    faults
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Faults {}

/// The part of a place that carets go under: its first line, kept inside the text and on character borders.
fn shown(text: &str, place: Place) -> std::ops::Range<usize> {
    let start = text.floor_char_boundary(place.start);
    let end = text.ceil_char_boundary(place.end.max(start));
    let line = text[start..end].lines().next().unwrap_or_default();
    start..start + line.len()
}

/// Line and column of a byte, both from 1, the column in characters.
fn line_and_column(text: &str, byte: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(byte)];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (
        before.matches('\n').count() + 1,
        before[line_start..].chars().count() + 1,
    )
}
