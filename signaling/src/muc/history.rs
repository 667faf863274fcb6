//! The last messages of a room, for late joiners (XEP-0045 §7.2.13–7.2.14).

use std::collections::VecDeque;

use xmpp::{Element, Jid, datetime, ns};

/// Most bytes of history in one room: 20 messages of the length that people write stay far below.
const MAX_HISTORY_BYTES: usize = 64 * 1024;
/// Messages whose author is known, so that he can take them back or correct them after late joiners are not shown them
/// any more: more than a client keeps on screen, in at most 100 kB.
const MAX_AUTHORS: usize = 512;
/// Longest id of a message that is remembered, in bytes: a UUID has 36.
const MAX_ID_BYTES: usize = 128;

/// The last messages with a body, oldest first. Messages without one are signals to who is present.
#[derive(Debug, Default)]
pub(super) struct History {
    messages: VecDeque<Past>,
    bytes: usize,
    /// Ids of messages and nicks of who wrote them, oldest first.
    authors: VecDeque<(String, String)>,
    /// Changes so far.
    version: u64,
}

#[derive(Debug)]
struct Past {
    message: Element,
    sent_ms: u64,
    bytes: usize,
}

impl History {
    /// Remembers a message as the room sent it, and forgets old ones beyond `limit`.
    pub(super) fn push(&mut self, room: &Jid, message: &Element, author: &str, now_ms: u64, limit: usize) {
        if let Some(id) = message.attr("id").filter(|id| id.len() <= MAX_ID_BYTES && self.author_of(id).is_none()) {
            self.authors.push_back((id.to_owned(), author.to_owned()));
            if self.authors.len() > MAX_AUTHORS {
                self.authors.pop_front();
            }
        }
        if limit == 0 {
            return;
        }
        self.version += 1;
        let message = message.clone().with_child(delay(room, now_ms));
        let bytes = message.to_string().len();
        self.bytes += bytes;
        self.messages.push_back(Past { message, sent_ms: now_ms, bytes });
        while self.messages.len() > limit || self.bytes > MAX_HISTORY_BYTES {
            let Some(oldest) = self.messages.pop_front() else { break };
            self.bytes -= oldest.bytes;
        }
    }

    /// Grows with each change.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// The same messages as another room tells them.
    pub(super) fn retold(&self, as_told: impl Fn(&Element) -> Element) -> Self {
        let retold = |past: &Past| Past { message: as_told(&past.message), sent_ms: past.sent_ms, bytes: past.bytes };
        Self { messages: self.messages.iter().map(retold).collect(), bytes: self.bytes, ..Self::default() }
    }

    /// The nick of who wrote a message first.
    pub(super) fn author_of(&self, id: &str) -> Option<&str> {
        self.authors.iter().rev().find(|(known, _)| known == id).map(|(_, author)| author.as_str())
    }

    /// Whether a moderator took the message back.
    pub(super) fn is_moderated(&self, id: &str) -> bool {
        self.messages
            .iter()
            .any(|past| past.message.attr("id") == Some(id) && past.message.child("moderated", ns::MODERATE).is_some())
    }

    /// Gives a message another text.
    pub(super) fn correct(&mut self, id: &str, text: &str) {
        self.change(id, |message| {
            message.retain_children(|child| !child.is("body", ns::CLIENT));
            message.push(Element::new("body", ns::CLIENT).with_text(text));
        });
    }

    /// Leaves of a message only that it was there (XEP-0425 §3.3).
    pub(super) fn moderate(&mut self, id: &str, mark: Element) {
        self.change(id, |message| {
            message.retain_children(|child| !child.is("body", ns::CLIENT) && child.ns() != ns::MODERATE);
            message.push(mark);
        });
    }

    /// Forgets a message.
    pub(super) fn remove(&mut self, id: &str) {
        self.version += 1;
        self.messages.retain(|past| past.message.attr("id") != Some(id));
        self.bytes = self.messages.iter().map(|past| past.bytes).sum();
    }

    fn change(&mut self, id: &str, change: impl FnOnce(&mut Element)) {
        self.version += 1;
        if let Some(past) = self.messages.iter_mut().rev().find(|past| past.message.attr("id") == Some(id)) {
            change(&mut past.message);
            past.bytes = past.message.to_string().len();
        }
        self.bytes = self.messages.iter().map(|past| past.bytes).sum();
    }

