//! The server in virtual time: a world of clients that know the protocol and peers that send back.

mod data;
mod hostile;
mod lifecycle;
mod world;
