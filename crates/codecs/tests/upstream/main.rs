//! Bytes that others' tests carry, and what those say of them. None of their code is here.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod dependency_descriptor;
mod vp8;
mod vp9;

/// Bytes of hexadecimal digits; spaces may stand between them.
fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.bytes().filter(|digit| *digit != b' ').collect();
    let value = |digit: u8| (digit as char).to_digit(16).unwrap() as u8;
    digits.chunks(2).map(|pair| value(pair[0]) << 4 | value(pair[1])).collect()
}
