//! The properties that every input in every state must have, and every state.

use super::{Edge, Hold, Node, is_deadlock};
use crate::generate::origin;
use crate::observe::{Event, difference, observe};
use crate::reference::{Wait, rival};
use elockd_core::{Account, Command, Conn, Figure, Input, Kind, Machine, Reason, Reply};
use std::collections::BTreeMap;

type Check = fn(&Edge<'_>) -> Result<(), String>;

/// The properties of every input in every state. The one that says most about a failure comes first.
pub(super) const OF_EDGES: [(&str, Check); 18] = [
    ("nobody but the holder releases, or who steals", nobody_but_the_holder_releases),
    ("what lingers is held until it is due", what_lingers_is_held),
    ("what is resumed was never free", what_is_resumed_was_never_free),
    ("a get gives what it says", a_get_gives_what_it_says),
    ("first come, first served", first_come_first_served),
    ("grants come in the order in which the waits began", grants_come_in_order),
    ("waits that are due end by their deadlines", due_waits_end_by_their_deadlines),
    ("the end of a wait is told once", the_end_of_a_wait_is_told_once),
    ("an end is told when it comes", an_end_is_told_when_it_comes),
    ("a grant never follows its deadline", no_grant_follows_its_deadline),
    ("a deadlock is refused exactly when it is one", a_deadlock_is_refused_exactly_when_it_is_one),
    ("a hold has one token, above all before it", a_hold_has_one_token),
    ("who waits is not heard", who_waits_is_not_heard),
    ("nothing of a closed connection remains", nothing_of_a_closed_connection_remains),
    ("an account has what it may have, and only that refuses it more", quotas_are_of_accounts),
    ("an extra tick changes no reply", an_extra_tick_changes_no_reply),
    ("replies are the reference's", replies_are_the_references),
    ("every invariant holds", every_invariant_holds),
];

type CheckAll = fn(&Node, &[Edge<'_>]) -> Result<(), String>;

/// The properties of every state, given the outcomes of all inputs.
pub(super) const OF_STATES: [(&str, CheckAll); 5] = [
    ("at most one holds an exclusive lock", at_most_one_holder),
    ("counts are exact", counts_are_exact),
    ("nobody waits for what could be granted", nobody_waits_for_what_could_be_granted),
    ("whoever waits can be served", whoever_waits_can_be_served),
    ("listings and statistics are the reference's", listings_are_the_references),
];

fn replies_are_the_references(edge: &Edge<'_>) -> Result<(), String> {
    let Edge { events, expected, .. } = edge;
    ensure!(events == expected, "{}", difference(events, expected));
    Ok(())
}

fn every_invariant_holds(edge: &Edge<'_>) -> Result<(), String> {
    edge.after.machine.check().map_err(|violation| violation.to_string())
}

/// No account has more than its quotas of connections, holds and waits. If it is refused more, it has as much as it may
/// have. Holds are those that the machine lists.
fn quotas_are_of_accounts(edge: &Edge<'_>) -> Result<(), String> {
    let of = |node: &Node, account: Account| {
        let is_its = |conn: &Conn| node.reference.account_of(*conn) == Some(account);
        let holds = node.holds.iter().filter(|hold| is_its(&hold.2)).count();
        let waits = node.reference.waits().iter().filter(|wait| is_its(&wait.conn));
        let ends = waits.clone().filter(|wait| wait.still.is_some()).count();
        let open = node.reference.open().iter().filter(|client| client.origin.account == account).count();
        (open, holds + waits.clone().count() - ends, waits.count())
    };
    for (account, profile) in edge.after.reference.accounts().iter() {
        let (open, locks, waits) = of(&edge.after, account);
        let is_within = |most: Option<u32>, has: usize| most.is_none_or(|most| has <= most as usize);
        let quotas = profile.quotas;
        let is_right = is_within(quotas.connections, open)
            && is_within(quotas.locks, locks)
            && is_within(quotas.waiters, waits);
        ensure!(is_right, "{account:?} has {open} connections, {locks} holds, {waits} waits of {quotas:?}");
    }
    // What was due at the input's time may have made room before.
    let conn = edge.step.input.conn().filter(|_| edge.step.now == edge.before.reference.now());
    let Some(account) = conn.and_then(|conn| edge.before.reference.account_of(conn)) else { return Ok(()) };
    let quotas = edge.before.reference.accounts().of(account).quotas;
    let limits = edge.before.reference.limits();
    let (_, locks, _) = of(edge.before, account);
    let own = edge.before.holds.iter().filter(|hold| Some(hold.2) == conn).count();
    let is_full =
        locks >= quotas.locks.unwrap_or(limits.locks) as usize || own >= limits.locks_per_connection as usize;
    let is_refused = conn
        .is_some_and(|conn| is_told(&edge.events, conn, |reply| matches!(reply, Reply::TooManyLocks { .. })));
    ensure!(is_full || !is_refused, "{account:?} has {locks} holds of {quotas:?}, and is refused one");
    Ok(())
}

/// An input leaves the holds of all other connections as they are. Exceptions are grants, and a hold that is stolen. A
/// release succeeds only for the holder, and takes only this hold.
fn nobody_but_the_holder_releases(edge: &Edge<'_>) -> Result<(), String> {
    let is_open = |conn| edge.after.reference.open().iter().any(|client| client.conn == conn);
    let by = edge.step.input.conn();
    let stolen = match &edge.step.input {
        Input::Command(_, Command::Steal(kind, name)) if is_success(&edge.events, by) => Some((*kind, name)),
        _ => None,
    };
    for hold in edge.before.holds.iter().filter(|hold| Some(hold.2) != by && is_open(hold.2)) {
        let is_stolen = stolen == Some((hold.0, &hold.1));
        let is_left = edge.after.holds.contains(hold);
        ensure!(is_left != is_stolen, "{hold:?} is left: {is_left}, is stolen: {is_stolen}");
    }
    for hold in edge.after.holds.iter().filter(|hold| Some(hold.2) != by) {
        let is_granted = edge
            .grants_of_locks()
            .any(|wait| (wait.kind, &wait.name, wait.conn) == (hold.0, &hold.1, hold.2));
        ensure!(is_granted || edge.before.holds.contains(hold), "{hold:?} came from nowhere");
    }
    if let Input::Command(conn, Command::Release(kind, name)) = &edge.step.input
        && edge.is_heard()
    {
        let hold = (*kind, name.clone(), *conn);
        let was_held = edge.before.holds.contains(&hold) && is_open(*conn);
        let was_granted =
            edge.grants_of_locks().any(|wait| (wait.conn, wait.kind, &wait.name) == (*conn, *kind, name));
        let is_right = (was_held || was_granted)
            == is_told(&edge.events, *conn, |reply| matches!(reply, Reply::Released { .. }));
        ensure!(is_right, "held before: {was_held}, granted: {was_granted}, but {:?}", edge.events);
        ensure!(!edge.after.holds.contains(&hold), "it is still held");
    }
    Ok(())
}

/// What a session holds is held, by the session or by whoever has resumed it, until the session is due, kicked or
/// stolen from. Then it is not its own any more.
fn what_lingers_is_held(edge: &Edge<'_>) -> Result<(), String> {
    let is_operators = matches!(edge.step.input, Input::Command(_, Command::Kick(_) | Command::Steal(..)));
    for session in edge.before.reference.sessions() {
        let holder = edge.after.reference.holder_of(session.number);
        let is_due = session.due <= edge.step.now.0;
        for (kind, name, _) in edge.before.holds.iter().filter(|hold| hold.2 == session.conn) {
            let is_held = edge.after.holds.contains(&(*kind, name.clone(), holder));
            ensure!(is_held != is_due || is_operators, "{session:?} at {:?}: {is_held}", edge.step.now);
        }
    }
    Ok(())
}

/// Whoever resumes has all that was held, and nobody else got any of it. The other connection holds nothing.
fn what_is_resumed_was_never_free(edge: &Edge<'_>) -> Result<(), String> {
    let Input::Command(conn, Command::Resume(_)) = &edge.step.input else { return Ok(()) };
    let told = edge.events.iter().find_map(|event| match event {
        Event::Sent(of, text) if of == conn => match Reply::read(text) {
            Some(Reply::Resumed { holds }) => Some(holds as usize),
            _ => None,
        },
        _ => None,
    });
    let held = |node: &Node| node.holds.iter().filter(|hold| hold.2 == *conn).count();
    let Some(holds) = told else { return Ok(()) };
    ensure!(held(&edge.after) == holds, "it was told {holds}, and has {}", held(&edge.after));
    let ended = edge.events.iter().find_map(|event| match event {
        Event::Disconnected(old, Reason::Resumed, _) => Some(*old),
        _ => None,
    });
    if let Some(old) = ended {
        for (kind, name, _) in edge.before.holds.iter().filter(|hold| hold.2 == old) {
            let is_held = edge.after.holds.contains(&(*kind, name.clone(), *conn));
            ensure!(is_held, "{} was not taken over", name.escape_ascii());
        }
        ensure!(!edge.after.reference.is_waiting(old), "the old one waits");
    }
    Ok(())
}

/// A connection that is told that it got a lock holds it. If it is told otherwise, its holds are as before.
fn a_get_gives_what_it_says(edge: &Edge<'_>) -> Result<(), String> {
    let releases = matches!(edge.step.input, Input::Command(_, Command::Release(..) | Command::ReleaseAll))
        || matches!(edge.step.input, Input::Command(_, Command::Quit) | Input::Closed(..));
    // Who is resumed in the same step has lost it to another again.
    let is_resumed = |conn| {
        edge.events
            .iter()
            .any(|event| matches!(event, Event::Disconnected(of, Reason::Resumed, _) if *of == conn))
    };
    let grants = edge.grants_of_locks().filter(|wait| !is_resumed(wait.conn));
    for wait in grants.filter(|wait| !releases || Some(wait.conn) != edge.step.input.conn()) {
        let hold = (wait.kind, wait.name.clone(), wait.conn);
        ensure!(edge.after.holds.contains(&hold), "{hold:?} was granted and is not held");
    }
    let Some((conn, kind, name)) = edge.asks() else { return Ok(()) };
    let hold = (kind, name.clone(), conn);
    let was_held = edge.before.holds.contains(&hold);
    let is_held = edge.after.holds.contains(&hold);
    let is_got = is_told(&edge.events, conn, |reply| matches!(reply, Reply::Got { .. }));
    let is_right = if is_got { is_held } else { is_held <= was_held };
    let other = rival(kind).map(|kind| (kind, name.clone(), conn));
    let was_otherwise = other.as_ref().is_some_and(|hold| edge.before.holds.contains(hold));
    let is_otherwise = other.as_ref().is_some_and(|hold| edge.after.holds.contains(hold));
    ensure!(!is_held || !is_otherwise, "{hold:?} and {other:?} are both held");
    ensure!(is_got || was_otherwise == is_otherwise, "{other:?} did not stay as it was: {:?}", edge.events);
    ensure!(is_right, "held before: {was_held}, after: {is_held}, but {:?}", edge.events);
    Ok(())
}

/// No wait is granted before those ahead of it in line. Only `sg` gets a lock past a line.
fn first_come_first_served(edge: &Edge<'_>) -> Result<(), String> {
    let waits = edge.before.reference.waits();
    let still_waits = |wait| edge.after.reference.waits().contains(wait);
    for granted in edge.grants() {
        let mut ahead = waits.iter().take_while(|wait| wait.conn != granted.conn);
        let is_in_line = |wait: &&Wait| wait.still.is_none() && granted.still.is_none();
        let passed =
            ahead.find(|wait| is_in_line(wait) && wait.lock() == granted.lock() && still_waits(wait));
        ensure!(passed.is_none(), "{granted:?} passed {passed:?}");
    }
    let Some((conn, kind, name)) = edge.asks() else { return Ok(()) };
    let hold = (kind, name.clone(), conn);
    let had = |hold: &Hold| edge.before.holds.contains(hold);
    // Who holds a lock already may go on in another way, whoever waits.
    let had_it = had(&hold) || rival(kind).is_some_and(|kind| had(&(kind, name.clone(), conn)));
    let is_got = edge.after.holds.contains(&hold) && !had_it;
    let is_old = matches!(&edge.step.input, Input::Command(_, Command::Get(wish)) if !wish.heeds_line());
    let line = edge.after.reference.line(kind, name);
    ensure!(!is_got || is_old || line.is_empty(), "{hold:?} passed {line:?}");
    Ok(())
}

/// Holds only if one thing happens: the input, or what is due.
fn grants_come_in_order(edge: &Edge<'_>) -> Result<(), String> {
    let is_one = edge.step.now == edge.before.reference.now() || edge.step.input == Input::Tick;
    let waits = edge.before.reference.waits();
    let began: Vec<_> = edge.grants().map(|granted| waits.iter().position(|wait| wait == granted)).collect();
    ensure!(!is_one || began.is_sorted(), "{began:?}: {:?}", edge.events);
    Ok(())
}

/// The earliest deadline comes first. Of equal deadlines, the wait that began first comes first.
fn due_waits_end_by_their_deadlines(edge: &Edge<'_>) -> Result<(), String> {
    let now = edge.step.now.0;
    let due = || edge.before.reference.waits().iter().enumerate().filter(|(_, wait)| wait.deadline <= now);
    let told = edge.events.iter().filter_map(|event| match event {
        Event::Sent(conn, text) if is_timeout(text) => due().find(|(_, wait)| wait.conn == *conn),
        _ => None,
    });
    let order: Vec<_> = told.map(|(place, wait)| (wait.deadline, place)).take(due().count()).collect();
    ensure!(order.is_sorted() && order.len() == due().count(), "{order:?}: {:?}", edge.events);
    Ok(())
}

/// Leaves out the connection that sends the input: it may also get the reply to its command.
fn the_end_of_a_wait_is_told_once(edge: &Edge<'_>) -> Result<(), String> {
    for wait in edge.before.reference.waits().iter().filter(|wait| Some(wait.conn) != edge.step.input.conn())
    {
        let is_told = |event: &&Event| matches!(event, Event::Sent(of, _) if *of == wait.conn);
        let times = edge.events.iter().filter(is_told).count();
        ensure!(times <= 1, "{times} times: {:?}", edge.events);
    }
    Ok(())
}

/// Whoever waits for an end hears of it in the step in which the last of those holds ends, whoever has the lock then.
/// Nobody can give a hold back and get it again within one step.
fn an_end_is_told_when_it_comes(edge: &Edge<'_>) -> Result<(), String> {
    let told: Vec<_> = edge.grants().collect();
    for wait in edge.before.reference.waits() {
        let Some(still) = &wait.still else { continue };
        // Whoever resumes goes on with the hold.
        let heir = |conn: &Conn| match edge.before.reference.number_of(*conn) {
            Some(number) => edge.after.reference.holder_of(number),
            None => *conn,
        };
        let is_held = |conn: &Conn| edge.after.holds.contains(&(wait.kind, wait.name.clone(), heir(conn)));
        let (is_told, is_left) = (told.contains(&wait), still.iter().any(is_held));
        ensure!(!is_told || !is_left, "{wait:?} was told of an end, and there is none");
        let is_it = |other: &Wait| (other.conn, other.began) == (wait.conn, wait.began);
        let goes_on = edge.after.reference.waits().iter().any(is_it);
        ensure!(!goes_on || is_left, "{wait:?} was not told of the end");
    }
    Ok(())
}

fn no_grant_follows_its_deadline(edge: &Edge<'_>) -> Result<(), String> {
    let late = edge.grants().find(|wait| wait.deadline <= edge.step.now.0);
    ensure!(late.is_none(), "{late:?} was granted");
    Ok(())
}

/// Finds out by trying, not by the reference's definition of a deadlock.
fn a_deadlock_is_refused_exactly_when_it_is_one(edge: &Edge<'_>) -> Result<(), String> {
    let Input::Command(conn, command) = &edge.step.input else { return Ok(()) };
    if !command.may_wait() {
        return Ok(());
    }
    let (kind, name, limit) = match command {
        Command::Get(wish) => (wish.kind(), wish.name(), Some(wish.limit())),
        Command::AwaitEnd { kind, name, .. } => (*kind, name, None),
        _ => return Ok(()),
    };
    let is_refused =
        edge.events.iter().any(|event| matches!(event, Event::Sent(_, text) if is_deadlock(text)));
    if is_refused || edge.events.contains(&Event::Waits(*conn)) {
        let mut world = edge.before.reference.clone();
        world.apply(edge.step.now, &Input::Tick);
        let is_stuck = world.is_stuck_whatever_others_do(*conn, kind, name, limit);
        ensure!(is_refused == is_stuck, "refused: {is_refused}, for ever: {is_stuck}");
    }
    Ok(())
}

fn a_hold_has_one_token(edge: &Edge<'_>) -> Result<(), String> {
    let Input::Command(conn, Command::Fence(kind, name)) = &edge.step.input else { return Ok(()) };
    let told = edge.events.iter().find_map(|event| match event {
        Event::Sent(of, text) if of == conn => {
            let text = String::from_utf8_lossy(text);
            let token = text.split_once(' ').filter(|(_, rest)| rest.contains("Lock Fence: "));
            token.map(|(token, _)| token.parse::<u64>())
        }
        _ => None,
    });
    let Some(told) = told else { return Ok(()) };
    let told = told.map_err(|error| error.to_string())?;
    let reference = &edge.before.reference;
    let known = reference.token(*kind, name, *conn);
    let is_right = known.map_or(told >= reference.next_token(), |token| told == token);
    ensure!(is_right, "{told}, after {known:?}, and {} is next", reference.next_token());
    Ok(())
}

fn who_waits_is_not_heard(edge: &Edge<'_>) -> Result<(), String> {
    if edge.is_heard() || !matches!(edge.step.input, Input::Command(..)) {
        return Ok(());
    }
    let conn = edge.step.input.conn();
    let is_told = |event: &Event| matches!(event, Event::Sent(of, _) if Some(*of) == conn);
    ensure!(!edge.events.iter().any(is_told), "{:?}", edge.events);
    let held = |node: &Node| node.holds.iter().filter(|hold| Some(hold.2) == conn).count();
    ensure!(held(edge.before) == held(&edge.after), "its holds changed");
    Ok(())
}

/// Once a connection is closed, nobody sees a hold or a wait of it, and it can do nothing more. A few ticks later no
/// storage of it is left.
fn nothing_of_a_closed_connection_remains(edge: &Edge<'_>) -> Result<(), String> {
    let is_open = |node: &Node, conn| node.reference.open().iter().any(|client| client.conn == conn);
    let was_open = edge.before.reference.open().iter().map(|client| client.conn);
    let closed: Vec<Conn> = was_open.filter(|conn| !is_open(&edge.after, *conn)).collect();
    if closed.is_empty() {
        return Ok(());
    }
    if let Some(hold) =
        edge.after.holds.iter().find(|hold| closed.contains(&hold.2) && !is_left(&edge.after, hold.2))
    {
        return Err(format!("it still holds {hold:?}"));
    }
    let mut machine = edge.after.machine.clone();
    let dead = machine.figures().dead_holds();
    let live = edge.after.holds.len() as u64;
    let now = edge.after.reference.now();
    let mut events = Vec::new();
    for conn in closed {
        events.extend(observe(&mut machine, now, Input::Command(conn, &Command::Ping)));
    }
    for _ in 0..dead {
        events.extend(observe(&mut machine, now, Input::Tick));
    }
    ensure!(events.is_empty(), "it is not forgotten: {events:?}");
    ensure!(machine.figures().dead_holds() == 0, "{dead} ticks do not free {dead} dead holds");
    let counted: u64 = numbers(&machine, ["holds", "shared_holds", "read_holds", "write_holds"]).iter().sum();
    ensure!(counted == live, "{counted} holds are counted, {live} are left");
    let waiting: u64 =
        numbers(&machine, ["waiters", "shared_waiters", "read_waiters", "write_waiters", "end_waiters"])
            .iter()
            .sum();
    let left = edge.after.reference.waits().len() as u64;
    ensure!(waiting == left, "{waiting} waits are counted, {left} are left");
    Ok(())
}

fn an_extra_tick_changes_no_reply(edge: &Edge<'_>) -> Result<(), String> {
    let mut machine = edge.before.machine.clone();
    let mut events = observe(&mut machine, edge.step.now, Input::Tick);
    events.extend(observe(&mut machine, edge.step.now, edge.step.input.as_ref()));
    ensure!(events == edge.events, "{events:?}, without a tick {:?}", edge.events);
    Ok(())
}

/// At most one connection could release an exclusive lock or a write lock now. Nobody could release a read lock
/// beside a writer.
fn at_most_one_holder(node: &Node, edges: &[Edge<'_>]) -> Result<(), String> {
    for ((kind, name), count) in releases(node, edges) {
        let at_most_one = kind == Kind::Exclusive || kind == Kind::Write;
        ensure!(!at_most_one || count <= 1, "{count} connections could release {}", name.escape_ascii());
        let readers = node.holds.iter().filter(|hold| (hold.0, &hold.1) == (Kind::Read, &name)).count();
        ensure!(
            kind != Kind::Write || count == 0 || readers == 0,
            "{readers} read what another writes: {}",
            name.escape_ascii()
        );
    }
    Ok(())
}

/// Every count of the machine agrees with trying who could release what.
fn counts_are_exact(node: &Node, edges: &[Edge<'_>]) -> Result<(), String> {
    let releases = releases(node, edges);
    for edge in edges.iter().filter(|edge| edge.step.now == node.reference.now()) {
        if let Input::Command(conn, Command::Inspect(kind, name)) = &edge.step.input
            && let Some(Event::Sent(_, text)) = edge.events.last()
        {
            let told = match Reply::read(text) {
                Some(Reply::Inspected { holders, .. }) => Some(holders as usize),
                _ => None,
            };
            let count = releases.get(&(*kind, name.clone())).copied().unwrap_or(0);
            let name = name.escape_ascii();
            ensure!(
                told == Some(count),
                "{conn:?} was told {told:?} holders of {kind:?} {name}, not {count}"
            );
        }
    }
    for (kind, names_key, holds_key) in [
        (Kind::Exclusive, "locks", "holds"),
        (Kind::Shared, "shared_locks", "shared_holds"),
        (Kind::Read, "read_locks", "read_holds"),
        (Kind::Write, "write_locks", "write_holds"),
    ] {
        let counts =
            releases.iter().filter(|((of, _), count)| *of == kind && **count > 0).map(|(_, count)| *count);
        let (names, holds) = counts.fold((0, 0), |(names, holds), count| (names + 1, holds + count as u64));
        let counted = numbers(&node.machine, [names_key, holds_key]);
        ensure!(counted == [names, holds], "{counted:?} {kind:?} names and holds, not {names} and {holds}");
    }
    let open = node.reference.open().len() as u64;
    ensure!(numbers(&node.machine, ["connections"]) == [open], "the figures do not have {open} connections");
    Ok(())
}

/// Checks the head of every line.
fn nobody_waits_for_what_could_be_granted(node: &Node, _: &[Edge<'_>]) -> Result<(), String> {
    for wait in node.reference.waits() {
        let is_head = node.reference.line(wait.kind, &wait.name).first() == Some(&wait);
        let count = |kind| node.holds.iter().filter(|hold| hold.0 == kind && hold.1 == wait.name).count();
        let (holders, rivals) = (count(wait.kind), rival(wait.kind).map_or(0, count));
        ensure!(
            !is_head || !wait.fits(holders, rivals),
            "{wait:?} waits beside {holders} holders and {rivals} others"
        );
    }
    Ok(())
}

/// If all sessions end, and all connections that do not wait release everything, again and again, nobody waits.
fn whoever_waits_can_be_served(node: &Node, _: &[Edge<'_>]) -> Result<(), String> {
    let mut machine = node.machine.clone();
    let mut waiting: Vec<Conn> = node.reference.waits().iter().map(|wait| wait.conn).collect();
    let (now, left) = (node.reference.now(), node.reference.sessions());
    if !left.is_empty() {
        let operator = Conn::new(0, node.reference.highest(0) + 1);
        let opened = Input::Opened(operator, origin(operator.serial(), Account::ADMIN.0));
        observe(&mut machine, now, opened);
        for session in left {
            let kick = Command::Kick(format!("~{}", session.origin.addr).into_bytes());
            let events = observe(&mut machine, now, Input::Command(operator, &kick));
            waiting.retain(|conn| !is_success(&events, Some(*conn)));
        }
    }
    while !waiting.is_empty() {
        let before = waiting.len();
        for client in node.reference.open() {
            if !waiting.contains(&client.conn) {
                let release = Input::Command(client.conn, Command::ReleaseAll);
                let events = observe(&mut machine, node.reference.now(), release.as_ref());
                waiting.retain(|conn| !is_success(&events, Some(*conn)));
            }
        }
        ensure!(waiting.len() < before, "{waiting:?} wait for ever");
    }
    Ok(())
}

/// The replies to a connection that asks for every listing.
fn listings_are_the_references(node: &Node, _: &[Edge<'_>]) -> Result<(), String> {
    let is_free = |client: &&crate::reference::Client| !node.reference.is_waiting(client.conn);
    let Some(client) = node.reference.open().iter().find(is_free) else { return Ok(()) };
    let (mut machine, mut reference) = (node.machine.clone(), node.reference.clone());
    for command in [
        Command::List(Kind::Exclusive, Vec::new()),
        Command::List(Kind::Shared, Vec::new()),
        Command::Dump(Kind::Exclusive),
        Command::Dump(Kind::Shared),
        Command::ListAll(Vec::new()),
        Command::Query { full: true },
    ] {
        let input = Input::Command(client.conn, command);
        let now = reference.now();
        let expected = reference.apply(now, &input);
        let events = observe(&mut machine, now, input.as_ref());
        ensure!(events == expected, "{}", difference(&events, &expected));
    }
    Ok(())
}

/// How many releases of each lock would succeed now. A waiting connection is not heard, and a session says
/// nothing, so their holds are taken from the machine's list.
fn releases(node: &Node, edges: &[Edge<'_>]) -> BTreeMap<(Kind, Vec<u8>), usize> {
    let mut counts: BTreeMap<_, usize> = BTreeMap::new();
    for edge in edges.iter().filter(|edge| edge.step.now == node.reference.now()) {
        if let Input::Command(conn, Command::Release(kind, name)) = &edge.step.input {
            let is_success = is_told(&edge.events, *conn, |reply| matches!(reply, Reply::Released { .. }));
            *counts.entry((*kind, name.clone())).or_default() += usize::from(is_success);
        }
    }
    let is_silent = |conn| node.reference.is_waiting(conn) || is_left(node, conn);
    for (kind, name, _) in node.holds.iter().filter(|hold| is_silent(hold.2)) {
        *counts.entry((*kind, name.clone())).or_default() += 1;
    }
    counts
}

impl Edge<'_> {
    /// Whether the input's connection did not wait any more when the input came.
    fn is_heard(&self) -> bool {
        let wait =
            self.before.reference.waits().iter().find(|wait| Some(wait.conn) == self.step.input.conn());
        wait.is_none_or(|wait| wait.deadline <= self.step.now.0 || self.is_granted_before_the_input(wait))
    }

    /// Whether `wait` was granted because of what was due by the input's time.
    fn is_granted_before_the_input(&self, wait: &Wait) -> bool {
        let mut world = self.before.reference.clone();
        world.apply(self.step.now, &Input::Tick);
        !world.is_waiting(wait.conn)
    }

    /// The connection and the lock, if the input is a get.
    fn asks(&self) -> Option<(Conn, Kind, &Vec<u8>)> {
        match &self.step.input {
            Input::Command(conn, Command::Get(wish)) => Some((*conn, wish.kind(), wish.name())),
            _ => None,
        }
    }
}

fn is_success(events: &[Event], conn: Option<Conn>) -> bool {
    let is_it = |event: &Event| match event {
        Event::Sent(of, text) => {
            Some(*of) == conn && Reply::read(text).is_none_or(|reply| !reply.is_failure())
        }
        _ => false,
    };
    events.iter().any(is_it)
}

/// Whether an ended connection has left a session.
fn is_left(node: &Node, conn: Conn) -> bool {
    node.reference.sessions().iter().any(|session| session.conn == conn)
}

/// Whether a connection was told this.
fn is_told(events: &[Event], conn: Conn, is_it: impl Fn(&Reply<'_>) -> bool) -> bool {
    let says = |text: &[u8]| Reply::read(text).is_some_and(|reply| is_it(&reply));
    events.iter().any(|event| matches!(event, Event::Sent(of, text) if *of == conn && says(text)))
}

fn is_timeout(reply: &[u8]) -> bool {
    matches!(Reply::read(reply), Some(Reply::GetTimeout { .. } | Reply::EndTimeout { .. }))
}

/// Some of the figures of `q full`.
fn numbers<const N: usize>(machine: &Machine, keys: [&str; N]) -> [u64; N] {
    let mut found = [0; N];
    machine.figures().each(true, &mut |key, figure| {
        if let (Some(at), Figure::Number(number)) = (keys.iter().position(|wanted| *wanted == key), figure) {
            found[at] = number;
        }
    });
    found
}
