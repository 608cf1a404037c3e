//! The daemon's end of one connection, played by a test line by line.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

pub(crate) struct Line(pub(crate) DuplexStream);

impl Line {
    /// The next request.
    pub(crate) async fn request(&mut self) -> String {
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            line.push(self.0.read_u8().await.unwrap());
        }
        String::from_utf8(line).unwrap().trim_end().to_owned()
    }

    pub(crate) async fn hears(&mut self, request: &str) {
        assert_eq!(self.request().await, request);
    }

    pub(crate) async fn says(&mut self, answer: &str) {
        self.0.write_all(format!("{answer}\n").as_bytes()).await.unwrap();
    }

    pub(crate) async fn ends(&mut self) {
        assert_eq!(self.0.read(&mut [0; 64]).await.unwrap(), 0, "nothing is said before the end");
    }

    /// A get of `a` that succeeds, without waiting.
    pub(crate) async fn gives_a(&mut self, token: &str) {
        self.hears("g a").await;
        self.hears("f a").await;
        self.says("1 Lock Get Success: a").await;
        self.says(token).await;
    }

    /// A request for a grace that is granted.
    pub(crate) async fn grants_linger(&mut self, ms: u32) {
        self.hears(&format!("linger {ms}")).await;
        self.says(&format!("1 Linger Success: {KEY} {ms}")).await;
    }

    /// A resumption of `a` that succeeds.
    pub(crate) async fn resumes_a(&mut self, token: &str) {
        self.hears(&format!("resume {KEY}")).await;
        self.says("1 Resume Success: 1").await;
        self.hears("f a").await;
        self.says(token).await;
    }
}

/// The key of a grace.
pub(crate) const KEY: &str = "0123456789abcdef0123456789abcdef";
