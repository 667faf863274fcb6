//! What guests try on each other once they are bound, over every transport alike: the rooms hold.

use std::time::Duration;

use signaling::Settings;
use tokio::time::timeout;
use xmpp::{Element, ns};

use crate::client::Served;
use crate::guest::Guest;

const ROOM: &str = "demo@muc.meet.jitsi";

fn join(nick: &str, extensions: &str) -> String {
    format!(
        "<presence xmlns='jabber:client' to='{ROOM}/{nick}'><x xmlns='http://jabber.org/protocol/muc'/>{extensions}</presence>"
    )
}

async fn room(served: &Served) -> net::Link {
    let mut focus = served.handle.attach_service("focus").unwrap();
    focus.recv().await.unwrap();
    focus.send(join("focus", "").parse().unwrap()).await;
    focus.recv().await.unwrap();
    focus
}

async fn enter(guest: &mut Guest<'_>) {
    let nick = guest.nick();
    guest.send(&join(&nick, "")).await;
    let own = format!("{ROOM}/{nick}");
    guest.receive_that(|stanza| stanza.attr("from") == Some(&own)).await;
}

fn is_from(nick: &str) -> impl Fn(&Element) -> bool + use<> {
    let from = format!("{ROOM}/{nick}");
    move |stanza| stanza.attr("from") == Some(&from)
}

#[tokio::test]
async fn nobody_writes_in_anothers_name() {
    let served = Served::start(Settings::default()).await;
    let _focus = room(&served).await;
    let mut guests = Guest::of_each_kind(&served).await;
    for guest in &mut guests {
        enter(guest).await;
    }
    let [victim, spoofers @ ..] = &mut guests;
    for spoofer in spoofers {
        let (real, occupant) = (victim.jid.clone(), format!("{ROOM}/{}", victim.nick()));
        for from in [real.as_str(), &occupant, "focus@auth.meet.jitsi/focus", ROOM] {
            let stanza = format!(
                "<message xmlns='jabber:client' from='{from}' to='{ROOM}' type='groupchat' id='s'><body>b</body></message>"
            );
            spoofer.send(&stanza).await;
            let heard = victim.receive_that(|stanza| stanza.attr("id") == Some("s")).await;
            assert_eq!(heard.attr("from"), Some(format!("{ROOM}/{}", spoofer.nick()).as_str()), "{from}");
        }
    }
}

#[tokio::test]
async fn a_nick_is_taken_once_and_that_of_the_focus_never() {
    let served = Served::start(Settings::default()).await;
    let _focus = room(&served).await;
    let mut guests = Guest::of_each_kind(&served).await;
    let [holder, thieves @ ..] = &mut guests;
    enter(holder).await;
    let taken = holder.nick();
    for thief in thieves {
        for (nick, condition) in [(taken.as_str(), "conflict"), ("focus", "not-allowed"), ("a b", "not-allowed")] {
            thief.send(&join(nick, "")).await;
            let refusal = thief.receive_that(is_from(nick)).await;
            assert_eq!(refusal.attr("type"), Some("error"), "{refusal}");
            let error = refusal.child("error", ns::CLIENT).unwrap();
            assert!(error.child(condition, ns::XMPP_STANZAS).is_some(), "{nick}: {refusal}");
        }
        // Inside, it cannot change to it either.
        enter(thief).await;
        thief.send(&join(&taken, "")).await;
        assert_eq!(thief.receive_that(is_from(&taken)).await.attr("type"), Some("error"));
        thief.ping().await;
    }
    holder.ping().await;
}

#[tokio::test]
async fn a_thousand_extensions_reach_the_others_whole_and_more_than_a_frame_holds_reaches_nobody() {
    let served = Served::start(Settings::default()).await;
    let _focus = room(&served).await;
    let mut guests = Guest::of_each_kind(&served).await;
    for guest in &mut guests {
        enter(guest).await;
    }
    let extensions: String = (0..1000).map(|number| format!("<e xmlns='urn:x' n='{number}'/>")).collect();
    for attacker in 0..guests.len() {
        let nick = guests[attacker].nick();
        let presence = join(&nick, &extensions).replace("<x xmlns='http://jabber.org/protocol/muc'/>", "");
        // The latest replaces the one before, so that the room does not grow.
        for _ in 0..3 {
            guests[attacker].send(&presence).await;
        }
        guests[attacker].ping().await;
        let neighbour = (attacker + 1) % guests.len();
        for _ in 0..3 {
            let seen = guests[neighbour].receive_that(is_from(&nick)).await;
            assert_eq!(seen.children_named("e", "urn:x").count(), 1000);
        }
    }
}

#[tokio::test]
async fn a_flood_over_any_transport_is_read_no_faster_than_allowed() {
    let mut settings = Settings::default();
    settings.limits.client_burst_bytes = 64 * 1024;
    let served = Served::start(settings).await;
    let guests = Guest::of_each_kind(&served).await;
    let mut neighbour = served.guest().await;
    let body = "b".repeat(2000);
    let stanza = format!(
        "<message xmlns='jabber:client' to='nobody@muc.meet.jitsi' type='groupchat'><body>{body}</body></message>"
    );
    for mut guest in guests {
        let before = served.handle.metrics().stanzas_received.with_label_values(&["message"]).get();
        let flooding = timeout(Duration::from_secs(2), async {
            loop {
                guest.send(&stanza).await;
            }
        });
        let pinging = async {
            for _ in 0..10 {
                neighbour.ping().await;
            }
        };
        let (flooded, ()) = tokio::join!(flooding, pinging);
        let Err(_) = flooded;
        let after = served.handle.metrics().stanzas_received.with_label_values(&["message"]).get();
        // The burst is some 30 stanzas; 16 kB/s are 7 a second.
        assert!(after - before < 200, "{} stanzas were handled", after - before);
    }
}
