//! A command at the other side of an SSH server, which does not outlive its lock.
//!
//! SSH has no means that all servers share to signal a command, and when a connection breaks, its command goes on. So
//! there are two lines at the other side, each a small script for `sh`:
//!
//! * The *runner* says its process id, waits for a go, and runs the command. The user's streams are its streams.
//! * The *guard* is told the process id. It hands on signals, and it stops the command if it is told so, if its
//!   connection ends, or if it hears nothing for a while.
//!
//! The go is given when the guard watches. So no command runs unguarded. It leads a process group of its own, and all
//! that it has started is in that group, unless it left it.

use crate::ssh::random;
use crate::ssh::secret::{Attempt, Secrets};
use crate::ssh::way::{End, Exec, ExecEnd, Way};
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// The most bytes of a line for the other side. Linux takes 128 KiB as one argument.
const MOST_LINE: usize = 100 << 10;
/// The most bytes that an SSH server may say before the line is run.
const MOST_TALK: usize = 64 << 10;
/// How long the guard may take to take a word. If it cannot be reached, it will act by itself.
const WORD: Duration = Duration::from_secs(2);
/// How long a way may take to say why it has failed.
const PATIENCE: Duration = Duration::from_secs(2);
/// Pauses up to here end when nothing is left to be stopped. It is looked every second.
const LOOKED_AT: Duration = Duration::from_mins(1);

/// Decodes the words behind it: each byte that a shell could obey comes as `\0` and three octal digits. No login shell
/// sees anything else.
const DECODE: &str = "i=$#; while [ \"$i\" -gt 0 ]; do x=$(printf %b. \"$1\"); shift; set -- \"$@\" \"${x%.}\"; \
                      i=$((i-1)); done; mark=$1; shift; ";

/// The shell gets the command's signals too, as its group does, and outlives them to tell the command's status.
const RUNNER: &str = "while :; do case $1 in --) break;; esac; export \"$1\"; shift; done; shift; echo \"$mark $$\" >&2; \
                      read -r go || exit 255; trap : HUP INT PIPE QUIT TERM USR1 USR2; \"$@\"; exit $?";

const GUARD: &str = "quiet=$1; shift; echo \"$mark guard\"; read -r group || exit 0; \
    stop() { for step do case $step in \
    [0-9]*) kill -s 0 -- \"-$group\" 2>/dev/null || return 0; sleep \"$step\";; \
    *) kill -s \"$step\" -- \"-$group\" 2>/dev/null;; esac; done; }; \
    watch() { (trap \"kill \\$pause; exit\" TERM; sleep \"$quiet\" >/dev/null 2>&1 & pause=$!; wait \"$pause\"; \
    trap \"\" TERM; stop \"$@\") & timer=$!; }; \
    unwatch() { kill \"$timer\" 2>/dev/null; wait \"$timer\" 2>/dev/null; }; \
    echo \"$mark guarding\"; watch \"$@\"; \
    while read -r word; do unwatch; case $word in beat) ;; done) exit 0;; stop) stop \"$@\"; exit 0;; \
    *) kill -s \"$word\" -- \"-$group\" 2>/dev/null;; esac; watch \"$@\"; done; \
    unwatch; stop \"$@\"";

/// What is to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteCommand {
    /// The program and its arguments. None has a zero byte.
    pub words: Vec<Vec<u8>>,
    /// Variables for its environment. The names are plain.
    pub environment: Vec<(String, Vec<u8>)>,
    /// How it is stopped.
    pub steps: Vec<StopStep>,
    /// After how long without a [beat](CommandGuard::beat) it is stopped.
    pub quiet: Duration,
}

/// A step of stopping a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopStep {
    /// The command and all that it has started get this signal: `TERM`, without `SIG`.
    Signal(String),
    /// Time passes, unless nothing is left to be stopped.
    Pause(Duration),
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finish {
    /// With the status that a shell would have for it.
    Status(u8),
    /// With 255, or the connection has failed: the program of OpenSSH has the same status for both.
    Unknown,
    /// The connection has ended before it.
    Broken(String),
}

