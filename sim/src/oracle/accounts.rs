//! Accounts as the clients alone saw them. From what a client asked and was answered it follows which account it had at
//! each request. Then:
//!
//! * before a login that is required it was answered nothing but `0 Auth Required`, and what is wrong with a line;
//! * a token that nobody has logs nobody in, and one that somebody has logs in to that account;
//! * what the account's rules forbid was refused, and nothing else was refused so;
//! * no listing had a name that the account may not see, and figures were its own if they had to be.

use super::Finding;
use crate::accounts::{DEFAULT, RunAccount, RunAccounts};
use crate::history::{ClientSide, History};
use crate::plan::Plan;
use elockd_core::wire::{Row, read_figures, read_reason, read_rows};
use elockd_core::{Command, Kind, Reply, Subject, Verb};

const CHECK: &str = "nobody has more than its account may";

/// Judges every client. Returns how many answers were what rules and quotas make of them, and not what others get.
///
/// # Errors
///
/// The first answer that is not its account's.
pub fn judge(plan: &Plan, history: &History) -> Result<u64, Finding> {
    let Some(accounts) = RunAccounts::of(plan) else { return Ok(0) };
    let mut refused = 0;
    for connection in &history.connections {
        let Some(client) = &connection.client else { continue };
        // Operators log in by another door.
        let is_operator = connection.server.as_ref().is_some_and(|server| server.shown.starts_with(b"unix:"));
        if is_operator || connection.server.is_none() {
            continue;
        }
        refused += one(plan, &accounts, client)?;
    }
    Ok(refused)
}

/// Whose a connection is.
#[derive(Clone, Copy)]
enum Whose<'a> {
    Strangers,
    Default,
    Account(&'a RunAccount),
}

fn one(plan: &Plan, accounts: &RunAccounts, client: &ClientSide) -> Result<u64, Finding> {
    let mut whose = if accounts.required { Whose::Strangers } else { Whose::Default };
    let mut refused = 0;
    for request in &client.requests {
        let Some((text, place)) = &request.answer else { continue };
        let wrong = |what: &str| {
            let (asked, told) = (request.command.line(), text.escape_ascii());
            let what =
                format!("{}: {what}: \"{}\" was answered \"{told}\"", client.client, asked.escape_ascii());
            Finding { place: *place, conn: None, check: CHECK, what }
        };
        if read_reason(text).is_some() {
            // It was closed, and learned nothing.
            break;
        }
        let said = Reply::read(text);
        if let Command::Auth(token) = &request.command {
            match (accounts.by_token(token), said) {
                (Some(known), Some(Reply::LoggedIn { account })) if account == known.name.as_bytes() => {
                    whose = Whose::Account(known);
                }
                (_, Some(Reply::AuthFailure)) => {
                    let is_own =
                        |known: &RunAccount| matches!(whose, Whose::Account(own) if own.name == known.name);
                    if accounts.by_token(token).is_some_and(is_own) {
                        return Err(wrong("its own token is right"));
                    }
                    // A connection that has not logged in where it must holds nothing.
                    if accounts.by_token(token).is_some() && matches!(whose, Whose::Strangers) {
                        return Err(wrong("it holds nothing, and the token is right"));
                    }
                    refused += 1;
                }
                (None, Some(Reply::LoggedIn { .. })) => return Err(wrong("nobody has this token")),
                _ => return Err(wrong("that is no answer to a token")),
            }
            continue;
        }
        // What is wrong with the line itself is answered as ever.
        let Some(verb) = request.command.verb() else { continue };
        let is_too_long =
            request.command.name().is_some_and(|name| name.len() > usize::from(plan.server.name_bytes));
        let is_required = matches!(said, Some(Reply::AuthRequired { .. }));
        let is_forbidden = matches!(said, Some(Reply::NotAllowed { .. }));
        match whose {
            Whose::Strangers if !RunAccounts::BEFORE.has(verb) => {
                if !is_required {
                    return Err(wrong("it had not logged in"));
                }
                refused += 1;
            }
            _ if is_required => return Err(wrong("it had logged in, or need not")),
            Whose::Account(account) if !is_too_long => {
                let is_allowed = account.rules.verbs().has(verb)
                    && lock_of(&request.command).is_none_or(|name| account.sees(name));
                if is_allowed == is_forbidden {
                    return Err(wrong(&format!("{} may say that: {is_allowed}", account.name)));
                }
                refused += u64::from(is_forbidden);
                if !is_forbidden {
                    listing(account, verb, text).map_err(|what| wrong(&what))?;
                }
            }
            // Only operators may say some verbs.
            _ if is_forbidden && !verb.needs_operator() => {
                return Err(wrong(&format!("{DEFAULT} may say that")));
            }
            _ => {}
        }
    }
    Ok(refused)
}

/// The lock that a command names, and that its rules are about.
fn lock_of(command: &Command<Vec<u8>>) -> Option<&Vec<u8>> {
    match command {
        Command::ListAll(_) | Command::Who(_) | Command::Iam(_) | Command::Kick(_) => None,
        Command::List(_, name) if name.is_empty() => None,
        _ => command.name(),
    }
}

/// What was shown is what the account may see.
fn listing(account: &RunAccount, verb: Verb, text: &[u8]) -> Result<(), String> {
    let subject = match verb {
        Verb::List => Subject::Locks(Kind::Exclusive),
        Verb::SharedList => Subject::Locks(Kind::Shared),
        Verb::ListAll => Subject::All,
        Verb::Query => {
            let keys = read_figures(text).unwrap_or_default();
            let is_own = keys.first().is_some_and(|(key, name)| *key == "account" && *name == account.name);
            return if is_own == account.all_figures {
                Err(format!("{} sees all figures: {}", account.name, account.all_figures))
            } else {
                Ok(())
            };
        }
        _ => return Ok(()),
    };
    let names = read_rows(subject, text).unwrap_or_default().into_iter().map(|row| match row {
        Row::Lock { name, .. } | Row::Hold { name, .. } | Row::Registered { name, .. } => name,
    });
    for name in names {
        if !account.sees(name) {
            return Err(format!("{} may not see \"{}\"", account.name, name.escape_ascii()));
        }
    }
    Ok(())
}
