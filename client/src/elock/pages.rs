//! Completions for shells and pages for man(1), made from the command line itself.

use crate::output::print;
use crate::status::{Failure, Outcome};
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Args, Debug)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Args, Debug)]
pub(crate) struct ManArgs {
    /// A folder that exists.
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

/// Prints the completions for a shell.
pub(crate) fn completions<C: CommandFactory>(CompletionsArgs { shell }: &CompletionsArgs) -> Outcome {
    let mut text = Vec::new();
    clap_complete::generate(*shell, &mut C::command(), "elock", &mut text);
    print(&String::from_utf8_lossy(&text))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a page for the program and one for each command.
pub(crate) fn man<C: CommandFactory>(ManArgs { folder }: &ManArgs) -> Outcome {
    let written = clap_mangen::generate_to(C::command(), folder);
    written.map_err(|error| Failure::system(&format!("write to {}", folder.display()), error))?;
    Ok(ExitCode::SUCCESS)
}
