//! `troupe completion SHELL`.

use crate::{args::Cli, output};
use clap::CommandFactory;

pub(crate) fn run(shell: clap_complete::Shell) {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "troupe", &mut script);
    output::text(&String::from_utf8_lossy(&script));
}
