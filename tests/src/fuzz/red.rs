//! Redundant audio (`rtp::red`).

use rtp::red::{BlockHeader, MAX_HEADERS_LEN, RedPayload, write_headers};

/// An RTP payload: its blocks lie inside, one behind the other, and what is written of them is read as the same.
pub fn red(data: &[u8]) {
    let Ok(red) = RedPayload::parse(data) else { return };
    assert!(usize::from(red.primary_start) <= data.len());
    let mut end = red.primary_start;
    for block in red.redundant.iter().flatten() {
        assert!(block.len > 0 && block.start + block.len <= end);
        end = block.start;
    }

    let [Some(newest), Some(before)] = red.redundant else { return };
    let headers = [before, newest].map(|block| BlockHeader::new(block.timestamp_offset.into(), block.len.into()));
    let headers: Vec<_> = headers.into_iter().flatten().collect();
    let mut written = [0; MAX_HEADERS_LEN];
    let len = write_headers(red.primary_type, &headers, &mut written);
    let mut payload = written.get(..len).unwrap_or_default().to_vec();
    payload.resize(len + usize::from(before.len + newest.len), 0);
    let Ok(after) = RedPayload::parse(&payload) else { panic!("what was written is not read") };
    assert_eq!(after.primary_type, red.primary_type);
    let told = |red: &RedPayload| red.redundant.map(|block| block.map(|block| (block.len, block.timestamp_offset)));
    assert_eq!(told(&after), told(&red));
}
