//! Seeds of stanzas, in the words of a Jitsi client and its servers.

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
