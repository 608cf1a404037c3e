//! Logins in a run that was drawn without them. The rest of the run stays as it is, and so do all other runs: what is
//! drawn here comes from a generator of its own.

use super::Rng;
use crate::accounts::RunAccounts;
use crate::plan::{Plan, Scenario};
use crate::script::{Action, Client, Step};
use std::collections::BTreeMap;

/// What a stranger says at most. The server closes it after a little more.
const STRANGERS_LINES: u32 = 6;

/// Whether the run of a seed has accounts: one of eight.
pub(super) const fn is_drawn(seed: u64) -> bool {
    seed % 8 == 3
}

/// Has clients log in. Some do so with a wrong token, or not at all, and some change their account.
pub(super) fn with_accounts(mut plan: Plan, script: Vec<Step>) -> (Plan, Vec<Step>) {
    plan.scenario = Scenario::Accounts;
    // The quotas of accounts are what is short here. Nobody is idle who waits for the answer to a wrong token.
    plan.server.connections = 10_000;
    plan.server.idle_ms = 0;
    plan.server.memory_bytes = 1 << 30;
    let accounts = RunAccounts::drawn(plan.seed);
    let mut rng = Rng::of_accounts(plan.seed ^ 1);
    let mut left: BTreeMap<Client, u32> = BTreeMap::new();
    let mut drawn = Vec::new();
    for step in script {
        let Step { at_ms, action } = &step;
        let (at_ms, is_change) = (*at_ms, rng.percent(3));
        let auth = |drawn: &mut Vec<Step>, client, rng: &mut Rng| {
            let account = &accounts.accounts[rng.between(0, accounts.accounts.len() as u32 - 1) as usize];
            let line = format!("auth {}\n", account.token()).into_bytes();
            drawn.push(Step { at_ms, action: Action::Say(client, line) });
        };
        match action {
            Action::Open(client, _) => {
                let client = *client;
                drawn.push(step);
                match rng.between(1, 10) {
                    1 if accounts.required => drop(left.insert(client, STRANGERS_LINES)),
                    1 => {}
                    2 => {
                        let line = b"auth nobodys-token\n".to_vec();
                        drawn.push(Step { at_ms, action: Action::Say(client, line) });
                        if accounts.required {
                            left.insert(client, STRANGERS_LINES);
                        }
                    }
                    _ => auth(&mut drawn, client, &mut rng),
                }
            }
            Action::Say(client, bytes) => {
                let client = *client;
                match left.get_mut(&client) {
                    Some(0) => {}
                    Some(_) if bytes.len() > 60 || bytes.split(|byte| *byte == b'\n').count() > 3 => {}
                    Some(left) => {
                        *left -= 1;
                        drawn.push(step);
                    }
                    None => {
                        let is_line = bytes.ends_with(b"\n");
                        drawn.push(step);
                        if is_change && is_line {
                            auth(&mut drawn, client, &mut rng);
                        }
                    }
                }
            }
            Action::Resume(client, _) if left.contains_key(client) => {}
            _ => drawn.push(step),
        }
    }
    (plan, drawn)
}
