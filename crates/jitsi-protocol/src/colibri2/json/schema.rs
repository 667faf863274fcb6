//! Which member of a JSON object is which attribute or child of the XML form.

use xmpp::ns;

/// An object, and the element that it stands for.
pub(super) struct Object {
    pub(super) element: &'static str,
    pub(super) ns: &'static str,
    /// The attribute that a number or a string alone gives.
    pub(super) short: Option<&'static str>,
    pub(super) members: &'static [Member],
}

/// A member of an object.
pub(super) struct Member {
    pub(super) name: &'static str,
    pub(super) form: Form,
}

/// How a member stands in XML. Attributes have the name of the member.
pub(super) enum Form {
    /// A string: an attribute.
    Text,
    /// A boolean: an attribute.
    Flag,
    /// A number: an attribute.
    Number,
    /// A number, or a string that has one: an attribute.
    LooseNumber,
    /// A string, number or boolean: an attribute, and a string when written.
    LooseText,
    /// A string: the text of the element.
    Content,
    /// The name space, which is written only.
    Xmlns,
    /// `true`: an empty child of that name space.
    Mark(&'static str),
    /// An object: a child.
    One(&'static Object),
    /// An array: a child for each.
    Many(&'static Object),
    /// An array: a child of the member's name, with a child for each.
    ManyIn(&'static Object),
    /// An array of strings: a child with one attribute for each.
    Names { element: &'static str, ns: &'static str, attr: &'static str },
    /// An array of strings: a child of the member's name, with a child with a name for each.
    NamesIn(&'static str),
    /// An object of strings: a child with name and value for each.
    Parameters { element: &'static str, ns: &'static str },
}

const fn member(name: &'static str, form: Form) -> Member {
    Member { name, form }
}

const fn colibri(element: &'static str, members: &'static [Member]) -> Object {
    Object { element, ns: ns::COLIBRI2, short: None, members }
}

pub(super) static CONFERENCE_MODIFY: Object = colibri(
    "conference-modify",
    &[
        member("meeting-id", Form::Text),
        member("name", Form::Text),
        member("create", Form::Flag),
        member("expire", Form::Flag),
        member("rtcstats-enabled", Form::Flag),
        member("endpoints", Form::Many(&ENDPOINT)),
        member("relays", Form::Many(&RELAY)),
        member("connects", Form::ManyIn(&CONNECT)),
    ],
);

pub(super) static CONFERENCE_MODIFIED: Object = colibri(
    "conference-modified",
    &[
        member("endpoints", Form::Many(&ENDPOINT)),
        member("relays", Form::Many(&RELAY)),
        member("sources", Form::ManyIn(&MEDIA_SOURCE)),
    ],
);

static ENDPOINT: Object = colibri(
    "endpoint",
    &[
        member("id", Form::Text),
        member("create", Form::Flag),
        member("expire", Form::Flag),
        member("stats-id", Form::Text),
        member("muc-role", Form::Text),
        member("capabilities", Form::Names { element: "capability", ns: ns::COLIBRI2, attr: "name" }),
        member("medias", Form::Many(&MEDIA)),
        member("transport", Form::One(&TRANSPORT)),
        member("sources", Form::ManyIn(&MEDIA_SOURCE)),
        member("force-mute", Form::One(&FORCE_MUTE)),
        member("initial-last-n", Form::One(&INITIAL_LAST_N)),
        member("diarize", Form::Flag),
    ],
);

static RELAY: Object = colibri(
    "relay",
    &[
        member("id", Form::Text),
        member("create", Form::Flag),
        member("expire", Form::Flag),
        member("mesh-id", Form::Text),
        member("medias", Form::Many(&MEDIA)),
        member("transport", Form::One(&TRANSPORT)),
        member("endpoints", Form::ManyIn(&ENDPOINT)),
    ],
);

static CONNECT: Object = colibri(
    "connect",
    &[
        member("id", Form::Text),
        member("url", Form::Text),
        member("protocol", Form::Text),
        member("type", Form::Text),
        member("audio", Form::Flag),
        member("video", Form::Flag),
        member("create", Form::Flag),
        member("expire", Form::Flag),
        member("headers", Form::Parameters { element: "http-header", ns: ns::COLIBRI2 }),
        member("ping", Form::One(&CONNECT_PING)),
        member("exports", Form::NamesIn("export")),
        member("requests", Form::NamesIn("request")),
    ],
);

static CONNECT_PING: Object = colibri("ping", &[member("interval", Form::Number), member("timeout", Form::Number)]);

static FORCE_MUTE: Object = colibri("force-mute", &[member("audio", Form::Flag), member("video", Form::Flag)]);
static INITIAL_LAST_N: Object = colibri("initial-last-n", &[member("value", Form::Number)]);
static SCTP: Object = colibri("sctp", &[member("role", Form::Text), member("port", Form::Number)]);

static TRANSPORT: Object = colibri(
    "transport",
    &[
        member("ice-controlling", Form::Flag),
        member("use-unique-port", Form::Flag),
        member("ice-restart", Form::Flag),
        member("transport", Form::One(&ICE_TRANSPORT)),
        member("sctp", Form::One(&SCTP)),
    ],
);

static MEDIA: Object = colibri(
    "media",
    &[
        member("type", Form::Text),
        member("payload-types", Form::Many(&PAYLOAD_TYPE)),
        member("rtp-hdrexts", Form::Many(&HEADER_EXTENSION)),
        member("extmap-allow-mixed", Form::Mark(ns::JINGLE_RTP_HDREXT)),
    ],
);

static MEDIA_SOURCE: Object = colibri(
    "media-source",
    &[
        member("type", Form::Text),
        member("id", Form::Text),
        member("synthetic", Form::Flag),
        member("sources", Form::Many(&SOURCE)),
        member("ssrc-groups", Form::Many(&SSRC_GROUP)),
    ],
);

static PAYLOAD_TYPE: Object = Object {
    element: "payload-type",
    ns: ns::JINGLE_RTP,
    short: None,
    members: &[
        member("id", Form::LooseText),
        member("name", Form::LooseText),
        member("clockrate", Form::LooseText),
        member("channels", Form::LooseText),
        member("parameters", Form::Parameters { element: "parameter", ns: ns::JINGLE_RTP }),
        member("rtcp-fbs", Form::Many(&RTCP_FEEDBACK)),
    ],
};

static RTCP_FEEDBACK: Object = Object {
    element: "rtcp-fb",
    ns: ns::JINGLE_RTCP_FB,
    short: None,
    members: &[member("type", Form::Text), member("subtype", Form::Text)],
};

static HEADER_EXTENSION: Object = Object {
    element: "rtp-hdrext",
    ns: ns::JINGLE_RTP_HDREXT,
    short: None,
    members: &[member("id", Form::Number), member("uri", Form::Text)],
};

static SOURCE: Object = Object {
    element: "source",
    ns: ns::JINGLE_SSMA,
    short: Some("ssrc"),
    members: &[
        member("ssrc", Form::LooseNumber),
        member("name", Form::Text),
        member("videoType", Form::Text),
        member("rid", Form::Text),
        member("parameters", Form::Parameters { element: "parameter", ns: ns::JINGLE_SSMA }),
    ],
};

static SSRC_GROUP: Object = Object {
    element: "ssrc-group",
    ns: ns::JINGLE_SSMA,
    short: None,
    members: &[member("semantics", Form::Text), member("sources", Form::Many(&SOURCE))],
};

static ICE_TRANSPORT: Object = Object {
    element: "transport",
    ns: ns::JINGLE_ICE_UDP,
    short: None,
    members: &[
        member("xmlns", Form::Xmlns),
        member("ufrag", Form::LooseText),
        member("pwd", Form::LooseText),
        member("ice-generation", Form::LooseNumber),
        member("rtcp-mux", Form::Mark(ns::JINGLE_ICE_UDP)),
        member("fingerprints", Form::Many(&FINGERPRINT)),
        member("candidates", Form::Many(&CANDIDATE)),
        member("web-sockets", Form::Names { element: "web-socket", ns: ns::COLIBRI, attr: "url" }),
    ],
};

static FINGERPRINT: Object = Object {
    element: "fingerprint",
    ns: ns::JINGLE_DTLS,
    short: None,
    members: &[member("fingerprint", Form::Content), member("hash", Form::LooseText), member("setup", Form::LooseText)],
};

static CANDIDATE: Object = Object {
    element: "candidate",
    ns: ns::JINGLE_ICE_UDP,
    short: None,
    members: &[
        member("component", Form::LooseNumber),
        member("foundation", Form::LooseText),
        member("generation", Form::LooseNumber),
        member("id", Form::LooseText),
        member("ip", Form::LooseText),
        member("network", Form::LooseNumber),
        member("port", Form::LooseNumber),
        member("priority", Form::LooseNumber),
        member("protocol", Form::LooseText),
        member("tcptype", Form::LooseText),
        member("type", Form::LooseText),
        member("rel-addr", Form::LooseText),
        member("rel-port", Form::LooseNumber),
    ],
};
