//! `connects`: WebSockets over which a bridge gives the audio of a conference to recorders, transcribers and translators
//! (bridge.md §8).

use std::time::Duration;

use model::SourceName;
use xmpp::jingle::{InvalidElement, read};
use xmpp::{Element, ns};

/// Connects of one request: with translation, one or a few for each who speaks.
const MAX_CONNECTS: usize = 256;
/// Headers of one connect: tokens and a protocol.
const MAX_HTTP_HEADERS: usize = 32;
/// Sources that one connect names: those of a conference in all languages.
const MAX_NAMES: usize = 4096;
/// Longest URL and header: what HTTP servers take of a request line by default.
const MAX_TEXT_LEN: usize = 8192;
/// The one protocol that there is.
const MEDIAJSON: &str = "mediajson";

/// One `connect`: a WebSocket that the bridge opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// Names it within the conference. `None`: a focus of before 2026-06 means the only one that there is.
    pub id: Option<String>,
    /// `ws://…` or `wss://…`.
    pub url: String,
    /// `mediajson`.
    pub protocol: String,
    /// Who is at the other end.
    pub connect_type: ConnectType,
    /// Audio is wanted.
    pub audio: bool,
    /// Video is wanted.
    pub video: bool,
    /// It must not be there yet.
    pub create: bool,
    /// It ends.
    pub expire: bool,
    /// Sent with the request that opens the WebSocket; tokens, mostly.
    pub http_headers: Vec<HttpHeader>,
    /// Whether the other end is asked for signs of life.
    pub ping: Option<ConnectPing>,
    /// Sources to be sent; none named means all.
    pub exports: Vec<SourceName>,
    /// Sources that come back.
    pub requests: Vec<SourceName>,
}

/// `type` of a connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectType {
    /// Keeps what is said.
    Recorder,
    /// Writes it down.
    Transcriber,
    /// Says it in another language.
    Translator,
}

/// `http-header`.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpHeader {
    /// Letters, digits and `-`.
    pub name: String,
    /// Without line ends. Secret, as likely as not.
    pub value: String,
}

/// `ping`: how often, and how long the answer may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectPing {
    /// `interval`, in milliseconds on the wire.
    pub interval: Duration,
    /// `timeout`, in milliseconds on the wire.
    pub timeout: Duration,
}

impl std::fmt::Debug for HttpHeader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpHeader").field("name", &self.name).finish_non_exhaustive()
    }
}

impl ConnectType {
    const TABLE: [(Self, &'static str); 3] =
        [(Self::Recorder, "recorder"), (Self::Transcriber, "transcriber"), (Self::Translator, "translator")];

    /// The value of the attribute.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::TABLE.iter().find(|(known, _)| *known == self).map_or("recorder", |&(_, name)| name)
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::TABLE.iter().find(|(_, known)| known.eq_ignore_ascii_case(name)).map(|&(known, _)| known)
    }
}

impl Connect {
    /// One for audio that changes nothing yet.
    #[must_use]
    pub fn new(id: String, url: String, connect_type: ConnectType) -> Self {
        Self {
            id: Some(id),
            url,
            protocol: MEDIAJSON.to_owned(),
            connect_type,
            audio: true,
            video: false,
            create: false,
            expire: false,
            http_headers: Vec::new(),
            ping: None,
            exports: Vec::new(),
            requests: Vec::new(),
        }
    }

    /// Whether a URL is one of a WebSocket.
    #[must_use]
    pub fn is_web_socket(url: &str) -> bool {
        ["ws://", "wss://"].iter().any(|scheme| url.starts_with(scheme))
    }

    /// Whether this protocol is the one that there is.
    #[must_use]
    pub fn is_mediajson(&self) -> bool {
        self.protocol.eq_ignore_ascii_case(MEDIAJSON)
    }

    fn from_element(element: &Element) -> Result<Self, InvalidElement> {
        let text = |attribute| {
            let value = read::required(element, attribute)?;
            if value.len() > MAX_TEXT_LEN { Err(read::invalid(element, attribute, value)) } else { Ok(value) }
        };
        let url = text("url")?;
        if !Self::is_web_socket(url) {
            return Err(read::invalid(element, "url", url));
        }
        let connect_type = read::required(element, "type")?;
        Ok(Self {
            id: element.attr("id").map(|_| text("id").map(str::to_owned)).transpose()?,
            url: url.to_owned(),
            protocol: text("protocol")?.to_owned(),
            connect_type: ConnectType::from_name(connect_type)
                .ok_or_else(|| read::invalid(element, "type", connect_type))?,
            audio: read::flag(element, "audio")?,
            video: read::flag(element, "video")?,
            create: read::flag(element, "create")?,
            expire: read::flag(element, "expire")?,
            http_headers: read::list(element, "http-header", MAX_HTTP_HEADERS, HttpHeader::from_element)?,
            ping: element.child_named("ping").map(ConnectPing::from_element).transpose()?,
            exports: names(element, "exports", "export")?,
            requests: names(element, "requests", "request")?,
        })
    }

    fn to_element(&self) -> Element {
        let flag = |is_set: bool| is_set.then_some("true");
        Element::new("connect", ns::COLIBRI2)
            .with_opt_attr("id", self.id.as_deref())
            .with_attr("url", self.url.as_str())
            .with_attr("protocol", self.protocol.as_str())
            .with_attr("type", self.connect_type.as_str())
            .with_opt_attr("audio", flag(self.audio))
            .with_opt_attr("video", flag(self.video))
            .with_opt_attr("create", flag(self.create))
            .with_opt_attr("expire", flag(self.expire))
            .with_children(self.http_headers.iter().map(HttpHeader::to_element))
            .with_children(names_element("exports", "export", &self.exports))
            .with_children(names_element("requests", "request", &self.requests))
            .with_children(self.ping.map(ConnectPing::to_element))
    }
}

impl HttpHeader {
    /// Whether a header of a connect may have this name: letters, digits and `-`.
    #[must_use]
    pub fn is_name(name: &str) -> bool {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    }

