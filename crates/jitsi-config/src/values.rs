//! Values of keys turned into those of variables.

use hocon::Config;

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
