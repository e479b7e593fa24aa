//! One object of a JSON configuration, read field by field, so that every problem is told at once.

use std::cell::RefCell;

use serde_json::{Map, Value};

/// An object, its place in the file, and the problems found so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a> {
    object: Option<&'a Map<String, Value>>,
    at: &'static str,
    problems: &'a RefCell<Vec<String>>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(
        value: Option<&'a Value>,
        at: &'static str,
        problems: &'a RefCell<Vec<String>>,
    ) -> Self {
        let object = value.and_then(Value::as_object);
        Self {
            object,
            at,
            problems,
        }
    }

    /// A field that is there and isn't null.
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.object?.get(key).filter(|value| !value.is_null())
    }

    pub(super) fn is_null(&self, key: &str) -> bool {
        self.object
            .and_then(|object| object.get(key))
            .is_some_and(Value::is_null)
    }

    pub(super) fn under(&self, key: &str, at: &'static str) -> Self {
        Self::new(self.get(key), at, self.problems)
    }

    pub(super) fn is_there(&self) -> bool {
        self.object.is_some()
    }

    pub(super) fn problem(&self, what: impl AsRef<str>) {
        let told = format!("{}{}", self.at, what.as_ref());
        self.problems.borrow_mut().push(told);
    }

    /// A whole number of at least 1.
    pub(super) fn size(&self, key: &str, default: i64) -> i64 {
        let number = match self.get(key) {
            None => return default,
            // Sides of squares are written as one number or as two that are equal.
            Some(Value::Array(sides)) if sides.windows(2).all(|two| two[0] == two[1]) => {
                sides.first().and_then(Value::as_i64)
            }
            Some(value) => value.as_i64(),
        };
        match number {
            Some(number) if (1..=1 << 31).contains(&number) => number,
            _ => {
                self.problem(format!("{key} is no size"));
                default
            }
        }
    }

    pub(super) fn number(&self, key: &str, default: f64) -> f64 {
        match self.get(key).map(Value::as_f64) {
            None => default,
            Some(Some(number)) => number,
            Some(None) => {
                self.problem(format!("{key} is no number"));
                default
            }
        }
    }

    pub(super) fn flag(&self, key: &str, default: bool) -> bool {
        match self.get(key).map(Value::as_bool) {
            None => default,
            Some(Some(flag)) => flag,
            Some(None) => {
                self.problem(format!("{key} is neither true nor false"));
                default
            }
        }
    }

    pub(super) fn text(&self, key: &str) -> Option<&'a str> {
        self.get(key).and_then(Value::as_str)
    }

    /// One number or a list of them.
    pub(super) fn numbers(&self, key: &str) -> Option<Vec<f64>> {
        let numbers = match self.get(key)? {
            Value::Array(list) => list.iter().map(Value::as_f64).collect(),
            one => one.as_f64().map(|number| vec![number]),
        };
        if numbers.is_none() {
            self.problem(format!("{key} is no list of numbers"));
        }
        numbers
    }
}
