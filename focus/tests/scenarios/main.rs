//! Conversations of the focus with scripted peers: a MUC service, bridges and clients made of stanzas, in virtual time.
#![allow(clippy::unwrap_used, clippy::unwrap_in_result, reason = "a script that cannot go on fails its test")]

mod admin;
mod authentication;
mod breakout;
mod bridges;
mod call;
mod cascade;
mod chaos;
mod connects;
mod dial;
mod features;
mod jibri;
mod life;
mod link;
mod moderation;
mod moves;
mod restart;
mod rewriting;
mod senders;
mod session;
mod simulation;
mod sources;
mod topology;
mod visitors;
mod world;
