//! The event ring.

use crate::common::*;
use std::sync::Arc;
use troupe_kit::{Next, Ring};

both! {
    async fn a_reader_gets_what_is_pushed_after_it_came() {
        let ring = Ring::new(8);
        ring.push(1);
        let mut reader = ring.subscribe();
        assert_eq!(reader.try_next(), None);
        for number in 2..5 {
            ring.push(number);
        }
        for number in 2..5 {
            assert_eq!(reader.next().await, Next::Item(number));
        }
        let (next, ()) = tokio::join!(reader.next(), async { ring.push(5) });
        assert_eq!(next, Next::Item(5));
    }

    async fn a_slow_reader_is_told_what_it_missed() {
        let ring = Ring::new(4);
        let (mut slow, mut quick) = (ring.subscribe(), ring.subscribe());
        for number in 0..10 {
            ring.push(number);
            assert_eq!(quick.next().await, Next::Item(number));
        }
        assert_eq!(slow.next().await, Next::Missed(6));
        for number in 6..10 {
            assert_eq!(slow.next().await, Next::Item(number));
        }
        assert_eq!(slow.try_next(), None);
    }

    async fn a_closed_ring_gives_what_is_left() {
        let ring = Ring::new(4);
        let mut reader = ring.subscribe();
        ring.push(1);
        ring.close();
        ring.push(2);
        assert_eq!(reader.next().await, Next::Item(1));
        assert_eq!(reader.next().await, Next::Closed);
        assert_eq!(reader.next().await, Next::Closed);
        assert_eq!(ring.subscribe().next().await, Next::Closed);
    }

    async fn closing_wakes_a_waiting_reader() {
        let ring = Ring::<u8>::new(4);
        let mut reader = ring.subscribe();
        let (next, ()) = tokio::join!(reader.next(), async { ring.close() });
        assert_eq!(next, Next::Closed);
    }

    /// Nothing is kept without readers, nor after the last one has gone.
    async fn no_memory_without_readers() {
        let item = Arc::new(());
        let ring = Ring::new(4);
        ring.push(Arc::clone(&item));
        assert_eq!(Arc::strong_count(&item), 1);
        let (reader, mut other) = (ring.subscribe(), ring.subscribe());
        for _ in 0..10 {
            ring.push(Arc::clone(&item));
        }
        assert_eq!(Arc::strong_count(&item), 5);
        drop(reader);
        assert_eq!(other.next().await, Next::Missed(6));
        drop(other);
        assert_eq!(Arc::strong_count(&item), 1);
        let mut late = ring.subscribe();
        assert_eq!(late.try_next(), None);
        ring.push(Arc::clone(&item));
        assert!(matches!(late.next().await, Next::Item(_)));
    }
}

/// Readers and writers on several threads: numbers rise, and gaps are as large as told.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn gaps_are_told_under_load() {
    const MANY: u64 = 20_000;
    let ring = Ring::new(32);
    let mut readers = Vec::new();
    for _ in 0..3 {
        let mut reader = ring.subscribe();
        readers.push(tokio::spawn(async move {
            let mut expected = 0;
            loop {
                match reader.next().await {
                    Next::Item(number) => {
                        assert_eq!(number, expected);
                        expected += 1;
                    }
                    Next::Missed(count) => expected += count,
                    Next::Closed => return expected,
                }
            }
        }));
    }
    let writer = ring.clone();
    std::thread::spawn(move || {
        for number in 0..MANY {
            writer.push(number);
        }
        writer.close();
    });
    for reader in readers {
        let expected = tokio::time::timeout(PATIENCE, reader).await.unwrap().unwrap();
        assert_eq!(expected, MANY);
    }
}
