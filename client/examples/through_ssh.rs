//! A lock of a daemon behind an SSH host. The password comes from a file.

use elockd_client::ssh::{self, Secret, Ssh};
use elockd_client::{Client, Server};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The program ssh runs this program once more, to ask for the password.
    ssh::init();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut arguments = std::env::args().skip(1);
        let destination = arguments.next().ok_or("as whom, and where?")?.parse()?;
        let password = arguments.next().ok_or("in which file is the password?")?;
        let known_hosts = arguments.next().ok_or("in which file are the known hosts?")?;
        let server: Server = arguments.next().ok_or("where is the daemon?")?.parse()?;
        let ssh = Ssh::builder(destination)
            .known_hosts(known_hosts)
            .secrets(move |_| {
                let text = std::fs::read_to_string(&password)?;
                Ok(Secret::new(text.trim_end().into()))
            })
            .build();
        let client = Client::builder().server(server.via_ssh(&ssh)).connect().await?;
        let guard = client.lock("cron.daily").get().await?;
        println!("it is ours: {}", guard.is_held());
        guard.release().await?;
        Ok(())
    })
}
