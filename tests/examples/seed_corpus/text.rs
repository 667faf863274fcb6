//! Seeds of stanzas and JSON, in the words of a Jitsi client and its servers.

use crate::{Seed, seed};

const JINGLE: &str = "<iq xmlns='jabber:client' type='set' id='j1' from='demo@muc.meet.example/focus' to='a1b2c3d4-0@meet.example/r'>\
<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' initiator='demo@muc.meet.example/focus' sid='5fa9c'>\
<group xmlns='urn:xmpp:jingle:apps:grouping:0' semantics='BUNDLE'><content name='audio'/><content name='video'/></group>\
<content creator='initiator' name='video' senders='both'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='video'>\
<payload-type id='100' name='VP8' clockrate='90000'><rtcp-fb xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' type='nack' subtype='pli'/>\
<parameter name='x-google-start-bitrate' value='800'/></payload-type><payload-type id='96' name='rtx' clockrate='90000'>\
<parameter name='apt' value='100'/></payload-type><rtp-hdrext xmlns='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0' id='5' \
uri='http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01'/><rtcp-mux/>\
<source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='1234567890' name='jvb-v0'><parameter name='msid' value='mixedmslabel mixedlabelvideo0'/>\
<ssrc-info xmlns='http://jitsi.org/jitmeet' owner='jvb'/></source></description>\
<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='8f2kq1' pwd='0123456789abcdef01234567'>\
<fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' hash='sha-256' setup='actpass'>4A:AD:B9</fingerprint>\
<candidate component='1' foundation='1' generation='0' id='c1' ip='127.0.0.1' network='0' port='10000' priority='2130706431' protocol='udp' type='host'/>\
</transport></content></jingle></iq>";

const OPEN: &str = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='meet.example' version='1.0'/>";
const AUTH: &str = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGp2YgBzZWNyZXQ=</auth>";
const BIND: &str =
    "<iq type='set' id='_bind_auth_2' xmlns='jabber:client'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
const JOIN: &str = "<presence xmlns='jabber:client' to='demo@muc.meet.example/abcd1234'><x xmlns='http://jabber.org/protocol/muc'/>\
<SourceInfo>{&quot;abcd1234-a0&quot;:{&quot;muted&quot;:true}}</SourceInfo><nick xmlns='http://jabber.org/protocol/nick'>Aïssatou &amp; &#x1F44D;</nick></presence>";
const CONFERENCE: &str = "<iq type='set' to='focus.meet.example' id='c1' xmlns='jabber:client'><conference xmlns='http://jitsi.org/protocol/focus' \
room='demo@muc.meet.example' machine-uid='9f'><property name='startAudioMuted' value='9'/></conference></iq>";

pub(crate) fn xml() -> Vec<Seed> {
    vec![
        seed("open", OPEN),
        seed("auth-plain", AUTH),
        seed("bind", BIND),
        seed("enable", "<enable xmlns='urn:xmpp:sm:3' resume='true'/>"),
        seed("resume", "<resume xmlns='urn:xmpp:sm:3' h='17' previd='sm_AbC-12'/>"),
        seed("ack", "<a xmlns='urn:xmpp:sm:3' h='4294967295'/>"),
        seed("join", JOIN),
        seed("conference-request", CONFERENCE),
        seed("session-initiate", JINGLE),
        seed(
            "ping",
            "<iq type='get' to='meet.example' id='p1' xmlns='jabber:client'><ping xmlns='urn:xmpp:ping'/></iq>",
        ),
        seed(
            "groupchat",
            "<message xmlns='jabber:client' type='groupchat' to='demo@muc.meet.example' xml:lang='fr'><body>Ça va ?</body></message>",
        ),
        seed(
            "features-with-prefix",
            "<stream:features xmlns:stream='http://etherx.jabber.org/streams'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><required/></bind></stream:features>",
        ),
        seed("foreign-attribute", "<a xmlns='x' xmlns:b='y' b:c='1' c='2'/>"),
        seed("cdata", "<body xmlns='x'><![CDATA[1 < 2 & 3]]></body>"),
        seed("mixed-content", "<a xmlns='x'>one<b/>two<b/>\r\n\tthree</a>"),
        seed("attribute-with-newline", "<a xmlns='x' b='1&#10;2&#9;&#xd;3'/>"),
        seed("doctype", "<!DOCTYPE a [<!ENTITY b 'c'>]><a xmlns='x'>&b;</a>"),
        seed("comment", "<a xmlns='x'><!-- no --></a>"),
        seed("instruction", "<?xml version='1.0'?><a xmlns='x'/>"),
        seed("two-elements", "<a xmlns='x'/><b xmlns='x'/>"),
        seed("unclosed", "<iq xmlns='jabber:client' type='get'"),
        seed("unbound-prefix", "<a:b c='d'/>"),
        seed("no-namespace", "<a b='c'/>"),
        seed("forbidden-character", "<a xmlns='x'>\u{1}</a>"),
        seed("nested", ["<a xmlns='x'>".repeat(40), "</a>".repeat(40)].concat()),
    ]
}

