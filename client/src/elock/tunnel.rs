//! `elock tunnel`: ports here that lead to ports at the other side of an SSH host, for as long as it runs.

use crate::options::Options;
use crate::output::tell;
use crate::run::or_signal;
use crate::signals::{Signals, die_of};
use crate::status::{Failure, NO_DAEMON, Outcome};
use clap::Args;
use elockd_client::ssh::{Destination, Forwarding};
use std::time::Duration;
use tokio::time::sleep;

/// The pauses between attempts to connect again: the first, and the longest. Each is twice the one before.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

#[derive(Args, Debug)]
pub(crate) struct TunnelArgs {
    /// A port here, and where it leads, as seen from the SSH host. BIND is 127.0.0.1 if it is left out. May be
    /// repeated.
    #[arg(short = 'L', long = "local", value_name = "[BIND:]PORT:HOST:PORT", required = true)]
    forwardings: Vec<Forwarding>,
    /// The SSH host.
    #[arg(value_name = "[USER@]HOST[:PORT]")]
    host: Destination,
}

/// Keeps the tunnel until a signal ends it. If it cannot be had at the beginning, that is a failure.
pub(crate) async fn tunnel(options: &Options, args: &TunnelArgs, signals: &mut Signals) -> Outcome {
    let ssh = options.ssh.to(&args.host);
    let mut pause = None;
    loop {
        let mut was_ready = false;
        let told = || {
            was_ready = true;
            for forwarding in &args.forwardings {
                tell(format_args!("{forwarding} via {}", args.host));
            }
        };
        let ended = match or_signal(ssh.tunnel(&args.forwardings, told), signals).await {
            Ok(ended) => ended,
            Err(signal) => return Ok(die_of(signal).into()),
        };
        let reason = match ended {
            Err(error) if pause.is_none() => return Err(Failure::new(NO_DAEMON, error)),
            Ok(reason) | Err(reason) => reason,
        };
        let next = match pause {
            Some(pause) if !was_ready => PAUSES.1.min(pause * 2),
            _ => PAUSES.0,
        };
        pause = Some(next);
        tell(format_args!("{reason}; trying again"));
        if let Err(signal) = or_signal(sleep(next.mul_f64(0.5 + fastrand::f64() / 2.0)), signals).await {
            return Ok(die_of(signal).into());
        }
    }
}
