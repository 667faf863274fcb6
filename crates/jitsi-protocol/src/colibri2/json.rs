//! Requests and answers as JSON, for `/colibri/v2/conferences` (jitsi-xmpp-extensions `colibri2/json`).
//!
//! Here: JSON turned into the elements of the XML form and back, so that the rules and limits of those hold for both. Not
//! here: which member is which attribute or child (`schema`).

mod schema;

use serde_json::{Map, Number, Value};
use xmpp::jingle::InvalidElement;
use xmpp::{Element, ns};

use super::{ColibriError, ConferenceModified, ConferenceModify};
use schema::{Form, Member, Object};

/// A JSON text that is no request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidJson {
    /// Not JSON at all.
    #[error("not JSON: {0}")]
    Syntax(String),
    /// A member has another type than it should.
    #[error("Expected {expected} for {member}, got {got}")]
    Type {
        /// Name of the member.
        member: &'static str,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        got: &'static str,
    },
    /// The members are of the right types, and yet no request.
    #[error(transparent)]
    Request(#[from] InvalidElement),
}

impl From<InvalidJson> for ColibriError {
    fn from(error: InvalidJson) -> Self {
        Self::new(xmpp::Condition::BadRequest, None, error.to_string())
    }
}

impl ConferenceModify {
    /// Reads a request. `meeting_id`, where it is given, stands for the one of the text, as in a path.
    ///
    /// # Errors
    /// [`InvalidJson`], to be answered with 400.
    pub fn from_json(text: &[u8], meeting_id: Option<&str>) -> Result<Self, InvalidJson> {
        let value: Value = serde_json::from_slice(text).map_err(|error| InvalidJson::Syntax(error.to_string()))?;
        let mut element = schema::CONFERENCE_MODIFY.read("the request", &value)?;
        if let Some(meeting_id) = meeting_id {
            element.set_attr("meeting-id", meeting_id);
        }
        Ok(Self::from_element(&element)?)
    }
}

impl ConferenceModified {
    /// The answer as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        schema::CONFERENCE_MODIFIED.write(&self.to_element())
    }
}

const fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

const fn mismatch(member: &'static str, expected: &'static str, value: &Value) -> InvalidJson {
    InvalidJson::Type { member, expected, got: type_of(value) }
}

fn array<'a>(member: &'static str, value: &'a Value) -> Result<&'a Vec<Value>, InvalidJson> {
    value.as_array().ok_or_else(|| mismatch(member, "an array", value))
}

fn object<'a>(member: &'static str, value: &'a Value) -> Result<&'a Map<String, Value>, InvalidJson> {
    value.as_object().ok_or_else(|| mismatch(member, "an object", value))
}

fn text<'a>(member: &'static str, value: &'a Value) -> Result<&'a str, InvalidJson> {
    value.as_str().ok_or_else(|| mismatch(member, "a string", value))
}

/// The value of an attribute that may be written as a string, a number or a boolean.
fn scalar(member: &'static str, value: &Value) -> Result<String, InvalidJson> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(mismatch(member, "a string or a number", value)),
    }
}

fn number_or_text(text: &str) -> Value {
    text.parse::<u64>().map_or_else(|_| text.into(), |number| Value::Number(Number::from(number)))
}

impl Object {
    fn read(&self, name: &'static str, value: &Value) -> Result<Element, InvalidJson> {
        if let (Some(short), Value::Number(_) | Value::String(_)) = (self.short, value) {
            return Ok(Element::new(self.element, self.ns).with_attr(short, scalar(name, value)?));
        }
        let members = object(name, value)?;
        let mut element = Element::new(self.element, self.ns);
        for Member { name, form } in self.members {
            if let Some(value) = members.get(*name).filter(|value| !value.is_null()) {
                form.read(name, value, &mut element)?;
            }
        }
        Ok(element)
    }

    fn write(&self, element: &Element) -> Value {
        if let Some(short) = self.short.filter(|_| element.attrs().count() == 1 && element.nodes().is_empty()) {
            return element.attr(short).map_or(Value::Null, number_or_text);
        }
        let mut members = Map::new();
        for Member { name, form } in self.members {
            if let Some(value) = form.write(name, element) {
                members.insert((*name).to_owned(), value);
            }
        }
        Value::Object(members)
    }
}

