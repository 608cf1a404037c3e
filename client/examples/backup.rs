//! One machine at a time makes the backup, and stops if it cannot count on the lock any more.

use elockd_client::{Client, Error};
use std::time::Duration;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let server = std::env::args().nth(1).unwrap_or("127.0.0.1:9999".to_owned());
    let client = Client::connect(&server).await?;
    let guard = match client.lock("backup").named("nightly").wait(Duration::from_secs(5)).await {
        Ok(guard) => guard,
        Err(Error::Timeout) => {
            println!("somebody else is at it");
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    tokio::select! {
        lost = guard.lost() => println!("stopped halfway: {lost}"),
        () = back_up(guard.token()) => guard.release().await?,
    }
    Ok(())
}

/// The store refuses a token that is lower than the highest it has seen.
async fn back_up(token: Option<u64>) {
    println!("backing up, with a token: {}", token.is_some());
    tokio::time::sleep(Duration::from_millis(100)).await;
}
