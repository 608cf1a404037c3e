//! Nodes: the end of one with all its connections, and which of them drain. A single daemon is node 0.

use super::Machine;
use super::input::Cause;
use super::output::Output;
use crate::probe::Mark;
use crate::storage::Id;
use crate::table::Connection;
use crate::types::Conn;

impl Machine {
    /// The highest serial that a node has used; 0 if none. The node's next connection must have a higher one.
    #[must_use]
    pub fn highest(&self, node: u16) -> u64 {
        self.connections.nodes().next_serial(node).saturating_sub(1)
    }

    /// How many connections a node of a cluster has. 0 for a daemon that is alone, whose connections are not listed so.
    #[must_use]
    pub fn connections_of(&self, node: u16) -> u64 {
        self.connections.nodes().get(node).map_or(0, |node| node.connections().len() as u64)
    }

    /// Ends all connections of a node, by ascending number: slots differ between replicas. The lines are settled once,
    /// after the last. Otherwise a connection might get a lock that is about to end itself.
    #[cold]
    pub(super) fn lose(&mut self, node: u16, out: &mut impl FnMut(Conn, Output<'_>)) {
        for id in self.connections.of_node(node) {
            self.close(id, Cause::NodeLost, out);
        }
        self.connections.set_drains(node, false);
        self.draining = self.connections.nodes().any_drains();
        self.settle(Mark::GrantByNodeLoss, out);
    }

    /// Whether the node of a connection drains. Mostly no node does, and that costs one comparison.
    #[inline]
    pub(super) fn drains(&self, id: Id<Connection>) -> bool {
        self.draining && self.connections.drains(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::machine::{DriverInput, Input};
    use crate::types::{Account, Addr, Now, Origin};
    use crate::wire::{encode, parse};

    /// A machine, and what it has told since somebody asked.
    struct World {
        machine: Machine,
        told: Vec<String>,
    }

    impl World {
        /// Opens connections 1 to 3 of each of two nodes.
        fn new() -> Self {
            let mut world = Self { machine: Machine::new(Config::smallest_storage()), told: Vec::new() };
            for (node, serial) in [(1, 1), (2, 1), (1, 2), (2, 2), (1, 3), (2, 3)] {
                world.open(node, serial);
            }
            world
        }

        fn apply(&mut self, input: DriverInput<'_>) -> Vec<String> {
            let told = &mut self.told;
            self.machine.apply(Now(0), input, &mut |to, output| told.push(text(to, &output)));
            self.machine.check().expect("every invariant holds");
            std::mem::take(&mut self.told)
        }

        fn open(&mut self, node: u16, serial: u64) -> Vec<String> {
            let origin = Origin { addr: Addr::Unix(serial), account: Account::default() };
            self.apply(DriverInput::Opened(Conn::new(node, serial), origin))
        }

        fn say(&mut self, node: u16, serial: u64, line: &str) -> Vec<String> {
            let command = parse(line.as_bytes()).expect("a line");
            let (told, conn) = (&mut self.told, Conn::new(node, serial));
            self.machine.apply(Now(0), Input::Command(conn, &command), &mut |to, output| {
                told.push(text(to, &output));
            });
            std::mem::take(&mut self.told)
        }

        fn ignored(&self) -> u64 {
            self.machine.counters.ignored
        }
    }

    fn text(to: Conn, output: &Output<'_>) -> String {
        let (node, serial) = (to.node(), to.serial());
        let mut line = Vec::new();
        match output {
            Output::Reply(reply) => encode(reply, &mut line),
            output => line = format!("{output:?}\n").into_bytes(),
        }
        format!("{node}.{serial} {}", String::from_utf8_lossy(&line).trim_end())
    }

    /// Goal: a node ends as one. Method: connections of it and of another one wait for what it holds, in mixed order.
    #[test]
    fn what_a_node_held_goes_to_others_and_never_to_its_own() {
        let mut world = World::new();
        world.say(1, 3, "g x");
        for (node, serial) in [(1, 1), (2, 1), (1, 2), (2, 2)] {
            assert_eq!(world.say(node, serial, "gw 1000 x"), [format!("{node}.{serial} Wait")]);
        }
        assert_eq!(world.apply(Input::Gone(1)), ["2.1 1 Lock Get Success: x"]);
        assert_eq!(world.machine.figures().connections(), 3);
        assert_eq!(world.machine.counters.closed[Cause::NodeLost.index()], 3);
        assert_eq!(world.machine.figures().waits.total(), 1, "2.2 waits on");
    }

    /// Goal: the end of a node takes no other with it. Method: node 0, whose connections are not listed, and node 1 end
    /// one after the other.
    #[test]
    fn a_node_that_is_gone_ends_no_connection_of_another_node() {
        let mut world = World::new();
        for serial in 1..=3 {
            world.open(0, serial);
        }
        for (node, left) in [(7, 9), (0, 6), (0, 6), (1, 3), (2, 0)] {
            assert_eq!(world.apply(Input::Gone(node)), [""; 0]);
            assert_eq!(world.machine.figures().connections(), left);
        }
        assert_eq!(world.ignored(), 0);
    }

    /// Goal: numbers ascend for each node by itself, and go on after its end.
    #[test]
    fn each_node_has_serials_of_its_own() {
        let mut world = World::new();
        assert_eq!([0, 1, 2, 3].map(|node| world.machine.highest(node)), [0, 3, 3, 0]);
        world.open(2, 9);
        world.open(1, 4);
        assert_eq!((world.machine.figures().connections(), world.ignored()), (8, 0));
        world.apply(Input::Gone(2));
        world.open(2, 9);
        assert_eq!((world.machine.figures().connections(), world.ignored()), (4, 1), "it was used before");
        world.open(2, 10);
        assert_eq!((world.machine.figures().connections(), world.machine.highest(2)), (5, 10));
    }

    /// Goal: a node drains for itself. Method: two nodes wait for one lock, and one of them drains.
    #[test]
    fn a_drain_ends_the_waits_of_one_node_and_lets_in_those_behind_them() {
        let mut world = World::new();
        world.say(2, 3, "rg x");
        world.say(1, 1, "wgw 1000 x");
        world.say(2, 1, "rgw 1000 x");
        let told = world.apply(Input::Drain(1));
        assert_eq!(told, ["1.1 0 Shutting Down", "2.1 2 Read Lock Get Success: x"]);
        assert_eq!(world.say(1, 2, "g y"), ["1.2 0 Shutting Down"]);
        assert_eq!(world.say(2, 2, "g y"), ["2.2 1 Lock Get Success: y"]);
        world.apply(Input::Gone(1));
        world.open(1, 4);
        assert_eq!(world.say(1, 4, "g z"), ["1.4 1 Lock Get Success: z"], "it is another epoch");
    }

    /// Goal: who asked for grace keeps it when its node is gone.
    #[test]
    fn a_session_outlives_its_node() {
        let mut world = World::new();
        let told = world.say(1, 1, "linger 500");
        let key = told[0].split(' ').nth(4).expect("a key").to_owned();
        world.say(1, 1, "g x");
        assert_eq!(world.apply(Input::Gone(1)), [""; 0]);
        assert_eq!(world.say(2, 1, "g x"), ["2.1 0 Lock Get Failure: x"]);
        assert_eq!(world.say(2, 2, &format!("resume {key}")), ["2.2 1 Resume Success: 1"]);
        assert_eq!(world.say(2, 2, "r x"), ["2.2 1 Lock Release Success: x"]);
    }
}
