//! Service discovery (XEP-0030 2.5).

use crate::data_forms::DataForm;
use crate::{Element, ns};

/// Who an entity is (XEP-0030 §3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The category, as `server` or `component`.
    pub category: String,
    /// The type within the category.
    pub kind: String,
    /// Its name. Jitsi's clients read the address of a component from it.
    pub name: Option<String>,
}

/// What `disco#info` tells of an entity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiscoInfo {
    /// The node asked about.
    pub node: Option<String>,
    /// Who it is.
    pub identities: Vec<Identity>,
    /// What it can do.
    pub features: Vec<String>,
    /// More about it (XEP-0128).
    pub form: Option<DataForm>,
}

impl DiscoInfo {
    /// Adds an identity; for chained building.
    #[must_use]
    pub fn with_identity(
        mut self,
        category: impl Into<String>,
        kind: impl Into<String>,
        name: Option<impl Into<String>>,
    ) -> Self {
        self.identities.push(Identity { category: category.into(), kind: kind.into(), name: name.map(Into::into) });
        self
    }

    /// Adds features; for chained building.
    #[must_use]
    pub fn with_features<'a>(mut self, features: impl IntoIterator<Item = &'a str>) -> Self {
        self.features.extend(features.into_iter().map(str::to_owned));
        self
    }

    /// Whether the feature is there.
    #[must_use]
    pub fn has_feature(&self, feature: &str) -> bool {
        self.features.iter().any(|known| known == feature)
    }

    /// Reads the `query` below a stanza; `None` when there is none.
    #[must_use]
    pub fn of_stanza(stanza: &Element) -> Option<Self> {
        let query = stanza.child("query", ns::DISCO_INFO)?;
        let identities = query.children_named("identity", ns::DISCO_INFO).map(|identity| Identity {
            category: identity.attr("category").unwrap_or_default().to_owned(),
            kind: identity.attr("type").unwrap_or_default().to_owned(),
            name: identity.attr("name").map(str::to_owned),
        });
        let features = query
            .children_named("feature", ns::DISCO_INFO)
            .filter_map(|feature| feature.attr("var"))
            .map(str::to_owned);
        Some(Self {
            node: query.attr("node").map(str::to_owned),
            identities: identities.collect(),
            features: features.collect(),
            form: DataForm::of(query),
        })
    }

    /// The `query` element.
    #[must_use]
    pub fn to_element(&self) -> Element {
        Element::new("query", ns::DISCO_INFO)
            .with_opt_attr("node", self.node.as_deref())
            .with_children(self.identities.iter().map(|identity| {
                Element::new("identity", ns::DISCO_INFO)
                    .with_attr("category", identity.category.as_str())
                    .with_attr("type", identity.kind.as_str())
                    .with_opt_attr("name", identity.name.as_deref())
            }))
            .with_children(
                self.features
                    .iter()
                    .map(|feature| Element::new("feature", ns::DISCO_INFO).with_attr("var", feature.as_str())),
            )
            .with_children(self.form.iter().map(DataForm::to_element))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_forms::{Field, FormType};

    #[test]
    fn info_reads_as_written() {
        let mut info = DiscoInfo::default()
            .with_identity("component", "polls", Some("polls.meet.example"))
            .with_features(["urn:xmpp:ping"]);
        let stanza = Element::new("iq", ns::CLIENT).with_child(info.to_element());
        assert_eq!(DiscoInfo::of_stanza(&stanza), Some(info.clone()));
        assert!(info.has_feature("urn:xmpp:ping"));

        info.form = Some(DataForm::of_kind(FormType::Result, "k").with_field(Field::new("a", "b")));
        let stanza = Element::new("iq", ns::CLIENT).with_child(info.to_element());
        assert_eq!(DiscoInfo::of_stanza(&stanza).unwrap().form.unwrap().value("a"), Some("b"));
    }
}
