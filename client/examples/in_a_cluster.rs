//! A lock of a cluster: any node will do, and the guard tells in time if its node dies.

use elockd_client::{Client, Error};
use std::time::Duration;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let mut builder = Client::builder().cluster();
    for node in std::env::args().skip(1) {
        builder = builder.server(node.parse()?);
    }
    let client = builder.connect().await?;
    let guard = client.lock("backup").wait(Duration::from_secs(5)).await?;
    println!("held, by way of {}", guard.server());
    guard.release().await
}
