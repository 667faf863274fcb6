//! `mute`: a moderator asks the focus to mute somebody, the focus tells the one concerned.

use xmpp::jingle::{InvalidElement, read};
use xmpp::{Element, Jid, ns};

/// What is muted. Camera and screen share are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MuteMedia {
    /// Microphone.
    Audio,
    /// Camera.
    Video,
    /// Screen share.
    Desktop,
}

impl MuteMedia {
    /// The namespace of the `mute` element.
    #[must_use]
    pub const fn ns(self) -> &'static str {
        match self {
            Self::Audio => ns::MUTE_AUDIO,
            Self::Video => ns::MUTE_VIDEO,
            Self::Desktop => ns::MUTE_DESKTOP,
        }
    }

    /// The kind that a namespace stands for.
    #[must_use]
    pub fn from_ns(namespace: &str) -> Option<Self> {
        [Self::Audio, Self::Video, Self::Desktop].into_iter().find(|media| media.ns() == namespace)
    }
}

/// A request to mute or unmute, or the news of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mute {
    /// What is muted.
    pub media: MuteMedia,
    /// Occupant JID of the one concerned.
    pub jid: Jid,
    /// Occupant JID of who asked for it, from the focus only.
    pub actor: Option<Jid>,
    /// Mute, or unmute.
    pub muted: bool,
}

impl Mute {
    /// Reads a `mute` element.
    ///
    /// # Errors
    /// [`InvalidElement`] without a valid target or value.
    pub fn from_element(element: &Element) -> Result<Self, InvalidElement> {
        let media = MuteMedia::from_ns(element.ns()).filter(|_| element.name() == "mute");
        Ok(Self {
            media: media.ok_or(InvalidElement::UnexpectedElement { expected: "mute" })?,
            jid: read::required_parsed(element, "jid")?,
            actor: read::optional_parsed(element, "actor")?,
            muted: match element.text().trim() {
                "true" => true,
                "false" => false,
                other => return Err(read::invalid(element, "text", other)),
            },
        })
    }

    /// The `mute` element.
    #[must_use]
    pub fn to_element(&self) -> Element {
        Element::new("mute", self.media.ns())
            .with_attr("jid", self.jid.as_str())
            .with_opt_attr("actor", self.actor.as_ref())
            .with_text(self.muted.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_wrote() {
        for media in [MuteMedia::Audio, MuteMedia::Video, MuteMedia::Desktop] {
            let jid: Jid = "demo@muc/ef567890".parse().unwrap();
            let mute = Mute { media, jid: jid.clone(), actor: Some(jid), muted: true };
            assert_eq!(Mute::from_element(&mute.to_element()), Ok(mute));
        }
    }

    #[test]
    fn refuses_what_has_no_target_or_value() {
        for bad in [
            "<mute xmlns='http://jitsi.org/jitmeet/audio'>true</mute>",
            "<mute xmlns='http://jitsi.org/jitmeet/audio' jid='a@b/c'/>",
            "<mute xmlns='http://jitsi.org/jitmeet/audio' jid='@'>true</mute>",
            "<mute xmlns='http://jitsi.org/jitmeet/smell' jid='a@b/c'>true</mute>",
        ] {
            assert!(Mute::from_element(&bad.parse().unwrap()).is_err(), "{bad}");
        }
    }
}
