//! The same without async: a guard is asked whether it is still held.

use elockd_client::{Error, blocking};

fn main() -> Result<(), Error> {
    let server = std::env::args().nth(1).unwrap_or("127.0.0.1:9999".to_owned());
    let client = blocking::connect(&server)?;
    let guard = match client.lock("backup").try_now() {
        Err(Error::Held { by: Some(holder), .. }) => {
            println!("{holder} is at it");
            return Ok(());
        }
        guard => guard?,
    };
    for part in 0..3 {
        if !guard.is_held() {
            println!("stopped before part {part}: {:?}", guard.state());
            return Ok(());
        }
        println!("part {part}");
    }
    guard.release()
}
