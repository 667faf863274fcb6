//! A socket that is not read: its queue fills, it is closed and counted, and nobody else waits for it.

use std::net::SocketAddr;

use signaling::Settings;
use tokio::net::{TcpSocket, TcpStream};
use xmpp::Element;

use crate::client::{Served, Tcp, Ws};

pub(crate) const ROOM: &str = "demo@muc.meet.jitsi";
/// Together more than the buffers of the kernel hold, which grow to some megabytes.
const MESSAGES: usize = 600;
const MESSAGE_BYTES: usize = 40_000;

fn small_queues() -> Settings {
    let mut settings = Settings::default();
    settings.limits.client_queue = 100;
    // A machine with more to do takes longer for all this than clients that answer no pings may stay.
    settings.timeouts.probe_after = std::time::Duration::from_secs(3600);
    settings
}

pub(crate) fn join(nick: &str) -> String {
    format!("<presence xmlns='jabber:client' to='{ROOM}/{nick}'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
}

pub(crate) fn nick_of(jid: &str) -> String {
    jid.chars().take(8).collect()
}

/// A connection whose own buffer is small.
async fn narrow(address: SocketAddr) -> Tcp<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    Tcp::over(socket.connect(address).await.unwrap())
}

pub(crate) async fn focus_in_room(served: &Served) -> net::Link {
    let mut focus = served.handle.attach_service("focus").unwrap();
    focus.recv().await.unwrap();
    focus.send(join("focus").parse().unwrap()).await;
    focus.recv().await.unwrap();
    focus
}

/// While somebody in the room does not read, the focus speaks and drops what comes back, and another one gets all that it says.
async fn others_do_not_wait(served: &Served, focus: &mut net::Link) {
    let mut reader = served.guest().await;
    reader.send(&join(&nick_of(&reader.jid))).await;
    let body = "x".repeat(MESSAGE_BYTES);
    let reading = async {
        let mut seen = 0;
        while seen < MESSAGES {
            seen += usize::from(reader.receive().await.name() == "message");
        }
    };
    let speaking = async {
        for number in 0..MESSAGES {
            let message: Element = format!(
                "<message xmlns='jabber:client' to='{ROOM}' type='groupchat' id='{number}'><body>{body}</body></message>"
            )
            .parse()
            .unwrap();
            focus.send(message).await;
            // Its own copy, so that it is not faster than the server.
            while !matches!(focus.recv().await, Some(net::LinkEvent::Stanza(stanza)) if stanza.name() == "message") {}
        }
    };
    tokio::join!(reading, speaking);
    assert_eq!(queue_full(served), 1);
    reader.ping().await;
}

fn queue_full(served: &Served) -> u64 {
    served.handle.metrics().sessions_ended.with_label_values(&["queue_full"]).get()
}

#[tokio::test]
async fn a_slow_reader_over_tcp_is_closed_and_nobody_waits_for_it() {
    let served = Served::start(small_queues()).await;
    let mut focus = focus_in_room(&served).await;
    let mut slow = narrow(served.plain_tcp).await;
    slow.open("meet.jitsi").await;
    slow.log_in(&"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>".parse().unwrap()).await;
    slow.bind("meet.jitsi").await;
    slow.send(&join(&nick_of(&slow.jid))).await;
    slow.receive().await;
    others_do_not_wait(&served, &mut focus).await;
}

#[tokio::test]
async fn a_slow_reader_over_websocket_is_closed_and_nobody_waits_for_it() {
    let served = Served::start(small_queues()).await;
    let mut focus = focus_in_room(&served).await;
    let mut slow = Ws::guest(&served).await;
    slow.send("<iq xmlns='jabber:client' type='get' id='i' to='meet.jitsi'><ping xmlns='urn:xmpp:ping'/></iq>").await;
    let own = slow.receive().await.attr("to").unwrap().to_owned();
    slow.send(&join(&nick_of(&own))).await;
    slow.receive().await;
    others_do_not_wait(&served, &mut focus).await;
}

#[tokio::test]
async fn a_client_that_does_not_fetch_what_waits_for_it_is_told_so_at_last() {
    let served = Served::start(small_queues()).await;
    let focus = focus_in_room(&served).await;
    let (mut bosh, jid) = crate::bosh::Bosh::guest(&served).await;
    for _ in 0..200 {
        focus.send(format!("<message xmlns='jabber:client' to='{jid}'/>").parse().unwrap()).await;
    }
    while queue_full(&served) == 0 {
        tokio::task::yield_now().await;
    }
    let answer = bosh.send("", "").await;
    assert_eq!(answer.attr("condition"), Some("policy-violation"), "{answer}");
}
