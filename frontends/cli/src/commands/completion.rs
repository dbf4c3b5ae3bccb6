//! `troupe completion SHELL`.

use crate::args::Cli;
use clap::CommandFactory;

pub(crate) fn run(shell: clap_complete::Shell) {
    clap_complete::generate(shell, &mut Cli::command(), "troupe", &mut std::io::stdout());
}