impl Form {
    fn read(&self, name: &'static str, value: &Value, into: &mut Element) -> Result<(), InvalidJson> {
        match self {
            Self::Text => into.set_attr(name, text(name, value)?),
            Self::Flag => {
                let flag = value.as_bool().ok_or_else(|| mismatch(name, "a boolean", value))?;
                into.set_attr(name, flag.to_string());
            }
            Self::Number if value.is_number() => into.set_attr(name, value.to_string()),
            Self::Number => return Err(mismatch(name, "a number", value)),
            Self::LooseNumber | Self::LooseText => into.set_attr(name, scalar(name, value)?),
            Self::Content => into.push_text(text(name, value)?),
            // Nobody has to say it: the form of the object says so.
            Self::Xmlns => {}
            Self::Mark(ns) => {
                if value.as_bool().ok_or_else(|| mismatch(name, "a boolean", value))? {
                    into.push(Element::new(name, *ns));
                }
            }
            Self::One(of) => into.push(of.read(name, value)?),
            Self::Many(of) => {
                for item in array(name, value)? {
                    into.push(of.read(name, item)?);
                }
            }
            Self::ManyIn(of) => {
                let items = array(name, value)?.iter().map(|item| of.read(name, item));
                let items: Vec<Element> = items.collect::<Result<_, _>>()?;
                into.push(Element::new(name, ns::COLIBRI2).with_children(items));
            }
            Self::Names { element, ns, attr } => {
                for item in array(name, value)? {
                    into.push(Element::new(*element, *ns).with_attr(*attr, text(name, item)?));
                }
            }
            Self::NamesIn(item) => {
                let names = array(name, value)?.iter().map(|value| text(name, value));
                let names: Vec<&str> = names.collect::<Result<_, _>>()?;
                let items = names.into_iter().map(|value| Element::new(*item, ns::COLIBRI2).with_attr("name", value));
                into.push(Element::new(name, ns::COLIBRI2).with_children(items));
            }
            Self::Parameters { element, ns } => {
                for (key, value) in object(name, value)? {
                    let parameter = Element::new(*element, *ns).with_attr("value", scalar(name, value)?);
                    // A parameter without a name has this one in JSON.
                    into.push(parameter.with_opt_attr("name", Some(key.as_str()).filter(|key| *key != "null")));
                }
            }
        }
        Ok(())
    }

    /// The member of an object that stands for `element`; `None` when it has none such.
    fn write(&self, name: &'static str, element: &Element) -> Option<Value> {
        let list = |values: Vec<Value>| (!values.is_empty()).then_some(Value::Array(values));
        match self {
            Self::Text | Self::LooseText => element.attr(name).map(Value::from),
            Self::Flag => element.attr(name).map(|value| Value::Bool(matches!(value, "true" | "1"))),
            Self::Number | Self::LooseNumber => element.attr(name).map(number_or_text),
            Self::Content => Some(element.text().into()),
            Self::Xmlns => Some(element.ns().into()),
            Self::Mark(ns) => element.child(name, ns).map(|_| Value::Bool(true)),
            Self::One(of) => element.child(of.element, of.ns).map(|child| of.write(child)),
            Self::Many(of) => list(element.children_named(of.element, of.ns).map(|child| of.write(child)).collect()),
            Self::ManyIn(of) => {
                let child = element.child(name, ns::COLIBRI2)?;
                Some(Value::Array(child.children_named(of.element, of.ns).map(|item| of.write(item)).collect()))
            }
            Self::Names { element: child, ns, attr } => {
                list(element.children_named(child, ns).filter_map(|item| Some(item.attr(attr)?.into())).collect())
            }
            Self::NamesIn(item) => {
                let child = element.child(name, ns::COLIBRI2)?;
                let items = child.children_named(item, ns::COLIBRI2);
                list(items.filter_map(|item| Some(item.attr("name")?.into())).collect())
            }
            Self::Parameters { element: child, ns } => {
                let parameters = element.children_named(child, ns).map(|parameter| {
                    let name = parameter.attr("name").unwrap_or("null").to_owned();
                    (name, parameter.attr("value").map_or(Value::Null, Value::from))
                });
                let parameters: Map<String, Value> = parameters.collect();
                (!parameters.is_empty()).then_some(Value::Object(parameters))
            }
        }
    }
}

#[cfg(test)]
mod tests;
