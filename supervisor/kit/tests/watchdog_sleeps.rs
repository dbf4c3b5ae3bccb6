//! The watchdog's thread of a process in which nothing happens is not woken. Alone in its process: any
//! other test would wake it.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, reason = "tests")]

use std::{fs, time::Duration};
use troupe_kit::{Company, Kit, Order, Root};

/// How often the watchdog's thread went to sleep, once there is one.
fn sleeps() -> Option<u64> {
    let mut threads = fs::read_dir("/proc/self/task").unwrap().map(|thread| thread.unwrap().path());
    let watchdog = threads.find(|thread| {
        fs::read_to_string(thread.join("comm")).is_ok_and(|name| name.trim() == "troupe-watchdog")
    })?;
    let status = fs::read_to_string(watchdog.join("status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    Some(line.unwrap().trim().parse().unwrap())
}

#[tokio::test]
async fn nothing_wakes_it_while_nothing_happens() {
    let root = Root::start(Company::new(&Kit::default(), "root", Order::Reverse));
    assert_eq!(sleeps(), None, "it costs the start nothing");
    let quiet = async {
        let mut last = None;
        loop {
            // Longer than it waits between two looks.
            tokio::time::sleep(Duration::from_millis(2500)).await;
            let now = sleeps();
            if now.is_some() && now == last {
                return;
            }
            last = now;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), quiet).await.expect("it goes to sleep");
    root.stop().await;
}
