//! Readers of attributes and lists, with the errors that name what is wrong.

use std::str::FromStr;

use model::Ssrc;

use super::{HeaderExtension, InvalidElement, PayloadTypeDescription, Source, SsrcGroup};
use crate::Element;

/// Longest part of a bad value that an error repeats, in characters.
const MAX_QUOTED_CHARS: usize = 64;
/// Payload types of one description: RTP has no more than 128.
const MAX_PAYLOAD_TYPES: usize = 128;
/// Header extensions of one description: browsers offer some fifteen.
const MAX_HEADER_EXTENSIONS: usize = 64;
/// Sources of one description: a focus lists those of a whole conference.
const MAX_SOURCES: usize = 4096;
/// Groups of one description, one for each video source.
const MAX_GROUPS: usize = 4096;

/// An attribute that has to be there.
///
/// # Errors
/// [`InvalidElement::MissingAttribute`].
pub fn required<'a>(element: &'a Element, attribute: &'static str) -> Result<&'a str, InvalidElement> {
    element
        .attr(attribute)
        .ok_or_else(|| InvalidElement::MissingAttribute { element: element.name().to_owned(), attribute })
}

/// An attribute that has to be there and to read as a `T`.
///
/// # Errors
/// [`InvalidElement::MissingAttribute`] or [`InvalidElement::InvalidAttribute`].
pub fn required_parsed<T: FromStr>(element: &Element, attribute: &'static str) -> Result<T, InvalidElement> {
    let value = required(element, attribute)?;
    value.parse().map_err(|_| invalid(element, attribute, value))
}

/// An attribute that may be missing, but has to read as a `T` when it is there.
///
/// # Errors
/// [`InvalidElement::InvalidAttribute`].
pub fn optional_parsed<T: FromStr>(element: &Element, attribute: &'static str) -> Result<Option<T>, InvalidElement> {
    element.attr(attribute).map(|value| value.parse().map_err(|_| invalid(element, attribute, value))).transpose()
}

/// A boolean attribute (XML Schema: `true`, `1`, `false`, `0`) that is false when missing.
///
/// # Errors
/// [`InvalidElement::InvalidAttribute`].
pub fn flag(element: &Element, attribute: &'static str) -> Result<bool, InvalidElement> {
    match element.attr(attribute) {
        Some("true" | "1") => Ok(true),
        None | Some("false" | "0") => Ok(false),
        Some(value) => Err(invalid(element, attribute, value)),
    }
}

/// An SSRC, which is never 0 in signaling.
///
/// # Errors
/// [`InvalidElement::MissingAttribute`] or [`InvalidElement::InvalidSsrc`].
pub fn ssrc(element: &Element) -> Result<Ssrc, InvalidElement> {
    let value = required(element, "ssrc")?;
    match value.parse::<u32>() {
        Ok(number) if number != 0 => Ok(Ssrc(number)),
        _ => Err(InvalidElement::InvalidSsrc(quoted(value))),
    }
}

/// Reads every child of that local name, at most `limit` of them.
///
/// # Errors
/// [`InvalidElement::TooMany`], and what `read` answers.
pub fn list<T, E: From<InvalidElement>>(
    element: &Element,
    child: &'static str,
    limit: usize,
    read: impl Fn(&Element) -> Result<T, E>,
) -> Result<Vec<T>, E> {
    let mut items = Vec::new();
    for found in element.children().filter(|found| found.name() == child) {
        if items.len() == limit {
            return Err(InvalidElement::TooMany { element: child, limit }.into());
        }
        items.push(read(found)?);
    }
    Ok(items)
}

/// The `payload-type` children of a description or of Colibri2's `media`.
///
/// # Errors
/// [`InvalidElement`] on a bad one or too many.
pub fn payload_types(element: &Element) -> Result<Vec<PayloadTypeDescription>, InvalidElement> {
    list(element, "payload-type", MAX_PAYLOAD_TYPES, PayloadTypeDescription::from_element)
}

/// The `rtp-hdrext` children of a description or of Colibri2's `media`.
///
/// # Errors
/// [`InvalidElement`] on a bad one or too many.
pub fn header_extensions(element: &Element) -> Result<Vec<HeaderExtension>, InvalidElement> {
    list(element, "rtp-hdrext", MAX_HEADER_EXTENSIONS, HeaderExtension::from_element)
}

/// The `source` children of a description or of Colibri2's `media-source`.
///
/// # Errors
/// [`InvalidElement`] on a bad one or too many.
pub fn sources(element: &Element) -> Result<Vec<Source>, InvalidElement> {
    list(element, "source", MAX_SOURCES, Source::from_element)
}

/// The `ssrc-group` children of a description or of Colibri2's `media-source`.
///
/// # Errors
/// [`InvalidElement`] on a bad one or too many.
pub fn groups(element: &Element) -> Result<Vec<SsrcGroup>, InvalidElement> {
    list(element, "ssrc-group", MAX_GROUPS, SsrcGroup::from_element)
}

/// The error of a value that an attribute may not have.
#[must_use]
pub fn invalid(element: &Element, attribute: &'static str, value: &str) -> InvalidElement {
    InvalidElement::InvalidAttribute { element: element.name().to_owned(), attribute, value: quoted(value) }
}

fn quoted(value: &str) -> String {
    value.chars().take(MAX_QUOTED_CHARS).collect()
}
