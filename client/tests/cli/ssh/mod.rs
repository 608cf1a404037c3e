//! Goal: locks from behind an SSH host, and commands at one, as the page about SSH promises. Method: a real sshd on
//! this machine, and both ways into it.

mod host;
mod losing;
mod page;
mod refusals;
mod remote;
mod traces;
mod tunnel;
mod ways;