const COLIBRI_CREATE: &str = "<iq xmlns='jabber:client' type='set' id='m1' from='jvbbrewery@internal-muc.meet.example/focus' to='jvbbrewery@internal-muc.meet.example/jvb'>\
<conference-modify xmlns='jitsi:colibri2' meeting-id='6b1c' name='demo@muc.meet.example' create='true'><endpoint id='a1b2c3d4' create='true' stats-id='Ada-x1y' muc-role='moderator'>\
<capability name='source-names'/><media type='audio'><payload-type xmlns='urn:xmpp:jingle:apps:rtp:1' id='111' name='opus' clockrate='48000' channels='2'>\
<parameter name='useinbandfec' value='1'/></payload-type><rtp-hdrext xmlns='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0' id='1' uri='urn:ietf:params:rtp-hdrext:ssrc-audio-level'/></media>\
<transport ice-controlling='true'><sctp/></transport></endpoint></conference-modify></iq>";
const COLIBRI_UPDATE: &str = "<conference-modify xmlns='jitsi:colibri2' meeting-id='6b1c'><endpoint id='a1b2c3d4'><transport>\
<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='Zk3T' pwd='hQ'><fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' hash='sha-256' setup='active'>11:22</fingerprint></transport></transport>\
<sources><media-source type='video' id='a1b2c3d4-v0'><source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='2001' name='a1b2c3d4-v0' videoType='camera'/>\
<ssrc-group xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' semantics='FID'><source ssrc='2001'/><source ssrc='3001'/></ssrc-group></media-source></sources>\
<initial-last-n value='5'/><force-mute audio='true' video='false'/></endpoint><endpoint id='eeff0011' expire='true'/></conference-modify>";
const COLIBRI_CONNECTS: &str = "<conference-modify xmlns='jitsi:colibri2' meeting-id='6b1c'><connects><connect id='translator' url='wss://a/b' protocol='mediajson' type='translator' audio='true' create='true'>\
<http-header name='Authorization' value='Bearer x'/><exports><export name='a1b2c3d4-a0'/></exports><requests><request name='a1b2c3d4-a0.de'/></requests><ping interval='10000' timeout='3000'/></connect></connects></conference-modify>";
const COLIBRI_ANSWER: &str = "<conference-modified xmlns='jitsi:colibri2'><endpoint id='a1b2c3d4'><transport><sctp port='5000' role='server'/>\
<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='8f2kq1' pwd='0123456789abcdef01234567'><rtcp-mux/><web-socket xmlns='http://jitsi.org/protocol/colibri' url='wss://meet.example/colibri-ws/default-id/6b1c/a1b2c3d4?pwd=1'/>\
<candidate component='1' foundation='1' generation='0' id='c1' ip='127.0.0.1' port='10000' priority='2130706431' protocol='udp' type='srflx' rel-addr='10.0.0.1' rel-port='10000'/></transport></transport></endpoint>\
<sources><media-source type='audio' id='jvb-a0'><source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='2222' name='jvb-a0'/></media-source></sources></conference-modified>";
const ACCEPT: &str = "<iq xmlns='jabber:client' type='set' id='j2' to='demo@muc.meet.example/focus'><jingle xmlns='urn:xmpp:jingle:1' action='session-accept' responder='a1b2c3d4-0@meet.example/r' sid='5fa9c'>\
<content creator='responder' name='video'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='video'><source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='1001' name='a1b2c3d4-v0' videoType='camera'>\
<parameter name='msid' value='a1b2c3d4-video-0-1 c0ffee-1'/></source><ssrc-group xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' semantics='SIM'><source ssrc='1001'/><source ssrc='1002'/><source ssrc='1003'/></ssrc-group></description>\
<initial-last-n xmlns='jitsi:colibri2' value='20'/></content><content creator='responder' name='data'><description xmlns='http://jitsi.org/jitmeet' media='application'/>\
<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='Xy7a' pwd='0123456789abcdefABCDEF'><sctpmap xmlns='urn:xmpp:jingle:transports:dtls-sctp:1' number='5000' protocol='webrtc-datachannel' streams='1024'/></transport></content></jingle></iq>";
const TERMINATE: &str = "<iq xmlns='jabber:client' type='set' id='j3'><jingle xmlns='urn:xmpp:jingle:1' action='session-terminate' sid='5fa9c'><reason><connectivity-error/><text>ICE FAILED</text></reason>\
<bridge-session xmlns='http://jitsi.org/protocol/focus' id='5fa9c_1' restart='true'/></jingle></iq>";
const SOURCES_JSON: &str = "<iq xmlns='jabber:client' type='set' id='j4'><jingle xmlns='urn:xmpp:jingle:1' action='source-add' sid='5fa9c'><json-message xmlns='http://jitsi.org/jitmeet'>\
{\"sources\":{\"ef567890\":[[{\"s\":\"1111111111\",\"n\":\"ef567890-v0\",\"m\":\"a b\",\"v\":\"d\"}],[[\"f\",\"1111111111\",\"2222222222\"]],[{\"s\":4444444444,\"n\":\"ef567890-a0\"}],[]]}}</json-message></jingle></iq>";
const PRESENCE: &str = "<presence xmlns='jabber:client' from='demo@muc.meet.example/a1b2c3d4' to='e@meet.example/r' type='unavailable'><x xmlns='http://jabber.org/protocol/muc#user'>\
<item affiliation='none' role='none' jid='a1b2c3d4-0@meet.example/r' nick='x'><actor nick='boss'/><reason>bye</reason></item><status code='110'/><status code='307'/><destroy jid='other@muc.meet.example'><reason>moved</reason></destroy></x></presence>";
const BREWERY: &str = "<presence xmlns='jabber:client' to='jvbbrewery@internal-muc.meet.example/jvb'><stats xmlns='http://jitsi.org/protocol/colibri'><stat name='stress_level' value='0.25'/>\
<stat name='version' value='0.1.0'/><stat name='colibri2' value='true'/><stat name='graceful_shutdown' value='false'/></stats></presence>";
const FORM: &str = "<iq xmlns='jabber:client' type='set' id='o1' to='demo@muc.meet.example'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'>\
<field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field><field var='muc#roomconfig_membersonly'><value>1</value></field></x></query></iq>";

