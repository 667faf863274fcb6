//! Polls of a room (`mod_polls_component`, client.md §6.4).

use serde_json::{Value, json};
use xmpp::{Condition, Element, StanzaError};

use super::{ComponentKind, json, unhandled};
use crate::context::Context;
use crate::muc::{Occupant, Room};

/// Polls of one room, as in stock.
const MAX_POLLS: usize = 128;
/// Longest text of a poll or an answer, as in stock: longer ones are ignored.
const MAX_TEXT_BYTES: usize = 1024;
/// All polls of one room with their voters, as text: who comes is sent it at once.
const MAX_BYTES: usize = 512 * 1024;

/// The polls of a room, in the order in which they were asked.
#[derive(Debug, Default)]
pub(crate) struct Polls(Vec<Poll>);

#[derive(Debug)]
struct Poll {
    id: String,
    sender_id: String,
    sender_name: Option<String>,
    question: String,
    answers: Vec<Answer>,
}

#[derive(Debug)]
struct Answer {
    name: String,
    voters: Vec<Voter>,
}

/// Who voted: nick and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Voter {
    id: String,
    name: Option<String>,
}

impl Polls {
    fn to_json(&self) -> Value {
        let polls = self.0.iter().map(|poll| {
            let answers = poll.answers.iter().map(|answer| {
                let mut json = json!({"name": answer.name});
                if !answer.voters.is_empty() {
                    json["voters"] = answer.voters.iter().map(Voter::to_json).collect();
                }
                json
            });
            let mut json = json!({
                "pollId": poll.id, "senderId": poll.sender_id, "question": poll.question,
                "answers": answers.collect::<Value>(),
            });
            if let Some(name) = &poll.sender_name {
                json["senderName"] = Value::from(name.as_str());
            }
            json
        });
        polls.collect()
    }

    /// Bytes of the polls, roughly as they go over the wire.
    fn bytes(&self) -> usize {
        let voter = |voter: &Voter| 24 + voter.id.len() + voter.name.as_ref().map_or(0, String::len);
        let answer = |answer: &Answer| 24 + answer.name.len() + answer.voters.iter().map(voter).sum::<usize>();
        let poll =
            |poll: &Poll| 80 + poll.id.len() + poll.question.len() + poll.answers.iter().map(answer).sum::<usize>();
        self.0.iter().map(poll).sum()
    }

    /// Asks; answers whether there is no such poll yet.
    fn ask(&mut self, poll: Poll) -> Result<(), StanzaError> {
        if self.0.iter().any(|known| known.id == poll.id) {
            return Err(StanzaError::new(Condition::NotAllowed).with_text("Poll already exists"));
        }
        if self.0.len() >= MAX_POLLS || self.bytes() > MAX_BYTES {
            return Err(StanzaError::new(Condition::ResourceConstraint));
        }
        self.0.push(poll);
        Ok(())
    }

    /// Takes a vote, instead of the one that the voter gave before.
    fn vote(&mut self, id: &str, votes: &[bool], voter: &Voter) -> Result<(), StanzaError> {
        if self.bytes() > MAX_BYTES {
            return Err(StanzaError::new(Condition::ResourceConstraint));
        }
        let poll = self.0.iter_mut().find(|poll| poll.id == id && poll.answers.len() == votes.len());
        for (answer, is_chosen) in poll.ok_or_else(unhandled)?.answers.iter_mut().zip(votes) {
            answer.voters.retain(|known| known.id != voter.id);
            if *is_chosen {
                answer.voters.push(voter.clone());
            }
        }
        Ok(())
    }
}

impl Voter {
    /// Somebody in a room, be it the conference or one of its visitors.
    pub(crate) fn of(occupant: &Occupant) -> Self {
        Self { id: occupant.nick.clone(), name: occupant.display_name() }
    }

    fn to_json(&self) -> Value {
        match &self.name {
            Some(name) => json!({"id": self.id, "name": name}),
            None => json!({"id": self.id}),
        }
    }
}

/// Takes a command of an occupant.
pub(crate) fn handle(
    context: &mut Context<'_>,
    room: &mut Room,
    nick: &str,
    message: &Element,
) -> Result<(), StanzaError> {
    let Some(command) = command_in(context, message)? else { return Ok(()) };
    let Some(from) = room.occupant(nick) else { return Err(unhandled()) };
    let sender = Voter::of(from);
    let id = command["pollId"].as_str().ok_or_else(unhandled)?;
    match command["command"].as_str() {
        Some("new-poll") => {
            let is_restricted = room.state.metadata.is_set("permissions", "pollCreationRestricted");
            if is_restricted && !room.allows(context.settings, from, "create-polls") {
                let error = StanzaError::new(Condition::NotAllowed);
                return Err(error.with_text("Creation of polls not allowed for user"));
            }
            let poll = parse_poll(id, &sender, &command).ok_or_else(unhandled)?;
            let names: Value = poll.answers.iter().map(|answer| json!({"name": answer.name})).collect();
            let news = json!({
                "type": "polls", "command": "new-poll", "pollId": id, "question": poll.question, "answers": names,
                "senderId": nick, "roomJid": room.jid.as_str(),
            });
            room.state.polls.ask(poll)?;
            broadcast(context, room, &news);
        }
        Some("answer-poll") => {
            vote(context, room, sender, id, &command)?;
        }
        Some(_) | None => return Err(unhandled()),
    }
    Ok(())
}

