//! `visitors`: the focus has a conference shown at visitor nodes, and a visitor is told whether he may come in (signaling.md §8).

use xmpp::jingle::{InvalidElement, read};
use xmpp::{Element, Jid, ns};

/// Nodes of a server that has visitors, unless its operator says otherwise.
pub const DEFAULT_NODES: u16 = 4;
/// Nodes that one server may have.
pub const MAX_NODES: u16 = 64;
/// Visitors of a conference on one node, unless an operator says otherwise (`VISITORS_MAX_VISITORS_PER_NODE` of docker-jitsi-meet).
pub const DEFAULT_PER_NODE: usize = 250;

/// The names of the nodes of a server that has so many: `v1`, `v2` and so on.
pub fn node_names(count: u16) -> impl Iterator<Item = String> {
    (1..=count).map(|number| format!("v{number}"))
}

/// A request of the focus to the component for visitors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VnodeRequest {
    /// The conference.
    pub room: Jid,
    /// What is to be done, in this order.
    pub commands: Vec<VnodeCommand>,
}

/// What is to be done about a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VnodeCommand {
    /// Show the conference there. Its value is the name of the node.
    Connect(String),
    /// Show it there no longer.
    Disconnect(String),
}

const CONNECT: &str = "connect-vnode";
const DISCONNECT: &str = "disconnect-vnode";

impl VnodeRequest {
    /// Reads a `visitors` element.
    ///
    /// # Errors
    /// [`InvalidElement`] for another element, or without a valid room or the name of a node.
    pub fn from_element(element: &Element) -> Result<Self, InvalidElement> {
        if !element.is("visitors", ns::VISITORS) {
            return Err(InvalidElement::UnexpectedElement { expected: "visitors" });
        }
        let command = |child: &Element| {
            let command = match child.name() {
                CONNECT => VnodeCommand::Connect,
                DISCONNECT => VnodeCommand::Disconnect,
                _ => return None,
            };
            Some(read::required(child, "vnode").map(|vnode| command(vnode.to_owned())))
        };
        let commands = element.children().filter(|child| child.ns() == ns::VISITORS).filter_map(command);
        Ok(Self { room: read::required_parsed(element, "room")?, commands: commands.collect::<Result<_, _>>()? })
    }

    /// The `visitors` element.
    #[must_use]
    pub fn to_element(&self) -> Element {
        let commands = self.commands.iter().map(|command| {
            let (name, vnode) = match command {
                VnodeCommand::Connect(vnode) => (CONNECT, vnode),
                VnodeCommand::Disconnect(vnode) => (DISCONNECT, vnode),
            };
            Element::new(name, ns::VISITORS).with_attr("vnode", vnode.as_str())
        });
        Element::new("visitors", ns::VISITORS).with_attr("room", self.room.as_str()).with_children(commands)
    }
}

/// What a visitor is told who asked to come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromotionResponse {
    /// His room.
    pub room: Jid,
    /// The focus of the conference, by bare JID, which he asks next.
    pub focus: Option<Jid>,
    /// Who asked, by full JID.
    pub visitor: Jid,
    /// The user name under which he may come; `None` when he may not.
    pub username: Option<String>,
}

impl PromotionResponse {
    /// The `visitors` element.
    #[must_use]
    pub fn to_element(&self) -> Element {
        let response = Element::new("promotion-response", ns::VISITORS)
            .with_attr("jid", self.visitor.as_str())
            .with_opt_attr("username", self.username.as_deref())
            .with_attr("allow", if self.username.is_some() { "true" } else { "false" });
        Element::new("visitors", ns::VISITORS)
            .with_attr("room", self.room.as_str())
            .with_opt_attr("focusjid", self.focus.as_ref().map(Jid::as_str))
            .with_child(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_of_jicofo_is_read_and_written_alike() {
        let text = "<visitors xmlns='jitsi:visitors' room='demo@muc.meet.example'><connect-vnode vnode='v1'/>\
                    <disconnect-vnode vnode='v2'/></visitors>";
        let request = VnodeRequest::from_element(&text.parse().unwrap()).unwrap();
        assert_eq!(
            request.commands,
            [VnodeCommand::Connect("v1".to_owned()), VnodeCommand::Disconnect("v2".to_owned())]
        );
        assert_eq!(request.to_element(), text.parse().unwrap());
    }

    #[test]
    fn what_is_no_such_request_is_an_error() {
        for text in [
            "<visitors xmlns='jitsi:visitors'><connect-vnode vnode='v1'/></visitors>",
            "<visitors xmlns='jitsi:visitors' room='a@@b'/>",
            "<visitors xmlns='jitsi:visitors' room='demo@muc.meet.example'><connect-vnode/></visitors>",
            "<visitors xmlns='urn:x' room='demo@muc.meet.example'/>",
        ] {
            assert!(VnodeRequest::from_element(&text.parse().unwrap()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_visitor_is_told_his_name_or_that_he_has_none() {
        let mut response = PromotionResponse {
            room: "demo@muc.v1.meet.example".parse().unwrap(),
            focus: Some("focus@auth.meet.example".parse().unwrap()),
            visitor: "a@v1.meet.example/r".parse().unwrap(),
            username: Some("u".to_owned()),
        };
        assert_eq!(
            response.to_element().to_string(),
            "<visitors xmlns='jitsi:visitors' room='demo@muc.v1.meet.example' focusjid='focus@auth.meet.example'>\
             <promotion-response xmlns='jitsi:visitors' jid='a@v1.meet.example/r' username='u' allow='true'/></visitors>"
        );
        (response.username, response.focus) = (None, None);
        assert_eq!(
            response.to_element().to_string(),
            "<visitors xmlns='jitsi:visitors' room='demo@muc.v1.meet.example'>\
             <promotion-response xmlns='jitsi:visitors' jid='a@v1.meet.example/r' allow='false'/></visitors>"
        );
    }
}