    /// What a joining client wants to see: all, or less when its `history` element says so.
    pub(super) fn wanted_by(&self, join: &Element, now_ms: u64) -> Vec<Element> {
        let wish = join.child("x", ns::MUC).and_then(|x| x.child("history", ns::MUC));
        let number = |name: &str| wish.and_then(|wish| wish.attr(name)).and_then(|value| value.parse::<usize>().ok());
        let max_stanzas = number("maxstanzas").unwrap_or(usize::MAX);
        let mut chars_left = number("maxchars").unwrap_or(usize::MAX);
        let max_age_ms =
            number("seconds").map_or(u64::MAX, |s| u64::try_from(s).unwrap_or(u64::MAX).saturating_mul(1000));
        let since = wish.and_then(|wish| wish.attr("since")).and_then(datetime::parse_utc).unwrap_or(0);
        let newest_first = self.messages.iter().rev().take(max_stanzas);
        let mut wanted: Vec<Element> = newest_first
            .take_while(|past| now_ms.saturating_sub(past.sent_ms) <= max_age_ms && past.sent_ms >= since)
            .take_while(|past| {
                let fits = past.bytes <= chars_left;
                chars_left = chars_left.saturating_sub(past.bytes);
                fits
            })
            .map(|past| past.message.clone())
            .collect();
        wanted.reverse();
        wanted
    }
}

/// The mark of a message of the past (XEP-0203).
pub(super) fn delay(room: &Jid, sent_ms: u64) -> Element {
    Element::new("delay", ns::DELAY).with_attr("from", room.as_str()).with_attr("stamp", datetime::format_utc(sent_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(count: u64, limit: usize) -> History {
        let mut history = History::default();
        for n in 0..count {
            let message = Element::new("message", ns::CLIENT)
                .with_child(Element::new("body", ns::CLIENT).with_text(n.to_string()));
            history.push(&"r@muc.d".parse().unwrap(), &message, "nick", n * 1000, limit);
        }
        history
    }

    fn bodies(history: &History, wish: &str) -> Vec<String> {
        let join =
            format!("<presence xmlns='jabber:client'><x xmlns='http://jabber.org/protocol/muc'>{wish}</x></presence>");
        let wanted = history.wanted_by(&join.parse().unwrap(), 10_000);
        wanted.iter().map(|message| message.child("body", ns::CLIENT).unwrap().text()).collect()
    }

    #[test]
    fn keeps_the_newest_and_marks_them_as_past() {
        let history = history(5, 3);
        assert_eq!(bodies(&history, ""), ["2", "3", "4"]);
        let past = &history.messages.back().unwrap().message;
        assert_eq!(past.child("delay", ns::DELAY).unwrap().attr("stamp"), Some("1970-01-01T00:00:04.000Z"));
    }

    #[test]
    fn a_client_may_want_less() {
        let history = history(5, 10);
        assert_eq!(bodies(&history, "<history maxstanzas='2'/>"), ["3", "4"]);
        assert_eq!(bodies(&history, "<history maxchars='0'/>"), Vec::<String>::new());
        assert_eq!(bodies(&history, "<history seconds='7'/>"), ["3", "4"]);
        assert_eq!(bodies(&history, "<history since='1970-01-01T00:00:04Z'/>"), ["4"]);
        assert_eq!(bodies(&history, "<history seconds='soon' since='never'/>").len(), 5);
    }

    #[test]
    fn a_message_belongs_to_who_wrote_it_first_for_a_while() {
        let mut history = History::default();
        let mut write = |id: &str, nick: &str| {
            let message = Element::new("message", ns::CLIENT).with_attr("id", id);
            history.push(&"r@muc.d".parse().unwrap(), &message, nick, 0, 2);
        };
        write("first", "ann");
        write("first", "eve");
        for n in 0..MAX_AUTHORS - 1 {
            write(&n.to_string(), "bob");
        }
        assert_eq!((history.author_of("first"), history.author_of("7")), (Some("ann"), Some("bob")));
        let message = Element::new("message", ns::CLIENT).with_attr("id", "last");
        history.push(&"r@muc.d".parse().unwrap(), &message, "bob", 0, 2);
        assert_eq!(history.author_of("first"), None);
    }

    #[test]
    fn is_bounded_in_bytes_and_can_be_off() {
        let mut history = History::default();
        for _ in 0..10 {
            let message = Element::new("message", ns::CLIENT).with_text("x".repeat(MAX_HISTORY_BYTES / 4));
            history.push(&"r@muc.d".parse().unwrap(), &message, "nick", 0, 100);
        }
        assert!(history.messages.len() < 5);
        assert!(super::tests::history(3, 0).messages.is_empty());
    }
}