pub(crate) fn stanza() -> Vec<Seed> {
    vec![
        seed("session-initiate", JINGLE),
        seed("session-accept", ACCEPT),
        seed("session-terminate", TERMINATE),
        seed("source-add-json", SOURCES_JSON),
        seed("colibri-create", COLIBRI_CREATE),
        seed("colibri-update", COLIBRI_UPDATE),
        seed("colibri-connects", COLIBRI_CONNECTS),
        seed("colibri-answer", COLIBRI_ANSWER),
        seed("conference-request", CONFERENCE),
        seed(
            "conference-ready",
            "<iq type='result' id='c1' xmlns='jabber:client'><conference xmlns='http://jitsi.org/protocol/focus' room='demo@muc.meet.example' ready='true' focusjid='focus@auth.meet.example'><property name='authentication' value='false'/></conference></iq>",
        ),
        seed(
            "mute",
            "<iq xmlns='jabber:client' type='set' id='m1'><mute xmlns='http://jitsi.org/jitmeet/audio' jid='demo@muc.meet.example/ef567890'>true</mute></iq>",
        ),
        seed(
            "session-info-ice-restart",
            "<jingle xmlns='urn:xmpp:jingle:1' action='session-info' sid='1'><bridge-session xmlns='http://jitsi.org/protocol/focus' ice-restart='true' id='5fa9c_1'/></jingle>",
        ),
        seed(
            "session-info-ice-failed",
            "<jingle xmlns='urn:xmpp:jingle:1' action='session-info' sid='1'><ice-state xmlns='http://jitsi.org/protocol/focus'>failed</ice-state></jingle>",
        ),
        seed(
            "transport-info",
            "<jingle xmlns='urn:xmpp:jingle:1' action='transport-info' sid='1'><content name='audio'><transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ice-generation='1' ufrag='abcd' pwd='0123456789012345678901'/></content></jingle>",
        ),
        seed("kicked", PRESENCE),
        seed("brewery", BREWERY),
        seed("room-form", FORM),
        seed(
            "kick",
            "<iq xmlns='jabber:client' type='set' id='k1'><query xmlns='http://jabber.org/protocol/muc#admin'><item nick='ef567890' role='none'><reason>noise</reason></item></query></iq>",
        ),
        seed(
            "disco-info",
            "<iq xmlns='jabber:client' type='result' id='d1'><query xmlns='http://jabber.org/protocol/disco#info'><identity category='component' type='room_metadata' name='metadata.meet.example'/><feature var='urn:xmpp:ping'/></query></iq>",
        ),
        seed(
            "error",
            "<iq xmlns='jabber:client' type='error' id='e1'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>no</text><a xmlns='b'/></error></iq>",
        ),
        seed(
            "bound",
            "<iq xmlns='jabber:client' type='result' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>a1b2c3d4-0@meet.example/r</jid></bind></iq>",
        ),
        seed("auth-plain", AUTH),
        seed("resume", "<resume xmlns='urn:xmpp:sm:3' h='17' previd='sm_AbC-12'/>"),
        seed("enabled", "<enabled xmlns='urn:xmpp:sm:3' id='sm_AbC-12' resume='true' max='60'/>"),
        seed(
            "failed",
            "<failed xmlns='urn:xmpp:sm:3' h='3'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>",
        ),
        seed("odd-jids", "<message xmlns='jabber:client' to='\u{fc}ber@b\u{fc}cher.example/\u{2163}' from='@/a@b'/>"),
    ]
}

