//! Values of keys turned into those of variables.

use hocon::{Config, HoconValue};

use crate::rules::scalar;

type Converted = Result<Option<String>, String>;

fn wrong(what: &str) -> String {
    format!("its value is not {what}")
}

pub(crate) fn text(config: &Config, key: &str) -> Converted {
    let value = config.get(key).and_then(scalar).ok_or_else(|| wrong("a text"))?;
    Ok(Some(value).filter(|value| !value.is_empty()))
}

pub(crate) fn number(config: &Config, key: &str) -> Converted {
    config
        .get_i64(key)
        .ok()
        .filter(|number| *number >= 0)
        .map_or_else(|| Err(wrong("a number from 0")), |number| Ok(Some(number.to_string())))
}

/// A number of which 0 means that there is no limit, as those below 0 do in the file.
pub(crate) fn most(config: &Config, key: &str) -> Converted {
    let number = config.get_i64(key).map_err(|_| wrong("a number"))?;
    Ok(Some(number.max(0).to_string()))
}

/// A number with or without a fraction, not below 0.
pub(crate) fn share(config: &Config, key: &str) -> Converted {
    let number = config.get_f64(key).ok().filter(|number| number.is_finite() && *number >= 0.0);
    number.map(|number| Some(number.to_string())).ok_or_else(|| wrong("a number from 0"))
}

/// A list of lists of texts, in brackets but for the outer ones.
pub(crate) fn groups(config: &Config, key: &str) -> Converted {
    let group = |value: &HoconValue| {
        let items: Option<Vec<String>> = value.as_array()?.iter().map(scalar).collect();
        items.map(|items| format!("[{}]", items.join(",")))
    };
    let groups = config.get(key).and_then(HoconValue::as_array);
    let groups: Option<Vec<String>> = groups.and_then(|groups| groups.iter().map(group).collect());
    let groups = groups.ok_or_else(|| wrong("a list of lists of texts"))?;
    Ok(Some(groups.join(",")).filter(|joined| !joined.is_empty()))
}

/// Numbers below 0 mean that there is no limit.
pub(crate) fn limit(config: &Config, key: &str) -> Converted {
    let number = config.get_i64(key).map_err(|_| wrong("a number"))?;
    Ok(Some(number.to_string()).filter(|_| number >= 0))
}

pub(crate) fn flag(config: &Config, key: &str) -> Converted {
    config.get_bool(key).map(|flag| Some(flag.to_string())).map_err(|_| wrong("true or false"))
}

/// Only `true` is worth saying.
pub(crate) fn switch(config: &Config, key: &str) -> Converted {
    Ok(flag(config, key)?.filter(|flag| flag == "true"))
}

/// Only `false` is worth saying, and is a switch of the opposite.
pub(crate) fn negated(config: &Config, key: &str) -> Converted {
    Ok(flag(config, key)?.filter(|flag| flag == "false").map(|_| "true".to_owned()))
}

pub(crate) fn duration(config: &Config, key: &str) -> Converted {
    config.get_duration(key).map(|time| Some(format!("{}ms", time.as_millis()))).map_err(|_| wrong("a time"))
}

/// A list of texts, or one.
pub(crate) fn list(config: &Config, key: &str) -> Converted {
    let items = texts(config, key).ok_or_else(|| wrong("a list of texts"))?;
    Ok(Some(items.join(",")).filter(|joined| !joined.is_empty()))
}

pub(crate) fn texts(config: &Config, key: &str) -> Option<Vec<String>> {
    let value = config.get(key)?;
    match value.as_array() {
        Some(items) => items.iter().map(scalar).collect(),
        None => Some(vec![scalar(value)?]),
    }
}

/// The room of a brewery, whose domain is the same for all.
pub(crate) fn local_part(config: &Config, key: &str) -> Converted {
    Ok(text(config, key)?.map(|jid| jid.split('@').next().unwrap_or_default().to_owned()))
}
