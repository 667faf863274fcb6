//! Streams over TCP, which come in pieces.

use xmpp::{StreamItem, StreamParser};

/// Smaller than real limits, so that inputs reach it.
const MAX_ITEM_BYTES: usize = 2048;

/// The first byte says how the rest is cut. However it is, the same items come out before the first error.
pub fn stream(data: &[u8]) {
    let Some((piece, text)) = data.split_first() else { return };
    let whole = items(text, usize::MAX);
    let cut = items(text, usize::from(*piece).max(1));
    assert_eq!(whole, cut);
}

fn items(text: &[u8], piece: usize) -> Vec<StreamItem> {
    let mut parser = StreamParser::new(MAX_ITEM_BYTES);
    let mut items = Vec::new();
    for mut piece in text.chunks(piece) {
        loop {
            match parser.parse(&mut piece) {
                Ok(Some(item)) => items.push(item),
                Ok(None) => break,
                Err(_) => return items,
            }
        }
    }
    items
}
