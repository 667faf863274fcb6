//! `stats`: what a bridge says of itself in its presence in the brewery.

use std::str::FromStr;

use xmpp::jingle::{InvalidElement, read};
use xmpp::{Element, ns};

/// Values of one presence: JVB sends some 150.
const MAX_STATS: usize = 512;

/// What a bridge says of itself. Absent values keep what the bridge said before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BridgeStats {
    /// Load, 0 for idle, 1 and above for overloaded.
    pub stress_level: Option<f64>,
    /// What one more endpoint adds to the load.
    pub average_participant_stress: Option<f64>,
    /// The bridge shall get no new conferences while others exist.
    pub drain: Option<bool>,
    /// The bridge takes no new conferences and ends when its last one does.
    pub graceful_shutdown: Option<bool>,
    /// The bridge ends now: move everybody away.
    pub shutting_down: Option<bool>,
    /// The bridge's own health check.
    pub healthy: Option<bool>,
    /// Software version; a conference has bridges of one version only.
    pub version: Option<String>,
    /// Distinguishes builds of one version.
    pub release: Option<String>,
    /// Where the bridge is.
    pub region: Option<String>,
    /// Name among bridges, needed to share a conference.
    pub relay_id: Option<String>,
    /// Everything else, for dashboards.
    pub others: Vec<(String, String)>,
}

impl BridgeStats {
    /// Reads a `stats` element. A value that does not read as what it should be counts as absent.
    ///
    /// # Errors
    /// [`InvalidElement`] on too many values.
    pub fn from_element(element: &Element) -> Result<Self, InvalidElement> {
        let mut stats = Self::default();
        let pairs = read::list(element, "stat", MAX_STATS, |stat| {
            let text = |name| stat.attr(name).unwrap_or_default().to_owned();
            Ok::<_, InvalidElement>((text("name"), text("value")))
        })?;
        for (name, value) in pairs {
            match name.as_str() {
                "stress_level" => stats.stress_level = finite(&value),
                "average_participant_stress" => stats.average_participant_stress = finite(&value),
                "drain" => stats.drain = parsed(&value),
                "graceful_shutdown" => stats.graceful_shutdown = parsed(&value),
                "shutting_down" => stats.shutting_down = parsed(&value),
                "healthy" => stats.healthy = parsed(&value),
                "version" => stats.version = Some(value),
                "release" => stats.release = Some(value),
                "region" => stats.region = Some(value),
                "relay_id" => stats.relay_id = Some(value),
                _ => stats.others.push((name, value)),
            }
        }
        Ok(stats)
    }

    /// The `stats` element.
    #[must_use]
    pub fn to_element(&self) -> Element {
        let text = |value: &Option<String>| value.clone();
        let number = |value: Option<f64>| value.map(|value| value.to_string());
        let flag = |value: Option<bool>| value.map(|value| value.to_string());
        let known = [
            ("stress_level", number(self.stress_level)),
            ("average_participant_stress", number(self.average_participant_stress)),
            ("drain", flag(self.drain)),
            ("graceful_shutdown", flag(self.graceful_shutdown)),
            ("shutting_down", flag(self.shutting_down)),
            ("healthy", flag(self.healthy)),
            ("version", text(&self.version)),
            ("release", text(&self.release)),
            ("region", text(&self.region)),
            ("relay_id", text(&self.relay_id)),
        ];
        let others = self.others.iter().map(|(name, value)| stat(name, value));
        Element::new("stats", ns::COLIBRI)
            .with_children(known.iter().filter_map(|(name, value)| Some(stat(name, value.as_deref()?))))
            .with_children(others)
    }
}

fn stat(name: &str, value: &str) -> Element {
    Element::new("stat", ns::COLIBRI).with_attr("name", name).with_attr("value", value)
}

fn parsed<T: FromStr>(value: &str) -> Option<T> {
    value.to_ascii_lowercase().parse().ok()
}

fn finite(value: &str) -> Option<f64> {
    parsed(value).filter(|number: &f64| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_wrote() {
        let text = "<stats xmlns='http://jitsi.org/protocol/colibri'>\
            <stat name='stress_level' value='0.12'/><stat name='drain' value='false'/>\
            <stat name='version' value='2.3.300'/><stat name='endpoints' value='7'/></stats>";
        let stats = BridgeStats::from_element(&text.parse().unwrap()).unwrap();
        assert_eq!((stats.stress_level, stats.drain, stats.healthy), (Some(0.12), Some(false), None));
        assert_eq!(stats.others, [("endpoints".to_owned(), "7".to_owned())]);
        assert_eq!(BridgeStats::from_element(&stats.to_element().to_string().parse().unwrap()), Ok(stats));
    }

    #[test]
    fn bad_values_count_as_absent_and_too_many_are_refused() {
        let text = "<stats><stat name='stress_level' value='NaN'/><stat name='drain' value='maybe'/><stat/></stats>";
        let stats = BridgeStats::from_element(&text.parse().unwrap()).unwrap();
        assert_eq!((stats.stress_level, stats.drain), (None, None));
        let many = format!("<stats>{}</stats>", "<stat/>".repeat(MAX_STATS + 1));
        assert!(BridgeStats::from_element(&many.parse().unwrap()).is_err());
    }
}
