//! Every kind of lock once.

use elockd_client::{Client, Error};
use std::time::Duration;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let server = std::env::args().nth(1).unwrap_or("127.0.0.1:9999".to_owned());
    let client = Client::builder().server(server.parse()?).name("kinds").connect().await?;
    let second = Duration::from_secs(1);

    // At most 4 at a time.
    let worker = client.shared("workers").limit(4).wait(second).await?;
    // Many read, or one writes.
    let reader = client.read("index").wait(second).await?;
    // One of 2 graphics cards, by number.
    let card = client.slot("gpu", 2, Some(second)).await?;
    println!("card {}", card.index());
    // Two at once, or none.
    let both = client.lock_all(["from", "to"], Some(second)).await?;
    println!("{} locks", both.iter().count());
    // At most 5 mails a second, among all clients.
    client.rate("mails", 5, second).get().await?;
    // Until the deploy is over, if there is one.
    client.ended("deploy").wait(second).await?;
    // For as long as somebody leads, nobody else does.
    let result = client.lead("scheduler", |lock| async move { lock.is_held() }).await?;
    println!("led: {result}");

    // Kept for 10 s if the connection is lost, and then resumed.
    let guard = client.lock("precious").linger(Duration::from_secs(10)).try_now().await?;
    guard.release().await?;

    both.release().await?;
    card.release().await?;
    reader.release().await?;
    worker.release().await
}
