//! Media over TCP: the first bytes of a connection, and frames in a stream (`net`).

use net::media::tcp::{FirstBytes, FrameDecoder, FrameTooLong, MAX_FRAME_BYTES, NotIce, Opening, OpeningStep};

/// A stream: however it is cut into reads, it opens the same way, has the same frames and the same end.
pub fn tcp_framing(data: &[u8]) {
    let whole = decode([data]);
    assert!(whole.0.iter().all(|frame| (1..=MAX_FRAME_BYTES).contains(&frame.len())));
    assert_eq!(decode(data.chunks(1)), whole);
    let opened = open([data]);
    let (first, rest) = data.split_at(data.first().map_or(0, |at| usize::from(*at)).min(data.len()));
    assert_eq!(decode([first, rest]), whole);
    // What follows the end does not change it, but for the bytes that an open connection has read already.
    for pieces in [open(data.chunks(1)), open([first, rest])] {
        match (&pieces, &opened) {
            ((answer, Ok(Some(bytes))), (whole_answer, Ok(Some(whole)))) => {
                assert!(answer == whole_answer && whole.starts_with(bytes));
            }
            (pieces, opened) => assert_eq!(pieces, opened),
        }
    }
    let decided: Vec<_> = (0..=data.len().min(80)).filter_map(|len| data.get(..len).map(FirstBytes::of)).collect();
    assert!(decided.iter().skip(2).all(|first| *first != FirstBytes::Undecided));
    let mut known = decided.iter().filter(|first| **first != FirstBytes::Undecided);
    assert!(known.next().is_none_or(|first| known.all(|other| other == first)));
}

fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Vec<u8>>, Option<FrameTooLong>) {
    let (mut decoder, mut frames) = (FrameDecoder::default(), Vec::new());
    for piece in pieces {
        if let Err(error) = decoder.decode(&mut piece.to_vec(), |frame| frames.push(frame.to_vec())) {
            return (frames, Some(error));
        }
    }
    (frames, None)
}

/// What was answered, and the bytes of the open connection or that more are needed.
fn open<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, Result<Option<Vec<u8>>, NotIce>) {
    let (mut opening, mut answered) = (Opening::new(|frame| frame.starts_with(&[0, 1])), Vec::new());
    for piece in pieces {
        opening.handle_bytes(piece);
        loop {
            match opening.poll() {
                Ok(OpeningStep::Read) => break,
                Ok(OpeningStep::Write(answer)) => answered.extend_from_slice(answer),
                Ok(OpeningStep::Open(bytes)) => return (answered, Ok(Some(bytes))),
                Err(error) => return (answered, Err(error)),
            }
        }
    }
    (answered, Ok(None))
}