/// A command that runs at the other side, and its guard. If it is dropped, the guard stops the command.
#[derive(Debug)]
pub struct Remote {
    /// The command's stdin.
    pub stdin: UnixStream,
    /// The command's stdout.
    pub stdout: UnixStream,
    /// The command's stderr.
    pub stderr: UnixStream,
    /// The end that is to come.
    pub running: Running,
    /// Who stops it.
    pub guard: CommandGuard,
}

/// The end of a command that is still to come.
#[derive(Debug)]
pub struct Running(ExecEnd);

impl Running {
    /// Waits for it. Nothing is lost if the future is dropped. It must not be asked for again afterwards.
    pub async fn ended(&mut self) -> Finish {
        match self.0.wait().await {
            End::Code(code) => Finish::Status(u8::try_from(code).unwrap_or(u8::MAX)),
            End::Signal(name) => Finish::Status(status_of(&name)),
            End::Unknown => Finish::Unknown,
            End::Broken(reason) => Finish::Broken(reason),
        }
    }
}

/// The guard of a command.
#[derive(Debug)]
pub struct CommandGuard {
    words: UnixStream,
    ending: ExecEnd,
    // What it says is not read, but somebody must be there to read it.
    _output: (UnixStream, UnixStream),
}

impl CommandGuard {
    /// Waits for the end of the guard, and tells whether it has done its work. If not, its connection has failed. It
    /// must not be asked for again afterwards.
    pub async fn ended(&mut self) -> bool {
        self.ending.wait().await == End::Code(0)
    }

    /// Tells it that the lock is held.
    pub async fn beat(&mut self) {
        self.say("beat").await;
    }

    /// Has it send a signal, as `TERM`, to the command and all that it has started.
    pub async fn signal(&mut self, name: &str) {
        self.say(name).await;
    }

    /// Has it stop the command, and end.
    pub async fn stop(&mut self) {
        self.say("stop").await;
    }

    /// Has it end, because the command has ended. What the command left behind is left alone.
    pub async fn done(&mut self) {
        self.say("done").await;
    }

    async fn say(&mut self, word: &str) {
        let line = format!("{word}\n");
        // If it cannot be reached, it does what it has to do by itself.
        let _ = timeout(WORD, self.words.write_all(line.as_bytes())).await;
    }
}

/// Starts a command and its guard.
pub(crate) async fn start(
    way: &dyn Way,
    command: &RemoteCommand,
    attempt: &Arc<Attempt>,
    secrets: &Arc<Secrets>,
) -> io::Result<Remote> {
    // Nothing else begins a line so.
    let mark = format!("elock-{}", random()?);
    let guard = line(GUARD, &guard_words(&mark, command))?;
    let runner = line(RUNNER, &runner_words(&mark, command)?)?;
    let (mut guard, mut guard_output, mut guard_errors, guard_ending) =
        way.exec(&guard, attempt).await?.parts();
    if let Err(said) = said(&mut guard_output, &format!("{mark} guard")).await {
        let more = rest(&mut guard_errors).await;
        return Err(way.explain(&(said + &more), attempt).await?);
    }
    // It is another login for the program of OpenSSH.
    let second = Attempt::new(secrets);
    let exec: Exec = way.exec(&runner, &second).await?;
    let (mut input, output, mut errors, ending) = exec.parts();
    let process = match said(&mut errors, &format!("{mark} ")).await {
        Ok(process) => process,
        Err(said) => return Err(way.explain(&said, &second).await?),
    };
    guard.write_all(format!("{process}\n").as_bytes()).await?;
    if said(&mut guard_output, &format!("{mark} guarding")).await.is_err() {
        return Err(io::Error::new(ErrorKind::ConnectionAborted, "the guard of the command has ended"));
    }
    input.write_all(b"go\n").await?;
    let guard = CommandGuard { words: guard, ending: guard_ending, _output: (guard_output, guard_errors) };
    Ok(Remote { stdin: input, stdout: output, stderr: errors, running: Running(ending), guard })
}

