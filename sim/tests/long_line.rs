//! Goal: a line is served in its order, and each waiter once, however long the line is. Method: a thousand
//! connections on twenty hosts wait for one lock. Each releases it as soon as it has it, by a request that it sent
//! while it waited.

use elockd_core::{Conn, Input};
use elockd_sim::draw;
use elockd_sim::log::{Event, Told};
use elockd_sim::verdict::{self, Verdict};

const WAITERS: u32 = 1_000;

#[test]
fn a_thousand_on_twenty_hosts_are_served_in_the_order_in_which_they_came() {
    let (plan, script) = draw::line(1, WAITERS, 20);
    let Verdict { report, violation, .. } = verdict::run(&plan, &script);
    assert_eq!(violation, None);
    let (mut begun, mut granted, mut released): (Vec<Conn>, Vec<Conn>, Vec<Conn>) = Default::default();
    for entry in &report.entries {
        let applied = match &entry.event {
            Event::LivenessBegins => break,
            Event::Applied(applied) => applied,
            _ => continue,
        };
        for (to, told) in &applied.told {
            match told {
                Told::Wait => begun.push(*to),
                Told::Reply(reply) if reply == b"1 Lock Get Success: job\n" && begun.contains(to) => {
                    granted.push(*to);
                }
                Told::Reply(reply) if reply == b"1 Lock Release Success: job\n" && begun.contains(to) => {
                    assert!(matches!(applied.input, Input::Command(by, _) if by == *to));
                    released.push(*to);
                }
                _ => {}
            }
        }
    }
    assert_eq!(begun.len(), WAITERS as usize);
    assert_eq!(granted, begun);
    assert_eq!(released, begun);
    let hosts: Vec<_> = report
        .entries
        .iter()
        .filter_map(|entry| match &entry.event {
            Event::Connected { host, .. } => Some(host.0),
            _ => None,
        })
        .collect();
    assert!((0..20).all(|host| hosts.contains(&host)));
}
