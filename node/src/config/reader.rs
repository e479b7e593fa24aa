//! Reads one TOML table key by key and collects every problem instead of stopping at the first.

use std::ops::RangeInclusive;
use std::str::FromStr;

use toml::{Table, Value};

/// One problem of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key with its path, such as `peer[1].port`.
    pub key: String,
    /// What is wrong and what to write instead.
    pub what: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.key, self.what)
    }
}

/// Every problem that was found so far.
#[derive(Debug, Default)]
pub(super) struct Problems(pub(super) Vec<Problem>);

impl Problems {
    /// Notes a problem of `key`.
    pub(super) fn push(&mut self, key: impl Into<String>, what: impl Into<String>) {
        self.0.push(Problem {
            key: key.into(),
            what: what.into(),
        });
    }
}

/// One table. Keys that were asked for are taken out; what is left at [`Section::finish`] is unknown.
pub(super) struct Section {
    path: String,
    table: Table,
}

impl Section {
    /// The table at `path`, which may be empty.
    pub(super) fn new(path: impl Into<String>, table: Table) -> Self {
        Self {
            path: path.into(),
            table,
        }
    }

    /// The key with its path.
    pub(super) fn key(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// Whether a key is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.table.contains_key(name)
    }

    /// A table below this one; an empty one if it is left out.
    pub(super) fn section(&mut self, name: &str, problems: &mut Problems) -> Self {
        let key = self.key(name);
        let table = match self.table.remove(name) {
            None => Table::new(),
            Some(Value::Table(table)) => table,
            Some(other) => {
                problems.push(
                    &key,
                    format!("must be a table [{key}], not {}", kind(&other)),
                );
                Table::new()
            }
        };
        Self::new(key, table)
    }

    /// An array of tables below this one.
    pub(super) fn sections(&mut self, name: &str, problems: &mut Problems) -> Vec<Self> {
        let key = self.key(name);
        match self.table.remove(name) {
            None => Vec::new(),
            Some(Value::Array(items)) => {
                let tables = items.into_iter().enumerate();
                tables
                    .filter_map(|(i, item)| match item {
                        Value::Table(table) => Some(Self::new(format!("{key}[{i}]"), table)),
                        other => {
                            problems.push(
                                format!("{key}[{i}]"),
                                format!("must be a table, not {}", kind(&other)),
                            );
                            None
                        }
                    })
                    .collect()
            }
            Some(_) => {
                problems.push(&key, format!("must be written as [[{name}]]"));
                Vec::new()
            }
        }
    }

    /// Text that parses as `T`, if the key is there.
    pub(super) fn parsed<T>(&mut self, name: &str, problems: &mut Problems) -> Option<T>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        let key = self.key(name);
        match self.table.remove(name)? {
            Value::String(text) => match text.parse() {
                Ok(value) => Some(value),
                Err(error) => {
                    problems.push(key, format!("{text:?} won't do: {error}"));
                    None
                }
            },
            other => {
                problems.push(key, format!("must be text in quotes, not {}", kind(&other)));
                None
            }
        }
    }

    /// Text that must be there.
    pub(super) fn required<T>(&mut self, name: &str, problems: &mut Problems) -> Option<T>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        if !self.table.contains_key(name) {
            problems.push(self.key(name), "is missing");
        }
        self.parsed(name, problems)
    }

    /// A whole number in a range.
    pub(super) fn number(
        &mut self,
        name: &str,
        range: RangeInclusive<u64>,
        problems: &mut Problems,
    ) -> Option<u64> {
        let key = self.key(name);
        let value = self.table.remove(name)?;
        let number = value
            .as_integer()
            .and_then(|n| u64::try_from(n).ok())
            .filter(|n| range.contains(n));
        if number.is_none() {
            problems.push(
                key,
                format!(
                    "must be a whole number from {} to {}, not {value}",
                    range.start(),
                    range.end()
                ),
            );
        }
        number
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, name: &str, problems: &mut Problems) -> Option<bool> {
        let key = self.key(name);
        let value = self.table.remove(name)?;
        if value.as_bool().is_none() {
            problems.push(key, format!("must be true or false, not {}", kind(&value)));
        }
        value.as_bool()
    }

    /// A list of texts that each parse as `T`.
    pub(super) fn list<T>(&mut self, name: &str, problems: &mut Problems) -> Option<Vec<T>>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        let key = self.key(name);
        let Value::Array(items) = self.table.remove(name)? else {
            problems.push(key, "must be a list in square brackets");
            return None;
        };
        let mut values = Vec::with_capacity(items.len());
        for (i, item) in items.iter().enumerate() {
            match item.as_str().map(str::parse) {
                Some(Ok(value)) => values.push(value),
                Some(Err(error)) => {
                    problems.push(format!("{key}[{i}]"), format!("{item} won't do: {error}"));
                }
                None => problems.push(format!("{key}[{i}]"), "must be text in quotes"),
            }
        }
        Some(values)
    }

    /// Everything that was not asked for is a mistake, and often a misspelling.
    pub(super) fn finish(self, known: &[&str], problems: &mut Problems) {
        for name in self.table.keys() {
            problems.push(
                self.key(name),
                format!("unknown key; known here: {}", known.join(", ")),
            );
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "text",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a fraction",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}
