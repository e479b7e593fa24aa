//! A checkpoint's `chat_template.jinja`, rendered as transformers renders it: blocks trimmed, Python's string methods,
//! `raise_exception`, and a `tojson` that writes as Python's json module does.

use std::fs;
use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde};
use minijinja::{Environment, Error, ErrorKind};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde_json::{Map, Value, json};

use super::config::read_json;
use super::error::ReaderError;

/// The template's name in its environment.
const NAME: &str = "chat_template.jinja";
/// Instructions that a template may take; it comes with the checkpoint and is not ours.
const FUEL: u64 = 10_000_000;

/// A rendered conversation's form.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    /// `eos_token` and its like, which templates may name.
    special: Map<String, Value>,
}

/// What a person asks.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The words.
    pub text: &'a str,
    /// Pictures before them.
    pub images: usize,
    /// Cines before them.
    pub cines: usize,
    /// Whether the model may think first; none: as the template has it.
    pub thinking: Option<bool>,
}

impl ChatTemplate {
    /// Reads the folder's template, from its own file or from `tokenizer_config.json`; none where it has none.
    ///
    /// # Errors
    /// [`ReaderError::Template`] where it can't be parsed, [`ReaderError::File`], [`ReaderError::Malformed`].
    pub fn read(folder: &Path) -> Result<Option<Self>, ReaderError> {
        let settings = folder.join("tokenizer_config.json");
        let settings = if settings.exists() {
            read_json(&settings)?
        } else {
            Value::Null
        };
        let file = folder.join(NAME);
        let source = if file.exists() {
            Some(fs::read_to_string(&file).map_err(ReaderError::file(&file))?)
        } else {
            let inside = settings.get("chat_template").and_then(Value::as_str);
            inside.map(str::to_owned)
        };
        source
            .map(|source| Self::new(&source, special_tokens(&settings)))
            .transpose()
    }

    fn new(source: &str, special: Map<String, Value>) -> Result<Self, ReaderError> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()
            .map_err(|error| told(&error))?;
        environment.set_syntax(syntax);
        environment.set_unknown_method_callback(unknown_method_callback);
        environment.set_fuel(Some(FUEL));
        environment.add_filter("tojson", tojson);
        environment.add_function("raise_exception", |why: String| -> Result<String, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, why))
        });
        // Marks around what the assistant says, for training alone.
        let source = without_marks(source);
        environment
            .add_template_owned(NAME, source)
            .map_err(|error| told(&error))?;
        Ok(Self {
            environment,
            special,
        })
    }

    /// The prompt for one question, up to where the answer begins.
    ///
    /// # Errors
    /// [`ReaderError::Template`].
    pub fn render(&self, question: &Question) -> Result<String, ReaderError> {
        let mut content = vec![json!({"type": "image"}); question.images];
        content.extend(vec![json!({"type": "video"}); question.cines]);
        content.push(json!({"type": "text", "text": question.text}));
        let mut given = self.special.clone();
        given.insert(
            "messages".to_owned(),
            json!([{"role": "user", "content": content}]),
        );
        given.insert("add_generation_prompt".to_owned(), json!(true));
        if let Some(thinking) = question.thinking {
            given.insert("enable_thinking".to_owned(), json!(thinking));
        }
        let given = minijinja::Value::from(Serde(given));
        let template = self
            .environment
            .get_template(NAME)
            .map_err(|error| told(&error))?;
        template.render(given).map_err(|error| told(&error))
    }
}

fn told(error: &Error) -> ReaderError {
    ReaderError::Template(format!("{error:#}"))
}

fn without_marks(source: &str) -> String {
    let mut source = source.to_owned();
    for mark in ["generation", "endgeneration"] {
        for (open, close) in [("{%", "%}"), ("{%-", "-%}"), ("{%-", "%}"), ("{%", "-%}")] {
            let empty = format!("{open} set _ = none {close}");
            source = source.replace(&format!("{open} {mark} {close}"), &empty);
        }
    }
    source
}

/// `NAME_token` entries, which are a text or an object with its `content`.
fn special_tokens(settings: &Value) -> Map<String, Value> {
    let entries = settings.as_object().into_iter().flatten();
    entries
        .filter(|(name, _)| name.ends_with("_token"))
        .filter_map(|(name, value)| {
            let text = value.as_str().or_else(|| value.get("content")?.as_str())?;
            Some((name.clone(), json!(text)))
        })
        .collect()
}

/// As Python's `json.dumps(x, ensure_ascii=False)`.
#[expect(
    clippy::needless_pass_by_value,
    reason = "minijinja gives its filters their arguments"
)]
fn tojson(value: Serde<Value>, options: Kwargs) -> Result<minijinja::Value, Error> {
    let indent: Option<usize> = options.get("indent")?;
    let _ascii: Option<bool> = options.get("ensure_ascii")?;
    options.assert_all_used()?;
    let mut text = String::new();
    write_json(&value.0, indent, 0, &mut text);
    Ok(minijinja::Value::from_safe_string(text))
}

fn write_json(value: &Value, indent: Option<usize>, depth: usize, out: &mut String) {
    let line = |depth: usize, out: &mut String| {
        if let Some(width) = indent {
            out.push('\n');
            out.push_str(&" ".repeat(width * depth));
        }
    };
    let comma = if indent.is_some() { "," } else { ", " };
    match value {
        Value::Array(items) if !items.is_empty() => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i > 0 { comma } else { "" });
                line(depth + 1, out);
                write_json(item, indent, depth + 1, out);
            }
            line(depth, out);
            out.push(']');
        }
        Value::Object(entries) if !entries.is_empty() => {
            out.push('{');
            for (i, (name, item)) in entries.iter().enumerate() {
                out.push_str(if i > 0 { comma } else { "" });
                line(depth + 1, out);
                out.push_str(&Value::String(name.clone()).to_string());
                out.push_str(": ");
                write_json(item, indent, depth + 1, out);
            }
            line(depth, out);
            out.push('}');
        }
        plain => out.push_str(&plain.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(source: &str) -> String {
        let template = ChatTemplate::new(source, Map::new()).unwrap();
        let question = Question {
            text: " Hello\n",
            images: 1,
            cines: 0,
            thinking: None,
        };
        template
            .render(&question)
            .unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn templates_find_what_transformers_gives_them() {
        for (source, expected) in [
            (
                "{{ messages[0].content[0] | tojson }}",
                r#"{"type": "image"}"#,
            ),
            (
                "{{ messages[0]['content'][-1].text.strip().split('l')[0] }}",
                "He",
            ),
            (
                "{% for m in messages %}\n  {% if true %}\nx\n  {% endif %}\n{% endfor %}\n",
                "x\n",
            ),
            (
                "{{ enable_thinking is defined }}|{{ tools is defined }}",
                "False|False",
            ),
            (
                "{% set ns = namespace(n=1) %}{% for i in [1,2] %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}",
                "4",
            ),
            ("{% generation %}a{% endgeneration %}", "a"),
        ] {
            assert_eq!(rendered(source), expected, "{source}");
        }
        assert!(rendered("{{ raise_exception('no such role') }}").contains("no such role"));
    }
}