/// Takes a command of a visitor: he votes, and asks nothing.
pub(crate) fn handle_visitor(
    context: &mut Context<'_>,
    main: &mut Room,
    voter: Voter,
    message: &Element,
) -> Result<(), StanzaError> {
    let Some(command) = command_in(context, message)? else { return Ok(()) };
    let id = command["pollId"].as_str().ok_or_else(unhandled)?;
    match command["command"].as_str() {
        Some("answer-poll") => vote(context, main, voter, id, &command),
        Some("new-poll") => {
            Err(StanzaError::new(Condition::NotAllowed).with_text("Poll cannot be created by visitor node"))
        }
        Some(_) | None => Err(unhandled()),
    }
}

/// The command in a message; `None` for one that is ignored.
fn command_in(context: &Context<'_>, message: &Element) -> Result<Option<Value>, StanzaError> {
    let text = json::text_of_message(message).ok_or_else(unhandled)?;
    let command = (text.len() < MAX_TEXT_BYTES).then(|| serde_json::from_str::<Value>(&text).ok()).flatten();
    if command.is_none() {
        context.metrics.count_dropped("malformed_poll");
    }
    Ok(command)
}

fn vote(
    context: &mut Context<'_>,
    room: &mut Room,
    voter: Voter,
    id: &str,
    command: &Value,
) -> Result<(), StanzaError> {
    let votes = command["answers"].as_array().and_then(|votes| votes.iter().map(Value::as_bool).collect());
    let votes: Vec<bool> = votes.ok_or_else(unhandled)?;
    room.state.polls.vote(id, &votes, &voter)?;
    let mut news = json!({
        "type": "polls", "command": "answer-poll", "pollId": id, "answers": votes,
        "senderId": voter.id, "roomJid": room.jid.as_str(),
    });
    if let Some(name) = voter.name {
        news["senderName"] = Value::from(name);
    }
    broadcast(context, room, &news);
    Ok(())
}

fn parse_poll(id: &str, sender: &Voter, command: &Value) -> Option<Poll> {
    let names: Option<Vec<&str>> =
        command["answers"].as_array()?.iter().map(|answer| answer["name"].as_str()).collect();
    let names = names.filter(|names| !names.is_empty())?;
    Some(Poll {
        id: id.to_owned(),
        sender_id: sender.id.clone(),
        sender_name: sender.name.clone(),
        question: command["question"].as_str()?.to_owned(),
        answers: names.into_iter().map(|name| Answer { name: name.to_owned(), voters: Vec::new() }).collect(),
    })
}

/// Tells who comes what was asked and answered before.
pub(crate) fn greet(context: &mut Context<'_>, room: &Room, nick: &str) {
    let Some(from) = &context.settings.hosts.components.polls else { return };
    let Some(occupant) = room.occupant(nick).filter(|occupant| !occupant.is_service) else { return };
    if let Some(json) = old_polls(room) {
        context.send(&occupant.jid, json::message(from, &json));
    }
}

/// All polls of a room; `None` where there are none.
pub(crate) fn old_polls(room: &Room) -> Option<Value> {
    let polls = &room.state.polls;
    (!polls.0.is_empty()).then(|| json!({"type": "polls", "command": "old-polls", "polls": polls.to_json()}))
}

fn broadcast(context: &mut Context<'_>, room: &Room, json: &Value) {
    let Some(from) = &context.settings.hosts.components.polls else { return };
    room.broadcast(context, &json::message(from, json));
    super::tell_visitors(context, room, ComponentKind::Polls, json);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voter(id: &str) -> Voter {
        Voter { id: id.to_owned(), name: Some(id.to_uppercase()) }
    }

    fn poll(id: &str) -> Poll {
        let command = json!({"question": "Lunch?", "answers": [{"name": "yes"}, {"name": "no"}]});
        parse_poll(id, &voter("ann"), &command).unwrap()
    }

    #[test]
    fn a_vote_takes_the_place_of_the_one_before() {
        let mut polls = Polls::default();
        polls.ask(poll("p")).unwrap();
        polls.vote("p", &[true, false], &voter("bob")).unwrap();
        polls.vote("p", &[false, true], &voter("bob")).unwrap();
        let answers = &polls.to_json()[0]["answers"];
        assert_eq!(*answers, json!([{"name": "yes"}, {"name": "no", "voters": [{"id": "bob", "name": "BOB"}]}]));
        assert!(
            polls.vote("p", &[true], &voter("bob")).is_err() && polls.vote("q", &[true, true], &voter("bob")).is_err()
        );
    }

    #[test]
    fn polls_and_their_voters_have_a_limit() {
        let mut polls = Polls::default();
        for n in 0..MAX_POLLS {
            polls.ask(poll(&n.to_string())).unwrap();
        }
        assert_eq!(polls.ask(poll("one more")).unwrap_err().condition, Condition::ResourceConstraint);
        assert_eq!(polls.ask(poll("0")).unwrap_err().condition, Condition::NotAllowed);
        let refused = (0..100_000).find(|n| polls.vote("0", &[true, true], &voter(&n.to_string())).is_err());
        assert!(refused.is_some_and(|n| n > 1000), "{refused:?}");
    }
}
