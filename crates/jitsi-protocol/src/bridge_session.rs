//! Jitsi's children of `jingle`: the session on a bridge, its ICE state, the start-muted policy, the first last-n.

use xmpp::jingle::{Content, InvalidElement, Jingle, read};
use xmpp::{Element, ns};

/// `bridge-session`: which session on a bridge a Jingle session stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BridgeSession {
    /// Chosen by the focus for each conference on a bridge; clients repeat it.
    pub id: Option<String>,
    /// Where the bridge is.
    pub region: Option<String>,
    /// In `session-terminate`: the client wants a new session.
    pub restart: bool,
    /// In `session-info`: the client wants new ICE credentials in this session.
    pub ice_restart: bool,
}

impl BridgeSession {
    /// Reads the `bridge-session` of a message, if it has one.
    ///
    /// # Errors
    /// [`InvalidElement`] on a bad flag.
    pub fn of_jingle(jingle: &Jingle) -> Result<Option<Self>, InvalidElement> {
        let Some(element) = jingle.extension("bridge-session", ns::FOCUS) else { return Ok(None) };
        Ok(Some(Self {
            id: element.attr("id").map(str::to_owned),
            region: element.attr("region").map(str::to_owned),
            restart: read::flag(element, "restart")?,
            ice_restart: read::flag(element, "ice-restart")?,
        }))
    }

    /// The `bridge-session` element.
    #[must_use]
    pub fn to_element(&self) -> Element {
        Element::new("bridge-session", ns::FOCUS)
            .with_opt_attr("id", self.id.as_deref())
            .with_opt_attr("region", self.region.as_deref())
            .with_opt_attr("restart", self.restart.then_some("true"))
            .with_opt_attr("ice-restart", self.ice_restart.then_some("true"))
    }
}

/// Whether a `session-info` reports that ICE failed. Every other state of `ice-state` is of no consequence.
#[must_use]
pub fn reports_ice_failure(jingle: &Jingle) -> bool {
    jingle.extension("ice-state", ns::FOCUS).is_some_and(|state| state.text().trim() == "failed")
}

/// `startmuted`: what a client shall mute when it joins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StartMuted {
    /// Mute the microphone.
    pub audio: bool,
    /// Mute the camera.
    pub video: bool,
}

impl StartMuted {
    /// The `startmuted` element.
    #[must_use]
    pub fn to_element(self) -> Element {
        Element::new("startmuted", ns::START_MUTED)
            .with_attr("audio", self.audio.to_string())
            .with_attr("video", self.video.to_string())
    }
}

/// `initial-last-n` of a content: how many videos a client wants until it says so on the bridge channel.
///
/// # Errors
/// [`InvalidElement`] without a number.
pub fn initial_last_n(content: &Content) -> Result<Option<i32>, InvalidElement> {
    let in_description = content.description.iter().flat_map(|description| &description.extensions);
    let found = content.extensions.iter().chain(in_description).find(|child| child.is("initial-last-n", ns::COLIBRI2));
    found.map(|element| read::required_parsed(element, "value")).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jingle(children: &str) -> Jingle {
        let text = format!("<jingle xmlns='urn:xmpp:jingle:1' action='session-info' sid='s'>{children}</jingle>");
        Jingle::from_element(&text.parse().unwrap()).unwrap()
    }

    #[test]
    fn reads_the_bridge_session_of_a_message() {
        let message = jingle("<bridge-session xmlns='http://jitsi.org/protocol/focus' id='b' ice-restart='true'/>");
        let session = BridgeSession::of_jingle(&message).unwrap().unwrap();
        assert!(session.ice_restart && !session.restart);
        assert_eq!(session.id.as_deref(), Some("b"));
        assert!(BridgeSession::of_jingle(&jingle("")).unwrap().is_none());
        let bad = jingle("<bridge-session xmlns='http://jitsi.org/protocol/focus' restart='perhaps'/>");
        assert!(BridgeSession::of_jingle(&bad).is_err());
    }

    #[test]
    fn only_failed_counts_as_failure() {
        let state = |text| jingle(&format!("<ice-state xmlns='http://jitsi.org/protocol/focus'>{text}</ice-state>"));
        assert!(reports_ice_failure(&state("failed")));
        assert!(!reports_ice_failure(&state("connected")));
        assert!(!reports_ice_failure(&jingle("")));
    }

    #[test]
    fn finds_the_first_last_n_in_content_and_description() {
        let content = |text: &str| Content::from_element(&text.parse().unwrap()).unwrap();
        let last_n = "<initial-last-n xmlns='jitsi:colibri2' value='20'/>";
        let direct = format!("<content xmlns='urn:xmpp:jingle:1' name='video'>{last_n}</content>");
        assert_eq!(initial_last_n(&content(&direct)), Ok(Some(20)));
        let nested = format!(
            "<content xmlns='urn:xmpp:jingle:1' name='video'><description xmlns='urn:xmpp:jingle:apps:rtp:1' \
             media='video'>{last_n}</description></content>"
        );
        assert_eq!(initial_last_n(&content(&nested)), Ok(Some(20)));
        assert_eq!(initial_last_n(&content("<content xmlns='urn:xmpp:jingle:1' name='v'/>")), Ok(None));
    }
}
