//! What the targets share: pieces of any size, and answers that can be compared.

use troupe_providers::{Endpoint, ModelError, Wire, read_recorded};
use troupe_types::{CallId, Item, ModelEvent};

/// The body of an input, whose first three bytes are the sizes of the pieces, one after the other.
pub(crate) fn body(bytes: &[u8]) -> Option<(&[u8], Vec<&[u8]>)> {
    let (sizes, body) = bytes.split_first_chunk::<3>()?;
    let mut sizes = sizes.iter().cycle().map(|size| usize::from(*size).max(1));
    let (mut rest, mut pieces) = (body, Vec::new());
    while !rest.is_empty() {
        let (piece, more) = rest.split_at(sizes.next().unwrap_or(1).min(rest.len()));
        pieces.push(piece);
        rest = more;
    }
    Some((body, pieces))
}

/// The same events and the same end, whole, in pieces and byte by byte.
pub(crate) fn same(wire: Wire, bytes: &[u8]) {
    let Some((body, pieces)) = body(bytes) else { return };
    let endpoint = Endpoint::new("fuzz", wire, "http://localhost/v1");
    let whole = read(&endpoint, [body]);
    assert_eq!(whole, read(&endpoint, pieces));
    assert_eq!(whole, read(&endpoint, body.chunks(1)));
}

fn read<'a>(
    endpoint: &Endpoint,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<ModelEvent>, Result<(), ModelError>) {
    let (mut events, result) = read_recorded(endpoint, &[], pieces);
    // Our own ids of calls are new each time.
    for event in &mut events {
        if let ModelEvent::ItemDone { item: Item::Call(call), .. } = event {
            call.call = CallId::from_u128(0);
        }
    }
    (events, result)
}
