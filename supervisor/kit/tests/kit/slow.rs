//! A handler that waits ends a debug build, so that no test passes with it.

use crate::common::*;
use std::{process::Command, time::Duration};

const BLOCKS: &str = "TROUPE_KIT_TEST_BLOCKS";

/// What the child process does: its handler waits, or works, for long.
#[test]
fn a_handler_that_takes_long() {
    let Ok(how) = std::env::var(BLOCKS) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let stage = Stage::plain(4);
        let long = Duration::from_millis(120);
        stage
            .toy
            .tell(Say::act(move |_, _| match how.as_str() {
                "waits" => std::thread::sleep(long),
                _ => {
                    let began = std::time::Instant::now();
                    while began.elapsed() < long {
                        std::hint::spin_loop();
                    }
                }
            }))
            .unwrap();
        stage.ask(1).await;
        stage.stop().await;
    });
}

#[cfg(all(debug_assertions, target_os = "linux"))]
#[test]
fn a_handler_that_waits_ends_a_debug_build() {
    for (how, ends) in [("waits", true), ("works", false)] {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "slow::a_handler_that_takes_long", "--nocapture"])
            .env(BLOCKS, how)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stderr).into_owned();
        assert_eq!(child.status.success(), !ends, "{how}: {said}");
        assert_eq!(said.contains("root/toy waited in its handler of Do: "), ends, "{said}");
    }
}
