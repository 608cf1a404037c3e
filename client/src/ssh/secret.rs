//! Passwords and passphrases: where they come from, how often they are told, and how long they are kept.
//!
//! A secret is asked for when it is needed, and kept in memory for the next connection. One that was refused is
//! forgotten, and never sent again: a server may lock an account after a few wrong ones.

use std::fmt;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex as Quick, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};
use zeroize::Zeroizing;

/// A password or a passphrase. It is wiped when it is dropped, and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// A secret of these bytes.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// As text, which is all that SSH has room for.
    pub(crate) fn text(&self) -> io::Result<&str> {
        std::str::from_utf8(&self.0)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the password is not UTF-8"))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretKind {
    /// The password of an account.
    Password,
    /// The passphrase of a key.
    Passphrase,
}

/// A question for a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretQuestion {
    /// What is wanted.
    pub kind: SecretKind,
    /// The question as SSH has it.
    pub text: String,
}

/// Answers questions. It may block: it runs in a thread of its own.
pub type Answerer = dyn Fn(&SecretQuestion) -> io::Result<Secret> + Send + Sync;

/// Where the secrets of one destination come from, and those that are known.
#[derive(Default)]
pub(crate) struct Secrets {
    answerer: Option<Arc<Answerer>>,
    password: Mutex<Kept>,
    passphrase: Mutex<Kept>,
}

/// What is known of one secret.
#[derive(Default)]
struct Kept {
    known: Option<Secret>,
    refused: Option<Secret>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").field("are_asked", &self.answerer.is_some()).finish_non_exhaustive()
    }
}

impl Secrets {
    pub(crate) fn new(answerer: Option<Arc<Answerer>>) -> Self {
        Self { answerer, ..Self::default() }
    }

    /// Whether there is anybody to ask.
    pub(crate) fn are_asked(&self) -> bool {
        self.answerer.is_some()
    }

    fn kept(&self, kind: SecretKind) -> &Mutex<Kept> {
        match kind {
            SecretKind::Password => &self.password,
            SecretKind::Passphrase => &self.passphrase,
        }
    }
}

/// One attempt to log in. It tells each kind of secret at most once.
#[derive(Debug)]
pub(crate) struct Attempt {
    secrets: Arc<Secrets>,
    told: Quick<Told>,
}

/// What happened in an attempt.
#[derive(Debug, Default)]
struct Told {
    kinds: Vec<SecretKind>,
    /// Why a secret was not to be had.
    failure: Option<String>,
    /// Since when somebody is asked.
    asking: Option<Instant>,
    /// How long was asked, as far as no limit has been extended by it.
    asked: Duration,
}

