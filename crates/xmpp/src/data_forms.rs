//! Data forms (XEP-0004 2.13).

use crate::{Element, ns};

/// What a form is for (XEP-0004 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormType {
    /// To be filled in.
    Form,
    /// Filled in.
    Submit,
    /// Not filled in after all.
    Cancel,
    /// Data that nobody asked to be filled in.
    Result,
}

impl FormType {
    const TABLE: [(FormType, &'static str); 4] =
        [(Self::Form, "form"), (Self::Submit, "submit"), (Self::Cancel, "cancel"), (Self::Result, "result")];

    fn as_str(self) -> &'static str {
        Self::TABLE.iter().find(|(known, _)| *known == self).map_or("form", |(_, name)| name)
    }
}

/// A field of a form (XEP-0004 §3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The field's name.
    pub var: String,
    /// The kind, as `boolean` or `text-single`; `None` in submitted forms.
    pub kind: Option<&'static str>,
    /// Words for a reader.
    pub label: Option<&'static str>,
    /// The values.
    pub values: Vec<String>,
    /// What may be chosen.
    pub options: Vec<&'static str>,
}

impl Field {
    /// A field with one value.
    #[must_use]
    pub fn new(var: impl Into<String>, value: impl Into<String>) -> Self {
        Self { var: var.into(), kind: None, label: None, values: vec![value.into()], options: Vec::new() }
    }

    /// Sets the kind and the words for a reader.
    #[must_use]
    pub fn described(mut self, kind: &'static str, label: &'static str) -> Self {
        self.kind = Some(kind);
        self.label = Some(label);
        self
    }

    /// Sets what may be chosen.
    #[must_use]
    pub fn with_options(mut self, options: impl IntoIterator<Item = &'static str>) -> Self {
        self.options = options.into_iter().collect();
        self
    }

    fn to_element(&self) -> Element {
        Element::new("field", ns::DATA_FORMS)
            .with_attr("var", self.var.as_str())
            .with_opt_attr("type", self.kind)
            .with_opt_attr("label", self.label)
            .with_children(
                self.values.iter().map(|value| Element::new("value", ns::DATA_FORMS).with_text(value.as_str())),
            )
            .with_children(self.options.iter().map(|option| {
                Element::new("option", ns::DATA_FORMS)
                    .with_child(Element::new("value", ns::DATA_FORMS).with_text(*option))
            }))
    }
}

/// A form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataForm {
    /// What it is for.
    pub form_type: FormType,
    /// The fields, `FORM_TYPE` among them (XEP-0068).
    pub fields: Vec<Field>,
}

impl DataForm {
    /// A form of a registered kind: the first field is the hidden `FORM_TYPE` (XEP-0068).
    #[must_use]
    pub fn of_kind(form_type: FormType, kind: &str) -> Self {
        let mut kind = Field::new("FORM_TYPE", kind);
        kind.kind = Some("hidden");
        Self { form_type, fields: vec![kind] }
    }

    /// Adds a field; for chained building.
    #[must_use]
    pub fn with_field(mut self, field: Field) -> Self {
        self.fields.push(field);
        self
    }

    /// The first value of a field. A field without a value reads as empty text: that is how values are cleared.
    #[must_use]
    pub fn value(&self, var: &str) -> Option<&str> {
        let field = self.fields.iter().find(|field| field.var == var)?;
        Some(field.values.first().map_or("", String::as_str))
    }

    /// The kind of the form (XEP-0068).
    #[must_use]
    pub fn kind(&self) -> Option<&str> {
        self.value("FORM_TYPE")
    }

    /// Reads the form `x` below `parent`; `None` when there is none of a known type.
    #[must_use]
    pub fn of(parent: &Element) -> Option<Self> {
        let x = parent.child("x", ns::DATA_FORMS)?;
        let &(form_type, _) = FormType::TABLE.iter().find(|(_, name)| x.attr("type") == Some(name))?;
        let fields = x
            .children_named("field", ns::DATA_FORMS)
            .filter_map(|field| {
                Some(Field {
                    var: field.attr("var")?.to_owned(),
                    kind: None,
                    label: None,
                    values: field.children_named("value", ns::DATA_FORMS).map(Element::text).collect(),
                    options: Vec::new(),
                })
            })
            .collect();
        Some(Self { form_type, fields })
    }

    /// The `x` element.
    #[must_use]
    pub fn to_element(&self) -> Element {
        Element::new("x", ns::DATA_FORMS)
            .with_attr("type", self.form_type.as_str())
            .with_children(self.fields.iter().map(Field::to_element))
    }
}

/// The value of a `boolean` field (XEP-0004 §3.3); `None` when it is neither.
#[must_use]
pub fn parse_boolean(value: &str) -> Option<bool> {
    match value.trim() {
        "1" | "true" => Some(true),
        "0" | "false" | "" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_reads_as_written() {
        let form = DataForm::of_kind(FormType::Submit, "urn:kind")
            .with_field(Field::new("a", "1"))
            .with_field(Field { values: Vec::new(), ..Field::new("empty", "") });
        let read = DataForm::of(&Element::new("query", "q").with_child(form.to_element())).unwrap();
        assert_eq!(read.form_type, FormType::Submit);
        assert_eq!(read.kind(), Some("urn:kind"));
        assert_eq!((read.value("a"), read.value("empty"), read.value("b")), (Some("1"), Some(""), None));
    }

    #[test]
    fn booleans_have_two_spellings_each() {
        assert_eq!(
            ["1", "true", "0", "false", "yes"].map(parse_boolean),
            [Some(true), Some(true), Some(false), Some(false), None]
        );
    }
}
