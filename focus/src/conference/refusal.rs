//! What follows when a bridge refuses, or does not answer, a request for an endpoint.

use jitsi_protocol::colibri2::{ColibriError, Reason};
use model::EndpointId;
use xmpp::{Condition, Jid};

use super::Conference;
use super::colibri::Farewell;
use super::moves::Pending;
use crate::context::Context;

/// What becomes of an endpoint that a bridge refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// The request was wrong: another bridge would refuse it too.
    GiveUp,
    /// This bridge and this conference do not get along.
    LeaveBridge,
    /// The bridge has no data channels.
    LacksSctp,
    /// The bridge does not take more.
    BridgeIsGraceful,
    /// The bridge does not work.
    BridgeFailed,
}

impl Refusal {
    /// Jicofo's reactions (bridge.md §1.4), but for a bridge without data channels, which is none that failed, and for one that
    /// left, whose new endpoint Jicofo does not invite again.
    fn of(error: &ColibriError, with_data: bool) -> Self {
        match (error.condition, error.reason) {
            (Condition::FeatureNotImplemented, _) if with_data => Self::LacksSctp,
            (Condition::BadRequest, _) => Self::GiveUp,
            (Condition::ItemNotFound, Some(Reason::ConferenceNotFound)) | (Condition::Conflict, _) => Self::LeaveBridge,
            // The brewery says so of a bridge that is there no longer, before or behind the presence that says it too.
            (Condition::ItemNotFound, None) => Self::BridgeFailed,
            (Condition::ItemNotFound, Some(_)) => Self::GiveUp,
            (Condition::ServiceUnavailable, Some(Reason::GracefulShutdown)) => Self::BridgeIsGraceful,
            _ => Self::BridgeFailed,
        }
    }
}

impl Conference {
    pub(super) fn on_allocation_refused(
        &mut self,
        endpoint: &EndpointId,
        pending: &Pending,
        error: &ColibriError,
        context: &mut Context<'_>,
    ) {
        let bridge = &pending.bridge;
        let condition = error.condition.as_str();
        tracing::warn!(room = %self.room, %endpoint, %bridge, condition, reason = ?error.reason, text = error.text,
            "bridge refused an endpoint");
        let refusal = Refusal::of(error, pending.with_data);
        if let Some(known) = context.selector.get_mut(bridge) {
            match refusal {
                Refusal::GiveUp | Refusal::LeaveBridge => {}
                Refusal::LacksSctp => known.lacks_sctp(),
                Refusal::BridgeIsGraceful => known.enter_graceful_shutdown(),
                Refusal::BridgeFailed => known.failed(context.now),
            }
        }
        match refusal {
            Refusal::GiveUp => {
                // Nothing was allocated; a conference that was to be created with it does not exist.
                self.forget_refused(bridge, endpoint, context);
                self.on_allocation_failed(endpoint, pending, context);
            }
            Refusal::LeaveBridge | Refusal::LacksSctp | Refusal::BridgeIsGraceful | Refusal::BridgeFailed => {
                self.remove_bridge(bridge, Farewell::Expire, context);
            }
        }
    }

    /// A bridge did not answer a request for something new.
    pub(super) fn on_bridge_silent(&mut self, bridge: &Jid, context: &mut Context<'_>) {
        tracing::warn!(room = %self.room, %bridge, "bridge does not answer");
        if let Some(bridge) = context.selector.get_mut(bridge) {
            bridge.failed(context.now);
        }
        self.remove_bridge(bridge, Farewell::Expire, context);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reacts_to_refusals_as_jicofo_does() {
        use Condition::{
            BadRequest, Conflict, FeatureNotImplemented, InternalServerError, ItemNotFound, ServiceUnavailable,
        };
        for (condition, reason, reaction) in [
            (BadRequest, Some(Reason::Unspecified), Refusal::GiveUp),
            (ItemNotFound, Some(Reason::ConferenceNotFound), Refusal::LeaveBridge),
            (ItemNotFound, Some(Reason::UnknownEndpoint), Refusal::GiveUp),
            (ItemNotFound, None, Refusal::BridgeFailed),
            (Conflict, Some(Reason::ConferenceAlreadyExists), Refusal::LeaveBridge),
            (Conflict, None, Refusal::LeaveBridge),
            (ServiceUnavailable, Some(Reason::GracefulShutdown), Refusal::BridgeIsGraceful),
            (ServiceUnavailable, None, Refusal::BridgeFailed),
            (FeatureNotImplemented, Some(Reason::FeatureNotImplemented), Refusal::BridgeFailed),
            (InternalServerError, None, Refusal::BridgeFailed),
        ] {
            assert_eq!(
                Refusal::of(&ColibriError::new(condition, reason, ""), false),
                reaction,
                "{condition:?} {reason:?}"
            );
        }
    }

    #[test]
    fn a_bridge_that_has_no_data_channels_has_not_failed() {
        let refusal = ColibriError::new(Condition::FeatureNotImplemented, Some(Reason::FeatureNotImplemented), "");
        assert_eq!(Refusal::of(&refusal, true), Refusal::LacksSctp);
    }
}