impl Attempt {
    pub(crate) fn new(secrets: &Arc<Secrets>) -> Arc<Self> {
        Arc::new(Self { secrets: Arc::clone(secrets), told: Quick::default() })
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is anybody to ask.
    pub(crate) fn may_ask(&self) -> bool {
        self.secrets.are_asked()
    }

    /// The secret, if it was not told before in this attempt.
    pub(crate) async fn tell(&self, kind: SecretKind, text: &str) -> io::Result<Secret> {
        let told = self.look_up(kind, text).await;
        if let Err(error) = &told {
            self.told().failure.get_or_insert(error.to_string());
        }
        told
    }

    async fn look_up(&self, kind: SecretKind, text: &str) -> io::Result<Secret> {
        let refuse = |why: &str| Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        {
            let mut told = self.told();
            if told.kinds.contains(&kind) {
                return refuse("it was asked for a second time");
            }
            told.kinds.push(kind);
        }
        let mut kept = self.secrets.kept(kind).lock().await;
        if let Some(known) = &kept.known {
            return Ok(known.clone());
        }
        let Some(answerer) = &self.secrets.answerer else { return refuse("there is nobody to ask for it") };
        let (answerer, question) =
            (Arc::clone(answerer), SecretQuestion { kind, text: text.trim().to_owned() });
        self.told().asking = Some(Instant::now());
        let told = tokio::task::spawn_blocking(move || answerer(&question)).await;
        {
            let mut told = self.told();
            let asked = told.asking.take().map_or(Duration::ZERO, |since| since.elapsed());
            told.asked += asked;
        }
        let secret = told.map_err(io::Error::other)??;
        if kept.refused.as_ref() == Some(&secret) {
            return refuse("it is the one that was refused before");
        }
        kept.known = Some(secret.clone());
        Ok(secret)
    }

    /// The login was refused. What was told for it is not told again. Returns what else there is to say about it.
    pub(crate) async fn refused(&self) -> Option<String> {
        let (kinds, failure) = {
            let told = self.told();
            (told.kinds.clone(), told.failure.clone())
        };
        for kind in kinds {
            let mut kept = self.secrets.kept(kind).lock().await;
            if let Some(secret) = kept.known.take() {
                kept.refused = Some(secret);
            }
        }
        failure
    }

    /// Does something within a limit. The time in which somebody is asked does not count.
    pub(crate) async fn within<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = io::Result<T>>,
    ) -> io::Result<T> {
        let mut work = pin!(work);
        let mut end = Instant::now() + limit;
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = sleep_until(end) => {
                    let more = self.extension();
                    if more.is_zero() {
                        let text = format!("the SSH server has not let us in within {limit:?}");
                        return Err(io::Error::new(io::ErrorKind::TimedOut, text));
                    }
                    end += more;
                }
            }
        }
    }

    /// For how long somebody was asked since this was called last.
    fn extension(&self) -> Duration {
        let mut told = self.told();
        let now = Instant::now();
        let until_now =
            told.asking.map_or(Duration::ZERO, |since| (now - since).max(Duration::from_millis(1)));
        if told.asking.is_some() {
            told.asking = Some(now);
        }
        std::mem::take(&mut told.asked) + until_now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Secrets that are "1", "2" and so on, and how often they were asked for.
    fn counting() -> (Arc<Secrets>, Arc<AtomicUsize>) {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let answer = move |_: &SecretQuestion| {
            let asked = counted.fetch_add(1, Ordering::SeqCst) + 1;
            Ok(Secret::new(asked.to_string().into_bytes()))
        };
        (Arc::new(Secrets::new(Some(Arc::new(answer)))), count)
    }

    #[tokio::test]
    async fn a_secret_is_asked_for_once_and_told_once_an_attempt() {
        let (secrets, count) = counting();
        for _ in 0..3 {
            let attempt = Attempt::new(&secrets);
            assert_eq!(attempt.tell(SecretKind::Password, "").await.unwrap().bytes(), b"1");
            assert!(attempt.tell(SecretKind::Password, "").await.is_err(), "a second time");
            assert_eq!(attempt.tell(SecretKind::Passphrase, "").await.unwrap().bytes(), b"2");
        }
        assert_eq!(count.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_refused_secret_is_asked_for_anew_and_never_sent_again() {
        let (secrets, _) = counting();
        let attempt = Attempt::new(&secrets);
        attempt.tell(SecretKind::Password, "").await.unwrap();
        assert_eq!(attempt.refused().await, None);
        assert_eq!(Attempt::new(&secrets).tell(SecretKind::Password, "").await.unwrap().bytes(), b"2");

        let same: Arc<Answerer> = Arc::new(|_: &SecretQuestion| Ok(Secret::new(b"x".to_vec())));
        let secrets = Arc::new(Secrets::new(Some(same)));
        let attempt = Attempt::new(&secrets);
        attempt.tell(SecretKind::Password, "").await.unwrap();
        attempt.refused().await;
        let attempt = Attempt::new(&secrets);
        assert!(attempt.tell(SecretKind::Password, "").await.is_err());
        assert!(attempt.refused().await.unwrap().contains("refused before"));
    }

    #[tokio::test]
    async fn nobody_to_ask_is_told() {
        let secrets = Arc::new(Secrets::default());
        let attempt = Attempt::new(&secrets);
        assert!(!attempt.may_ask() && attempt.tell(SecretKind::Password, "").await.is_err());
        assert!(attempt.refused().await.unwrap().contains("nobody to ask"));
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", Secret::new(b"hunter2".to_vec())), "Secret");
    }

    /// Goal: a person may take time to type. Method: an answer that takes longer than the limit.
    #[tokio::test]
    async fn the_time_of_asking_does_not_count() {
        let slow: Arc<Answerer> = Arc::new(|_: &SecretQuestion| {
            std::thread::sleep(Duration::from_millis(300));
            Ok(Secret::new(b"x".to_vec()))
        });
        let attempt = Attempt::new(&Arc::new(Secrets::new(Some(slow))));
        let limit = Duration::from_millis(100);
        attempt.within(limit, attempt.tell(SecretKind::Password, "")).await.unwrap();
        let never = attempt.within(limit, std::future::pending::<io::Result<()>>());
        assert_eq!(never.await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
