//! Where settings come from: the file, and over it the variables `VESTIBULE_SECTION__KEY` of the environment.
//!
//! A variable without a double underscore is left alone: container platforms make such names of their own (`VESTIBULE_PORT`).

use toml::de::{DeTable, DeValue};

use super::fault::{Flaw, Source};
use super::raw::{Entry, Node, Place, Table, Value};

/// What every variable that is a setting starts with.
const PREFIX: &str = "VESTIBULE_";

/// Everything that was typed, and what could not even be read as TOML.
pub(super) struct Typed {
    /// The settings.
    pub(super) root: Table,
    /// The texts they come from; a [`Place`] points into one of them.
    pub(super) sources: Vec<Source>,
    /// Faults of syntax.
    pub(super) flaws: Vec<Flaw>,
}

/// Reads the file's text and lays the variables over it.
pub(super) fn gather(
    text: &str,
    origin: &str,
    env: impl Iterator<Item = (String, String)>,
) -> Typed {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut typed = Typed {
        root: Table::from_toml(table.into_inner(), 0, 0),
        flaws: errors
            .iter()
            .map(|error| syntax_flaw(error, 0, 0, text.len()))
            .collect(),
        sources: vec![Source::file(origin, text)],
    };
    let mut variables: Vec<Variable> = env
        .filter_map(|(name, value)| Variable::new(name, value))
        .collect();
    // By path, numbers as numbers: the tenth element of a list comes after the second.
    variables.sort_by_cached_key(Variable::order);
    for variable in variables {
        typed.lay_over(&variable);
    }
    typed
}

struct Variable {
    name: String,
    value: String,
    path: Vec<String>,
}

impl Variable {
    fn new(name: String, value: String) -> Option<Self> {
        let rest = name.strip_prefix(PREFIX)?;
        let path: Vec<String> = rest.split("__").map(str::to_ascii_lowercase).collect();
        (path.len() > 1).then_some(Self { name, value, path })
    }

    fn order(&self) -> Vec<(usize, String)> {
        let numbered = |part: &String| (part.parse().unwrap_or(usize::MAX), part.clone());
        self.path.iter().map(numbered).collect()
    }
}

impl Typed {
    fn lay_over(&mut self, variable: &Variable) {
        let source = self.sources.len();
        self.sources
            .push(Source::variable(&variable.name, &variable.value));
        let offset = variable.name.len() + 1;
        let name = Place {
            source,
            start: 0,
            end: variable.name.len(),
        };
        let Some(node) = self.read_value(&variable.value, source, offset) else {
            return;
        };
        if let Err(reason) = put(&mut self.root, &variable.path, name, node) {
            self.flaws.push(Flaw::new(name, reason));
        }
    }

    /// A value is TOML; what is not TOML and does not look as if it was meant to be is a text.
    fn read_value(&mut self, text: &str, source: usize, offset: usize) -> Option<Node> {
        let trimmed = text.trim_start();
        let (value, errors) = DeValue::parse_recoverable(text);
        if errors.is_empty() && !trimmed.is_empty() {
            return Some(Node::from_toml(value, source, offset));
        }
        if !trimmed.starts_with(['[', '{', '"', '\'']) {
            let place = Place {
                source,
                start: offset,
                end: offset + text.len(),
            };
            let value = Value::Text(text.to_owned());
            return Some(Node { value, place });
        }
        let flaws = errors
            .iter()
            .map(|error| syntax_flaw(error, source, offset, text.len()));
        self.flaws.extend(flaws);
        None
    }
}

/// Puts `node` where `path` leads, over what stands there.
fn put(table: &mut Table, path: &[String], name: Place, node: Node) -> Result<(), String> {
    let Some((key, rest)) = path.split_first() else {
        return Ok(());
    };
    if key.is_empty() {
        return Err("the name of the setting has an empty part".to_owned());
    }
    let Some(next) = rest.first() else {
        let entry = Entry {
            key: key.clone(),
            key_place: name,
            node,
        };
        table.0.retain(|other| other.key != *key);
        table.0.push(entry);
        return Ok(());
    };
    let made = match next.parse::<usize>() {
        Ok(_) => Value::Array(Vec::new()),
        Err(_) => Value::Table(Table::default()),
    };
    let position = table.position_or_insert(key, name, made);
    match &mut table.0[position].node.value {
        Value::Table(inner) => put(inner, rest, name, node),
        Value::Array(items) => put_into_list(items, key, rest, name, node),
        _ => Err(format!("`{key}` is not a section")),
    }
}

fn put_into_list(
    items: &mut Vec<Node>,
    key: &str,
    path: &[String],
    name: Place,
    node: Node,
) -> Result<(), String> {
    let index = path.first().and_then(|part| part.parse::<usize>().ok());
    let Some(index) = index.filter(|index| *index <= items.len()) else {
        let count = items.len();
        return Err(format!(
            "`{key}` is a list of {count}: a number from 0 to {count} must follow its name"
        ));
    };
    let rest = &path[1..];
    if rest.is_empty() {
        match items.get_mut(index) {
            Some(item) => *item = node,
            None => items.push(node),
        }
        return Ok(());
    }
    if index == items.len() {
        items.push(Node {
            value: Value::Table(Table::default()),
            place: name,
        });
    }
    match &mut items[index].value {
        Value::Table(inner) => put(inner, rest, name, node),
        _ => Err(format!("element {index} of `{key}` is not a section")),
    }
}

fn syntax_flaw(error: &toml::de::Error, source: usize, offset: usize, length: usize) -> Flaw {
    let span = error.span().unwrap_or(length..length);
    let place = Place {
        source,
        start: span.start + offset,
        end: span.end + offset,
    };
    Flaw::syntax(place, format!("not valid TOML: {}", error.message()))
}
