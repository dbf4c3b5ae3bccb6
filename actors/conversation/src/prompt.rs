//! What the host says to the model: base instructions and the first items of the context.

use crate::project_docs;
use std::path::Path;
use troupe_messages::{Gathered, Opener};
use troupe_types::{
    ApprovalPolicy, ContextItem, ContextKind, Item, Role, SandboxMode, SessionSettings,
};

/// The base instructions. Short on purpose: every byte is paid for at every request.
pub(crate) const INSTRUCTIONS: &str = "\
You are Troupe, a coding agent. You work in the user's directory with the tools you are given, and \
go on until the task is done.

- Look before you change: read the files concerned, and search with grep_files or `rg`.
- Change files with apply_patch. Keep changes small, in the style of the code around them, and fix \
causes rather than symptoms. Leave alone what was not asked for; never revert work that is not yours.
- Run what proves the change (build, tests, linter) and read the result. Say plainly what you could \
not verify.
- Call independent read-only tools together in one answer.
- Commands run without a terminal and without input. Do not start interactive programs; limit \
output that may be long.
- When a call is reported as lost, it may or may not have taken effect: look at the state of things \
before you repeat it.
- For work of several steps keep a plan with update_plan; skip it for simple tasks.
- Do not commit, push or touch anything outside the workspace unless asked.
- End with a short answer: what you did, where, and what is left. Name files as path:line.
";

/// The items that open a context, and those that changed since.
pub(crate) fn gather(
    settings: &SessionSettings,
    open: &Opener,
    shell: &str,
    today: &str,
) -> Gathered {
    let mut items = vec![context(ContextKind::Permissions, Role::Developer, permissions(settings))];
    if let Some(text) = settings.developer_instructions.as_deref().filter(|text| !text.is_empty()) {
        items.push(context(ContextKind::Developer, Role::Developer, text.to_owned()));
    }
    let docs = project_docs::read(&settings.cwd, &settings.project_docs, open);
    if let Some(text) = docs.text {
        let (kind, role) = (ContextKind::ProjectDocs, Role::User);
        items.push(Item::Context(ContextItem { kind, role, text, files: docs.files }));
    }
    if settings.environment_context {
        let text = environment(&settings.cwd, shell, today);
        items.push(context(ContextKind::Environment, Role::User, text));
    }
    Gathered { items, warnings: docs.warnings }
}

fn context(kind: ContextKind, role: Role, text: String) -> Item {
    Item::Context(ContextItem { kind, role, text, files: Vec::new() })
}

fn environment(cwd: &Path, shell: &str, today: &str) -> String {
    format!(
        "<environment_context>\n  <cwd>{}</cwd>\n  <shell>{shell}</shell>\n  \
         <current_date>{today}</current_date>\n</environment_context>",
        cwd.display()
    )
}

fn permissions(settings: &SessionSettings) -> String {
    let sandbox = &settings.sandbox;
    let network = if sandbox.network { "on" } else { "off" };
    let reach = match sandbox.mode {
        SandboxMode::ReadOnly => format!(
            "Commands run in a read-only sandbox: they read everywhere and write nowhere; network {network}."
        ),
        SandboxMode::WorkspaceWrite => {
            let roots: Vec<_> =
                sandbox.writable_roots.iter().map(|root| root.display().to_string()).collect();
            let more =
                if roots.is_empty() { String::new() } else { format!(", {}", roots.join(", ")) };
            format!(
                "Commands run in a sandbox: they read everywhere and write only in the working \
                 directory{more} and temporary folders; .git and .troupe are read-only; network {network}."
            )
        }
        SandboxMode::DangerFullAccess => {
            "Commands run without a sandbox, with all the user's rights.".to_owned()
        }
    };
    let asking = match settings.approval {
        ApprovalPolicy::Never => {
            "Nobody can be asked: what the sandbox refuses stays refused, so find another way or report it."
        }
        ApprovalPolicy::OnRequest | ApprovalPolicy::Granular(_) => {
            "To run a command outside the sandbox, call shell with sandbox_permissions \
             \"require_escalated\" and a justification: the user is asked."
        }
        ApprovalPolicy::Untrusted => {
            "The user is asked before every command that is not known to only read."
        }
    };
    format!("<permissions>\n{reach}\n{asking}\n</permissions>")
}

/// Said after the user stopped a turn.
pub(crate) const INTERRUPTED: &str = "<turn_aborted>\nThe user stopped the turn on purpose. Tools \
that were running may have taken effect in part: look before you go on.\n</turn_aborted>";

/// Asks the model to go on after a turn that was interrupted or failed.
pub(crate) const GO_ON: &str = "<go_on>\nThe last turn ended before its task was done. The user asks \
you to go on with it from where it stopped.\n</go_on>";

/// Asks for the summary that replaces the context.
pub(crate) const COMPACT_PROMPT: &str = "\
The context is about to be replaced by a summary that you write now, for another model that goes on \
with the work and sees nothing else but the user's messages. State: the task and every constraint or \
preference the user gave; what was done, with file paths; decisions and why; what was found out \
(commands, errors, key facts); what is left, in order. Be complete and brief. Do not call tools.";

/// Stands before the summary in the new context.
pub(crate) const SUMMARY_PREFIX: &str = "\
Another model worked on this task before and left this summary. Build on its work and do not repeat \
it:\n";
