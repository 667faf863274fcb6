//! Real sockets over loopback: what clients, services and attackers see of TCP, BOSH and WebSocket.

#![expect(clippy::unwrap_used, reason = "a test ends where its helpers fail")]

mod bosh;
mod client;
mod components;
mod guest;
mod hostile;
mod hostile_guests;
mod hostile_http;
mod last_words;
mod slow;
mod tcp;
