//! What black-box tests of Troupe stand on.
//!
//! - [`model_server`]: a scripted model on loopback, over real HTTP, with faults and gates. It
//!   checks every request it gets.
//! - [`stage`]: a private home and working directory, runs of the `troupe` binary (or of an
//!   example host) in them, their output, their processes and their session logs.
//! - [`binary`]: where the programs under test are.
//! - [`machine`]: what this machine allows; what cannot be tested is said and counted ([`skip!`]).
//!
//! ```no_run
//! use serde_json::json;
//! use troupe_tests::{model_server::*, stage::Stage};
//!
//! let server = ModelServer::start(
//!     Script::new().turn(call("shell", json!({"command": "echo hi"}))).turn(say("done")),
//! );
//! let stage = Stage::new().with_model(&server);
//! let finished = stage.troupe(["exec", "--json", "say hi"]).run();
//! finished.assert_success();
//! assert_eq!(server.requests().len(), 2);
//! stage.assert_no_process_left();
//! ```
//!
//! Everything waits for events, never for the clock: a wait has a deadline ([`wait::DEADLINE`])
//! after which it panics and says what it was waiting for.

pub mod binary;
pub mod machine;
pub mod model_server;
pub mod skip;
pub mod stage;
pub mod wait;
