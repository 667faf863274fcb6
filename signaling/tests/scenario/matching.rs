//! Templates: names in braces, and elements with holes.

use std::collections::BTreeMap;

use serde_json::Value;
use xmpp::{Element, Node};

/// Names and what they stand for.
#[derive(Debug, Default)]
pub(super) struct Variables(BTreeMap<String, String>);

impl Variables {
    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), value.to_owned());
    }

    pub(super) fn set_jid(&mut self, name: &str, jid: &str, nick: &str) {
        self.set(name, jid);
        self.set(&format!("{name}.bare"), jid.split('/').next().unwrap());
        self.set(&format!("{name}.nick"), nick);
    }

    /// Puts values for names. Holes and unknown names stay.
    pub(super) fn expand(&self, template: &str) -> String {
        let mut text = template.to_owned();
        for (name, value) in &self.0 {
            text = text.replace(&format!("{{{name}}}"), value);
        }
        let text = text.replace("{permissions}", &permissions());
        let text = expand_macro(&text, "{item ", &item);
        expand_macro(&text, "{error ", &error)
    }

    /// Compares an element with a template: names, namespaces, all attributes in any order, all children in order.
    pub(super) fn compare(&mut self, expected: &Element, received: &Element) -> Result<(), String> {
        let name = received.name();
        if (expected.name(), expected.ns()) != (name, received.ns()) {
            return Err(format!("<{name}> of another name or namespace"));
        }
        for (attr, value) in received.attrs() {
            let template =
                expected.attr(attr).ok_or_else(|| format!("unexpected attribute {attr}={value:?} of <{name}>"))?;
            self.compare_text(template, value).map_err(|()| format!("{attr}={value:?} of <{name}>"))?;
        }
        if let Some((attr, _)) = expected.attrs().find(|(attr, _)| received.attr(attr).is_none()) {
            return Err(format!("no attribute {attr} of <{name}>"));
        }
        if expected.nodes().len() != received.nodes().len() {
            return Err(format!("<{name}> has {} children", received.nodes().len()));
        }
        for (template, node) in expected.nodes().iter().zip(received.nodes()) {
            match (template, node) {
                (Node::Element(template), Node::Element(child)) => self.compare(template, child)?,
                (Node::Text(template), Node::Text(text)) => {
                    self.compare_text(template, text).map_err(|()| format!("text {text:?} of <{name}>"))?;
                }
                _ => return Err(format!("children of <{name}>")),
            }
        }
        Ok(())
    }

    pub(super) fn compare_text(&mut self, template: &str, value: &str) -> Result<(), ()> {
        if let (Ok(template @ (Value::Object(_) | Value::Array(_))), Ok(value)) =
            (serde_json::from_str(template), serde_json::from_str::<Value>(value))
        {
            return self.compare_json(&template, &value);
        }
        if let Some(name) = template.strip_prefix("{=").and_then(|name| name.strip_suffix('}')) {
            self.set(name, value);
            return Ok(());
        }
        // A name that was learned within this very block.
        let template = self.expand(template);
        if template == "{*}" || template == value { Ok(()) } else { Err(()) }
    }
}

impl Variables {
    /// Compares JSON with a template: keys in any order, with names for keys and one key a hole; in texts, holes as
    /// elsewhere.
    fn compare_json(&mut self, template: &Value, value: &Value) -> Result<(), ()> {
        match (template, value) {
            (Value::Object(template), Value::Object(object)) if template.len() == object.len() => {
                let names: Vec<String> = template.keys().map(|key| self.expand(key)).collect();
                for (key, template) in template {
                    let key = self.expand(key);
                    // At most one key may be a hole: it stands for the one that is not named.
                    let is_unnamed = |known: &&String| !names.contains(known);
                    let value = if key == "{*}" {
                        object.keys().find(is_unnamed).and_then(|unnamed| object.get(unnamed))
                    } else {
                        object.get(&key)
                    };
                    self.compare_json(template, value.ok_or(())?)?;
                }
                Ok(())
            }
            (Value::Array(template), Value::Array(array)) if template.len() == array.len() => {
                template.iter().zip(array).try_for_each(|(template, value)| self.compare_json(template, value))
            }
            (Value::String(template), _) if template == "{*}" => Ok(()),
            (Value::String(template), Value::String(text)) => self.compare_text(template, text),
            (template, value) if template == value => Ok(()),
            _ => Err(()),
        }
    }
}

fn expand_macro(text: &str, opening: &str, expand: &dyn Fn(&[&str]) -> String) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(opening) {
        let (arguments, after) = after.split_once('}').unwrap();
        out.push_str(before);
        out.push_str(&expand(&arguments.split(' ').collect::<Vec<_>>()));
        rest = after;
    }
    out + rest
}

/// What a moderator may do whose token does not say it.
fn permissions() -> String {
    let names = [
        "create-polls",
        "flip",
        "live-translation",
        "live-translation-subscribe",
        "livestreaming",
        "outbound-call",
        "recording",
        "send-groupchat",
        "send-private-message",
        "transcription",
    ];
    let all: String = names.iter().map(|name| format!("<p name='{name}' val='true'/>")).collect();
    format!("<permissions xmlns='http://jitsi.org/jitmeet'>{all}</permissions>")
}

fn item(arguments: &[&str]) -> String {
    let [affiliation, role, jid, codes @ ..] = arguments else { panic!("{{item}} wants three words") };
    let statuses: String = codes.iter().map(|code| format!("<status code='{code}'/>")).collect();
    format!(
        "<x xmlns='http://jabber.org/protocol/muc#user'>\
         <item affiliation='{affiliation}' role='{role}' jid='{jid}'/>{statuses}</x>"
    )
}

fn error(arguments: &[&str]) -> String {
    const STANZAS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
    let [kind, condition, words @ ..] = arguments else { panic!("{{error}} wants two words") };
    let text =
        if words.is_empty() { String::new() } else { format!("<text xmlns='{STANZAS}'>{}</text>", words.join(" ")) };
    format!("<error type='{kind}'><{condition} xmlns='{STANZAS}'/>{text}</error>")
}
