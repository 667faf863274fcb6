//! How a table of keys is applied to a configuration.

use hocon::{Config, HoconValue};

use crate::Import;

/// A key and what it means.
pub(crate) struct Rule {
    /// Parts joined by dots; `*` stands for any one part.
    pub(crate) key: &'static str,
    pub(crate) effect: Effect,
}

/// What a key means.
pub(crate) enum Effect {
    /// It is this variable.
    Sets(&'static str, Convert),
    /// It makes up a variable together with others.
    Part,
    /// It is this value in any case; another one has no effect.
    Always(&'static str),
    /// It has no effect, for this reason.
    None(&'static str),
}

/// The value of a variable; `None` when that is what holds without it. The error says why it has no effect.
pub(crate) type Convert = fn(&Config, &str) -> Result<Option<String>, String>;

/// What keys mean together: variables, and keys without effect.
pub(crate) type Combine = fn(&Config, &mut Import);

pub(crate) const fn sets(key: &'static str, variable: &'static str, convert: Convert) -> Rule {
    Rule { key, effect: Effect::Sets(variable, convert) }
}

pub(crate) const fn part(key: &'static str) -> Rule {
    Rule { key, effect: Effect::Part }
}

pub(crate) const fn always(key: &'static str, value: &'static str) -> Rule {
    Rule { key, effect: Effect::Always(value) }
}

pub(crate) const fn none(key: &'static str, reason: &'static str) -> Rule {
    Rule { key, effect: Effect::None(reason) }
}

/// Applies `rules` to every key of `config`, and `combine` to those that only mean something together.
pub(crate) fn apply(config: &Config, rules: &[Rule], combine: Combine) -> Import {
    let mut import = Import::default();
    let mut keys = Vec::new();
    for name in config.keys() {
        if let Some(value) = config.get(&segment(name)) {
            collect(&mut vec![name.to_owned()], value, rules, &mut keys);
        }
    }
    for (path, value) in &keys {
        let key = path.join(".");
        let Some(rule) = rules.iter().find(|rule| matches(rule.key, path)) else {
            import.without_effect.push((key, "is not known".to_owned()));
            continue;
        };
        match &rule.effect {
            Effect::Sets(variable, convert) => match convert(config, rule.key) {
                Ok(Some(value)) => import.set(variable, value),
                Ok(None) => {}
                Err(reason) => import.without_effect.push((key, reason)),
            },
            Effect::Part => {}
            Effect::Always(always) if scalar(value).as_deref() == Some(always) => {}
            Effect::Always(always) => import.without_effect.push((key, format!("is always {always}"))),
            Effect::None(reason) => import.without_effect.push((key, (*reason).to_owned())),
        }
    }
    combine(config, &mut import);
    import.settings.sort();
    import.without_effect.sort();
    import
}

impl Import {
    /// Sets a variable; a line break would end it in the file.
    pub(crate) fn set(&mut self, variable: &'static str, value: String) {
        if value.contains(['\n', '\r', '\0']) {
            self.without_effect.push((variable.to_owned(), "its value has a line break".to_owned()));
        } else {
            self.settings.push((variable, value));
        }
    }
}

/// Every key with a value; an object is one where a rule names it.
fn collect<'a>(
    path: &mut Vec<String>,
    value: &'a HoconValue,
    rules: &[Rule],
    into: &mut Vec<(Vec<String>, &'a HoconValue)>,
) {
    match value.as_object() {
        Some(members) if !rules.iter().any(|rule| path.iter().map(String::as_str).eq(rule.key.split('.'))) => {
            for (name, value) in members {
                path.push(name.clone());
                collect(path, value, rules, into);
                path.pop();
            }
        }
        Some(_) | None => into.push((path.clone(), value)),
    }
}

fn matches(key: &str, path: &[String]) -> bool {
    key.split('.').count() == path.len() && key.split('.').zip(path).all(|(rule, part)| rule == "*" || rule == part)
}

/// A part of a path, in quotes where it has dots of its own.
pub(crate) fn segment(name: &str) -> String {
    let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if is_plain { name.to_owned() } else { format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"")) }
}

/// The text of a value that is neither a list nor an object.
pub(crate) fn scalar(value: &HoconValue) -> Option<String> {
    let HoconValue::Scalar(scalar) = value else { return None };
    (!value.is_null()).then(|| scalar.raw.clone())
}