    fn from_element(element: &Element) -> Result<Self, InvalidElement> {
        let name = read::required(element, "name")?;
        if name.len() > MAX_TEXT_LEN || !Self::is_name(name) {
            return Err(read::invalid(element, "name", name));
        }
        let value = read::required(element, "value")?;
        if value.len() > MAX_TEXT_LEN {
            return Err(read::invalid(element, "value", value));
        }
        Ok(Self { name: name.to_owned(), value: value.replace(['\r', '\n'], "") })
    }

    fn to_element(&self) -> Element {
        Element::new("http-header", ns::COLIBRI2)
            .with_attr("name", self.name.as_str())
            .with_attr("value", self.value.as_str())
    }
}

impl ConnectPing {
    fn from_element(element: &Element) -> Result<Self, InvalidElement> {
        let time =
            |attribute| read::required_parsed(element, attribute).map(|ms: u32| Duration::from_millis(ms.into()));
        Ok(Self { interval: time("interval")?, timeout: time("timeout")? })
    }

    fn to_element(self) -> Element {
        Element::new("ping", ns::COLIBRI2)
            .with_attr("interval", self.interval.as_millis().to_string())
            .with_attr("timeout", self.timeout.as_millis().to_string())
    }
}

/// Reads the children of a `connects` element.
pub(super) fn connects(element: &Element) -> Result<Vec<Connect>, InvalidElement> {
    read::list(element, "connect", MAX_CONNECTS, Connect::from_element)
}

/// The `connects` element.
pub(super) fn connects_element(connects: &[Connect]) -> Element {
    Element::new("connects", ns::COLIBRI2).with_children(connects.iter().map(Connect::to_element))
}

fn names(element: &Element, list: &str, item: &'static str) -> Result<Vec<SourceName>, InvalidElement> {
    let Some(list) = element.child_named(list) else { return Ok(Vec::new()) };
    read::list(list, item, MAX_NAMES, |item| read::required_parsed(item, "name"))
}

fn names_element(list: &'static str, item: &'static str, names: &[SourceName]) -> Option<Element> {
    let items = names.iter().map(|name| Element::new(item, ns::COLIBRI2).with_attr("name", name.as_str()));
    (!names.is_empty()).then(|| Element::new(list, ns::COLIBRI2).with_children(items))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xml(attributes: &str, children: &str) -> Element {
        let text = format!(
            "<connects xmlns='jitsi:colibri2'><connect {attributes}>{children}<surprise/></connect><new/></connects>"
        );
        text.parse().unwrap()
    }

    fn read(attributes: &str, children: &str) -> Result<Connect, InvalidElement> {
        connects(&xml(attributes, children)).map(|mut connects| connects.remove(0))
    }

    const LEAST: &str = "url='wss://x/1' protocol='mediajson' type='transcriber'";

    #[test]
    fn reads_what_it_wrote() {
        let children = "<http-header name='Authorization' value='Bearer&#10; x'/><ping interval='10000' timeout='3000'/>\
                        <exports><export name='a1b2c3d4-a0'/></exports><requests><request name='a1b2c3d4-a0.de'/></requests>";
        let connect = read(&format!("{LEAST} id='translator' audio='true' create='true'"), children).unwrap();
        assert_eq!(connect.id.as_deref(), Some("translator"));
        assert!(connect.audio && connect.create && !connect.video && !connect.expire && connect.is_mediajson());
        assert_eq!(connect.http_headers[0].value, "Bearer x", "a line end would begin another header");
        assert_eq!(connect.ping.unwrap().timeout, Duration::from_secs(3));
        assert_eq!((connect.exports[0].as_str(), connect.requests[0].as_str()), ("a1b2c3d4-a0", "a1b2c3d4-a0.de"));
        let written = connects_element(std::slice::from_ref(&connect)).to_string().parse().unwrap();
        assert_eq!(connects(&written), Ok(vec![connect]));
    }

    #[test]
    fn a_focus_of_before_ids_names_none() {
        assert_eq!(read(LEAST, "").unwrap().id, None);
        assert_eq!(read("url='ws://x' protocol='other' type='RECORDER'", "").unwrap().protocol, "other");
    }

    #[test]
    fn refuses_what_is_none() {
        for (attributes, children) in [
            ("protocol='mediajson' type='recorder'", ""),
            ("url='http://x' protocol='mediajson' type='recorder'", ""),
            ("url='ws://x' type='recorder'", ""),
            ("url='ws://x' protocol='mediajson' type='poet'", ""),
            (LEAST, "<http-header name='a b' value='x'/>"),
            (LEAST, "<http-header name='' value='x'/>"),
            (LEAST, "<http-header name='a'/>"),
            (LEAST, "<ping interval='1'/>"),
            (LEAST, "<ping interval='-1' timeout='1'/>"),
            (LEAST, "<exports><export/></exports>"),
        ] {
            assert!(read(attributes, children).is_err(), "{attributes} {children}");
        }
    }

    #[test]
    fn values_of_headers_are_not_shown() {
        let connect = read(LEAST, "<http-header name='Authorization' value='secret'/>").unwrap();
        assert!(!format!("{connect:?}").contains("secret"));
    }
}