pub(crate) fn media_json() -> Vec<Seed> {
    vec![
        seed("pong", r#"{"event":"pong","id":3}"#),
        seed(
            "result",
            r#"{"event":"transcription-result","transcript":[{"text":"hello"}],"is_interim":true,"stability":0.9}"#,
        ),
        seed(
            "media",
            r#"{"event":"media","sequenceNumber":"7","media":{"tag":"a1b2c3d4-a0.de","chunk":"65537","timestamp":4294967297,"payload":"/AAA","vad":true}}"#,
        ),
        seed(
            "start",
            r#"{"event":"start","sequenceNumber":"1","start":{"tag":"a1b2c3d4-a0.de","mediaFormat":{"encoding":"opus"},"timestamp":7}}"#,
        ),
        seed(
            "stop",
            r#"{"event":"stop","stop":{"tag":"a1b2c3d4-a0.de","mediaInfo":{"bytesSent":"1","duration":"2"}}}"#,
        ),
        seed("info", r#"{"event":"info","application":"scribe","n":[null,1e400]}"#),
    ]
}

pub(crate) fn bridge_channel() -> Vec<Seed> {
    vec![
        seed("client-hello", r#"{"colibriClass":"ClientHello"}"#),
        seed(
            "receiver-video-constraints",
            r#"{"colibriClass":"ReceiverVideoConstraints","lastN":20,"selectedSources":[],"onStageSources":["ee22aa11-v0"],"defaultConstraints":{"maxHeight":180},"constraints":{"ee22aa11-v0":{"maxHeight":720,"maxFrameRate":30}},"assumedBandwidthBps":-1}"#,
        ),
        seed("last-n", r#"{"colibriClass":"LastNChangedEvent","lastN":-1}"#),
        seed(
            "audio-subscription",
            r#"{"colibriClass":"ReceiverAudioSubscription","all":true,"include":[],"exclude":["a-a0"]}"#,
        ),
        seed(
            "audio-subscription-mode",
            r#"{"colibriClass":"ReceiverAudioSubscription","mode":"Include","list":["a-a0"]}"#,
        ),
        seed(
            "source-video-type",
            r#"{"colibriClass":"SourceVideoTypeMessage","videoType":"desktop_high_fps","sourceName":"a-v1"}"#,
        ),
        seed("video-type", r#"{"colibriClass":"VideoTypeMessage","videoType":"none"}"#),
        seed(
            "endpoint-message",
            r#"{"colibriClass":"EndpointMessage","to":"","from":"spoofed","msgPayload":{"a":1,"a":[null,1e400,"\ud83d\ude00"]},"x":[true]}"#,
        ),
        seed(
            "endpoint-stats",
            r#"{"colibriClass":"EndpointStats","from":"a1b2c3d4","bitrate":{"upload":1},"jvbRTT":12.5}"#,
        ),
        seed("server-hello", r#"{"colibriClass":"ServerHello","version":"0.1.0"}"#),
        seed(
            "dominant-speaker",
            r#"{"colibriClass":"DominantSpeakerEndpointChangeEvent","dominantSpeakerEndpoint":"ee22aa11","previousSpeakers":["a1b2c3d4"],"silence":false}"#,
        ),
        seed("forwarded-sources", r#"{"colibriClass":"ForwardedSources","forwardedSources":["ee22aa11-v0"]}"#),
        seed(
            "sender-source-constraints",
            r#"{"colibriClass":"SenderSourceConstraints","sourceName":"a1b2c3d4-v0","maxHeight":720}"#,
        ),
        seed(
            "video-sources-map",
            r#"{"colibriClass":"VideoSourcesMap","mappedSources":[{"source":"e-v0","owner":null,"ssrc":1,"rtx":"-1","videoType":"DESKTOP_HIGH_FPS","mid":"v0"}]}"#,
        ),
        seed(
            "audio-sources-map",
            r#"{"colibriClass":"AudioSourcesMap","mappedSources":[{"source":"e-a0","owner":"e","ssrc":4294967295}]}"#,
        ),
        seed("connection-stats", r#"{"colibriClass":"ConnectionStats","estimatedDownlinkBandwidth":2500000}"#),
        seed(
            "connectivity",
            r#"{"colibriClass":"EndpointConnectivityStatusChangeEvent","endpoint":"a1b2c3d4","active":"false"}"#,
        ),
        seed("unknown-class", r#"{"colibriClass":"Unheard"}"#),
        seed("height-as-text", r#"{"colibriClass":"SenderSourceConstraints","sourceName":"a-v0","maxHeight":"720"}"#),
        seed("deep", format!(r#"{{"colibriClass":"EndpointMessage","m":{}{}}}"#, "[".repeat(200), "]".repeat(200))),
        seed("array", "[]"),
    ]
}

pub(crate) fn conference_request() -> Vec<Seed> {
    vec![
        seed(
            "full",
            r#"{"room":"demo@muc.meet.example","machineUid":"9f","sessionId":"s-77","properties":{"startAudioMuted":9,"rtcstatsEnabled":false,"visitors-version":1,"name":"x","no":null}}"#,
        ),
        seed("least", r#"{"room":"demo@muc.meet.example"}"#),
        seed("no-room", r#"{"properties":{}}"#),
        seed("room-with-resource", r#"{"room":"demo@muc.meet.example/x"}"#),
        seed("no-object", "null"),
    ]
}
