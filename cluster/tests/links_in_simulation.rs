//! Goal: links work on a simulated network, whose lost packets never come again. Method: two nodes under turmoil. The
//! path between them is cut and mended, and one crashes and begins again.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use elockd_cluster::net::{Answer, Ask, Bounds, LinkEnd, Links, Net, Purpose, serve};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use turmoil::net::{TcpListener, TcpStream};

const PORT: u16 = 7373;

/// The simulated network.
#[derive(Clone)]
struct Simulated;

impl Net for Simulated {
    type Stream = TcpStream;
    type Accepted = TcpStream;
    type Listener = TcpListener;

    async fn connect(&self, address: &str) -> io::Result<TcpStream> {
        TcpStream::connect(address.to_owned()).await
    }

    async fn accept(&self, listener: &mut TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
        listener.accept().await
    }

    async fn begin(&self, accepted: TcpStream) -> io::Result<TcpStream> {
        Ok(accepted)
    }
}

/// Answers with what was asked.
struct Echo;

impl Answer for Echo {
    async fn answer(&self, _: u16, _: Purpose, _: u8, payload: Vec<u8>) -> Option<Vec<u8>> {
        Some(payload)
    }
}

const fn end(node: u16) -> LinkEnd {
    LinkEnd { cluster: 1, node }
}

fn links() -> Links<Simulated> {
    let links = Links::new(Simulated, end(1), Bounds::default());
    links.set_members(BTreeMap::from([(2, format!("two:{PORT}"))]));
    links
}

async fn asked(links: &Links<Simulated>, within: Duration) -> bool {
    Ask::ask(links, 2, Purpose::Beats, 1, vec![7], within).await == Ok(vec![7])
}

/// A simulation in which node 2 answers at host `two`.
fn simulation<'a>() -> turmoil::Sim<'a> {
    let mut sim = turmoil::Builder::new().simulation_duration(Duration::from_mins(1)).rng_seed(1).build();
    sim.host("two", || async {
        let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
        let _serving = serve(Simulated, listener, end(2), Bounds::default(), |_, _| Ok(()), Echo);
        std::future::pending::<turmoil::Result>().await
    });
    sim
}

/// Goal: a link that lost packets is given up while the path is cut, and made again soon after it is mended. Method:
/// the path is cut with a request under way, for each of several times.
#[test]
fn a_cut_path_is_noticed_and_used_again() {
    let mut sim = simulation();
    sim.client("one", async {
        let links = links();
        let bounds = Bounds::default();
        for cut in [100, 900, 1500, 5000] {
            assert!(asked(&links, bounds.greeting).await);
            turmoil::partition("one", "two");
            let until = Instant::now() + Duration::from_millis(cut);
            // It is down or late, and never answered.
            while Instant::now() < until {
                assert!(!asked(&links, Duration::from_millis(50)).await);
                sleep(Duration::from_millis(1)).await;
            }
            turmoil::repair("one", "two");
            let mended = Instant::now();
            while !asked(&links, Duration::from_millis(50)).await {
                sleep(Duration::from_millis(1)).await;
            }
            // A try that began just before the path was mended has to run out, and then comes one delay.
            let most = bounds.silence.max(bounds.greeting) + Duration::from_millis(500 + 50);
            assert!(mended.elapsed() <= most, "{:?} after {cut} ms", mended.elapsed());
        }
        Ok(())
    });
    sim.run().unwrap();
}

/// Goal: a node that crashed is linked to again when it is back. Method: it crashes between two requests.
#[test]
fn a_node_that_crashed_is_linked_to_again() {
    let mut sim = simulation();
    let (ask_for_crash, mut wanted) = tokio::sync::mpsc::unbounded_channel();
    sim.client("one", async move {
        let links = links();
        for _ in 0..3 {
            while !asked(&links, Duration::from_millis(50)).await {
                sleep(Duration::from_millis(1)).await;
            }
            ask_for_crash.send(()).unwrap();
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    });
    let mut crashes = 0;
    while !sim.step().unwrap() {
        if wanted.try_recv().is_ok() {
            sim.crash("two");
            sim.bounce("two");
            crashes += 1;
        }
    }
    assert_eq!(crashes, 3);
}