/// Reads up to the line that begins so, byte by byte, and returns the rest of that line. If it never comes, returns all
/// that came instead.
async fn said(stream: &mut UnixStream, begin: &str) -> Result<String, String> {
    let mut talk = Vec::new();
    while talk.len() < MOST_TALK
        && let Ok(byte) = stream.read_u8().await
    {
        talk.push(byte);
        if byte == b'\n' {
            let text = String::from_utf8_lossy(&talk);
            if let Some((_, rest)) = text.split_once(begin) {
                return Ok(rest.trim().to_owned());
            }
        }
    }
    Err(String::from_utf8_lossy(&talk).into_owned())
}

/// What is left to be read, if it comes to an end.
async fn rest(stream: &mut UnixStream) -> String {
    let mut bytes = Vec::new();
    let reading = stream.take(MOST_TALK as u64);
    let mut reading = std::pin::pin!(reading);
    // What came until then is good enough.
    let _ = timeout(PATIENCE, reading.read_to_end(&mut bytes)).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

fn guard_words(mark: &str, command: &RemoteCommand) -> Vec<Vec<u8>> {
    let seconds = |span: Duration| span.as_secs_f64().to_string().into_bytes();
    let mut words = vec![mark.as_bytes().to_vec(), seconds(command.quiet)];
    for step in &command.steps {
        match step {
            StopStep::Signal(name) => words.push(name.as_bytes().to_vec()),
            StopStep::Pause(span) if *span <= LOOKED_AT => {
                words.extend((0..span.as_secs()).map(|_| b"1".to_vec()));
                let part = Duration::from_nanos(span.subsec_nanos().into());
                words.extend((!part.is_zero()).then(|| seconds(part)));
            }
            StopStep::Pause(span) => words.push(seconds(*span)),
        }
    }
    words
}

fn runner_words(mark: &str, command: &RemoteCommand) -> io::Result<Vec<Vec<u8>>> {
    let mut words = vec![mark.as_bytes().to_vec()];
    words.extend(command.environment.iter().map(|(key, value)| [key.as_bytes(), b"=", value].concat()));
    words.push(b"--".to_vec());
    words.extend(command.words.iter().cloned());
    if words.iter().any(|word| word.contains(&0)) {
        return Err(io::Error::new(ErrorKind::InvalidInput, "no argument may have a zero byte"));
    }
    Ok(words)
}

/// A line that any login shell hands on to `sh` as it is.
fn line(script: &str, words: &[Vec<u8>]) -> io::Result<String> {
    let mut line = format!("exec sh -c '{DECODE}{script}' elock");
    for word in words {
        line.push_str(" '");
        for byte in word {
            match byte {
                b'a'..=b'z'
                | b'A'..=b'Z'
                | b'0'..=b'9'
                | b'_'
                | b'.'
                | b'/'
                | b':'
                | b'='
                | b'@'
                | b'+'
                | b','
                | b'-' => {
                    line.push(char::from(*byte));
                }
                byte => line.extend(["\\0".to_owned(), format!("{byte:03o}")]),
            }
        }
        line.push('\'');
    }
    if line.len() > MOST_LINE {
        let text = format!("the command is too long for another host: more than {} KiB", MOST_LINE >> 10);
        return Err(io::Error::new(ErrorKind::InvalidInput, text));
    }
    Ok(line)
}

/// The status that a shell has for a signal.
fn status_of(signal: &str) -> u8 {
    let numbers = [
        ("HUP", 1),
        ("INT", 2),
        ("QUIT", 3),
        ("ILL", 4),
        ("ABRT", 6),
        ("FPE", 8),
        ("KILL", 9),
        ("USR1", 10),
        ("SEGV", 11),
        ("USR2", 12),
        ("PIPE", 13),
        ("ALRM", 14),
        ("TERM", 15),
    ];
    numbers.iter().find(|(name, _)| *name == signal).map_or(u8::MAX, |(_, number)| 128 + number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Read, Write};
    use std::process::{Child, Command, Stdio};

    /// The shells of this machine that a user may have, and those that `sh` may be.
    fn shells() -> Vec<&'static str> {
        let is_there =
            |shell: &&str| Command::new(shell).args(["-c", "exit 0"]).status().is_ok_and(|s| s.success());
        let shells: Vec<_> =
            ["sh", "bash", "dash", "zsh", "fish", "csh"].into_iter().filter(is_there).collect();
        assert!(shells.len() > 1, "only {shells:?}");
        shells
    }

    fn command(words: &[&[u8]], environment: &[(&str, &[u8])]) -> RemoteCommand {
        RemoteCommand {
            words: words.iter().map(|word| word.to_vec()).collect(),
            environment: environment.iter().map(|(key, value)| ((*key).to_owned(), value.to_vec())).collect(),
            steps: vec![
                StopStep::Signal("TERM".to_owned()),
                StopStep::Pause(Duration::from_millis(1300)),
                StopStep::Signal("KILL".to_owned()),
            ],
            quiet: LONG,
        }
    }

    /// A line in a shell, in a session of its own as a server has it.
    fn started(shell: &str, line: &str) -> Child {
        let mut command = Command::new("setsid");
        command
            .args(["-w", shell, "-c", line])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Goal: no word of anybody is obeyed by a shell, and all arrive as they are. Method: every byte there is, through
    /// every shell there is.
    #[test]
    fn every_byte_arrives_and_none_is_obeyed() {
        let all: Vec<u8> = (1..=255).collect();
        let name = b"a'b\"; touch /tmp/broken-out; $(id) `id` \\ ! \n ~ * {a,b} %s -n".as_slice();
        let printf: &[&[u8]] =
            &[b"sh", b"-c", b"printf \"[%s]\" \"$@\" \"$ELOCK_NAME\"", b"x", &all, b"", name, b"\n"];
        let command = command(printf, &[("ELOCK_NAME", name)]);
        let words = runner_words("mark", &command).unwrap();
        let line = line(RUNNER, &words).unwrap();
        assert!(line.is_ascii() && !line.contains('\n') && !line.contains('!'));
        for shell in shells() {
            let mut child = started(shell, &line);
            child.stdin.take().unwrap().write_all(b"go\n").unwrap();
            let output = child.wait_with_output().unwrap();
            let expected = [b"[", &all[..], b"][][", name, b"][\n][", name, b"]"].concat();
            let err = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && err.starts_with("mark "), "{shell}: {err}");
            assert!(output.stdout == expected, "{shell}: {}", output.stdout.escape_ascii());
        }
    }

    #[test]
    fn the_status_and_the_input_are_the_commands() {
        let command = command(&[b"sh", b"-c", b"cat; exit 7"], &[]);
        let line = line(RUNNER, &runner_words("mark", &command).unwrap()).unwrap();
        let mut child = started("sh", &line);
        child.stdin.take().unwrap().write_all(b"go\n1\n2").unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), &output.stdout[..]), (Some(7), &b"1\n2"[..]));
        let mut child = started("sh", &line);
        drop(child.stdin.take());
        assert_eq!(child.wait().unwrap().code(), Some(255), "without a go nothing is run");
    }

    /// A command that ignores or obeys TERM, with a guard.
    struct Guarded {
        runner: Child,
        stdout: BufReader<std::process::ChildStdout>,
        guard: Child,
        group: String,
        /// The shell tells there of what a signal has ended.
        _stderr: BufReader<std::process::ChildStderr>,
    }

    fn guarded(script: &str, quiet: Duration) -> Guarded {
        let mut command = command(&[b"sh", b"-c", script.as_bytes()], &[]);
        command.quiet = quiet;
        let mut runner = started("sh", &line(RUNNER, &runner_words("mark", &command).unwrap()).unwrap());
        let mut guard = started("sh", &line(GUARD, &guard_words("mark", &command)).unwrap());
        let mut first = String::new();
        let mut errors = BufReader::new(runner.stderr.take().unwrap());
        errors.read_line(&mut first).unwrap();
        let group = first.trim().strip_prefix("mark ").unwrap().to_owned();
        guard.stdin.as_mut().unwrap().write_all(format!("{group}\n").as_bytes()).unwrap();
        let mut told = BufReader::new(guard.stdout.take().unwrap());
        for expected in ["mark guard\n", "mark guarding\n"] {
            let mut line = String::new();
            told.read_line(&mut line).unwrap();
            assert_eq!(line, expected);
        }
        runner.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
        let mut stdout = BufReader::new(runner.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line, "started\n");
        Guarded { runner, stdout, guard, group, _stderr: errors }
    }

    impl Guarded {
        fn say(&mut self, word: &str) {
            self.guard.stdin.as_mut().unwrap().write_all(format!("{word}\n").as_bytes()).unwrap();
        }

        /// What it wrote until nobody was left who could write, and its status.
        fn end(mut self) -> (String, ExitCode) {
            let mut text = String::new();
            self.stdout.read_to_string(&mut text).unwrap();
            (text, self.runner.wait().unwrap().code())
        }
    }

    type ExitCode = Option<i32>;

    #[test]
    fn the_guard_hands_on_signals() {
        let mut guarded =
            guarded("trap 'echo usr1; exit 5' USR1; echo started; while :; do sleep 0.05; done", LONG);
        guarded.say("beat");
        guarded.say("USR1");
        assert_eq!(guarded.end(), ("usr1\n".to_owned(), Some(5)));
        let mut guarded = self::guarded("echo started; while :; do sleep 0.05; done", LONG);
        guarded.say("TERM");
        assert_eq!(guarded.end(), (String::new(), Some(128 + 15)));
    }

    const LONG: Duration = Duration::from_mins(1);

    /// Goal: whatever happens to the guard's connection, the command does not go on. Method: it is told to stop, its
    /// input ends, or it hears nothing; the command and a child of it do not listen to TERM.
    #[test]
    fn the_guard_stops_the_command_and_all_that_it_started() {
        let script =
            "trap '' TERM; (while :; do sleep 0.05; done) & echo started; while :; do sleep 0.05; done";
        for how in ["stop", "end", "silence"] {
            let quiet = if how == "silence" { Duration::from_millis(1200) } else { LONG };
            let mut guarded = guarded(script, quiet);
            match how {
                "stop" => guarded.say("stop"),
                "end" => drop(guarded.guard.stdin.take()),
                // A beat is good for as long again, and no longer.
                _ => guarded.say("beat"),
            }
            // Nobody is left who could write, and the runner was killed with them.
            assert_eq!(guarded.end().0, "", "{how}");
        }
    }

    #[test]
    fn a_beat_is_a_sign_of_life_and_what_was_left_behind_is_left_alone() {
        let mut guarded =
            guarded("sleep 1000 >/dev/null 2>&1 & echo started; read line; exit 3", Duration::from_secs(2));
        for _ in 0..8 {
            std::thread::sleep(Duration::from_millis(500));
            guarded.say("beat");
        }
        guarded.runner.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        let group = guarded.group.clone();
        assert_eq!(guarded.runner.wait().unwrap().code(), Some(3), "it was not stopped");
        guarded.say("done");
        assert!(guarded.guard.wait().unwrap().success());
        let kill =
            |signal: &str| Command::new("kill").args(["-s", signal, "--", &format!("-{group}")]).status();
        assert!(kill("0").unwrap().success(), "the sleep is still there");
        assert!(kill("KILL").unwrap().success());
    }

    #[test]
    fn what_cannot_be_a_line_is_refused() {
        assert!(runner_words("m", &command(&[b"a\0b"], &[])).is_err());
        let long = vec![b'x'; MOST_LINE];
        assert!(line(RUNNER, &runner_words("m", &command(&[&long], &[])).unwrap()).is_err());
        let fits = vec![b'x'; MOST_LINE - 1000];
        assert!(line(RUNNER, &runner_words("m", &command(&[&fits], &[])).unwrap()).is_ok());
    }

    #[test]
    fn pauses_are_looked_at_every_second() {
        let words = guard_words("m", &command(&[], &[]));
        let words: Vec<_> = words.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        assert_eq!(words, ["m", "60", "TERM", "1", "0.3", "KILL"]);
        assert_eq!([status_of("TERM"), status_of("KILL"), status_of("WINCH")], [143, 137, 255]);
    }
}
