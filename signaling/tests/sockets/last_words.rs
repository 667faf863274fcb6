//! What somebody said is heard, though his line broke before it was read.

use signaling::Settings;
use xmpp::ns;

use crate::client::{Served, Tcp};
use crate::slow::{ROOM, focus_in_room, join, nick_of};

fn chat(text: &str) -> String {
    format!("<message xmlns='jabber:client' to='{ROOM}' type='groupchat'><body>{text}</body></message>")
}

#[tokio::test]
async fn last_words_over_tcp_are_heard() {
    let mut settings = Settings::default();
    settings.limits.client_burst_bytes = 8_000;
    let served = Served::start(settings).await;
    let _focus = focus_in_room(&served).await;
    let (mut leaver, mut stayer) = (served.guest().await, served.guest().await);
    let nicks = [nick_of(&stayer.jid), nick_of(&leaver.jid)];
    for (guest, nick) in [&mut stayer, &mut leaver].into_iter().zip(&nicks) {
        guest.send(&join(nick)).await;
        let own = format!("{ROOM}/{nick}");
        while guest.receive().await.attr("from") != Some(&own) {}
    }
    let leaver_is = format!("{ROOM}/{}", nicks[1]);
    while stayer.receive().await.attr("from") != Some(&leaver_is) {}
    // More than it may send at once: what comes behind it is read in half a second.
    leaver.send(&chat(&"a".repeat(16_000))).await;
    while stayer.receive().await.name() != "message" {}
    leaver.send(&chat("farewell")).await;
    let Tcp { socket, .. } = leaver;
    socket.set_zero_linger().unwrap();
    drop(socket);
    // Cannot be written to who is gone.
    stayer.send(&chat("are you there?")).await;
    let mut heard = Vec::new();
    while heard.last().is_none_or(|last| last != "farewell") {
        let message = stayer.receive().await;
        assert_eq!(message.name(), "message", "he is gone without a farewell: {message}");
        heard.extend(message.child("body", ns::CLIENT).map(xmpp::Element::text));
    }
}
