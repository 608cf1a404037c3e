//! What strace wrote: the calls in the order in which they ended. A call that sends is where it began, for then its
//! bytes may be on their way.

use std::collections::BTreeMap;
use std::path::Path;

/// One system call.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) name: String,
    /// As strace shows them.
    pub(crate) args: String,
    pub(crate) result: String,
}

pub(crate) struct Trace {
    pub(crate) calls: Vec<Call>,
}

impl Trace {
    pub(crate) fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let mut calls = Vec::new();
        let mut begun: BTreeMap<String, String> = BTreeMap::new();
        for line in text.lines() {
            let (thread, line) = line.split_once(' ').unwrap();
            let line = line.trim_start();
            if let Some(beginning) = line.strip_suffix(" <unfinished ...>") {
                begun.insert(thread.to_owned(), beginning.to_owned());
                if is_sending(beginning) {
                    calls.extend(call(&format!("{beginning}) = ?")));
                }
            } else if let Some((_, end)) = line.split_once(" resumed>").filter(|_| line.starts_with("<... "))
            {
                let beginning = begun.remove(thread).unwrap_or_default();
                if !is_sending(&beginning) {
                    calls.extend(call(&(beginning + end)));
                }
            } else {
                calls.extend(call(line));
            }
        }
        Self { calls }
    }
}

fn is_sending(line: &str) -> bool {
    ["sendto(", "sendmsg(", "write(", "writev("].iter().any(|name| line.starts_with(name))
}

/// A call out of a whole line. `None` for what is no call, such as a signal.
fn call(line: &str) -> Option<Call> {
    let (name, rest) = line.split_once('(')?;
    let (args, result) = rest.rsplit_once(" = ")?;
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_name.then(|| Call {
        name: name.to_owned(),
        args: args.trim_end().trim_end_matches(')').to_owned(),
        result: result.to_owned(),
    })
}

/// The path of the descriptor that a call begins with: strace shows it as `7</path>`.
pub(crate) fn path_of(args: &str) -> String {
    let path = args.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    path.map_or("", |(path, _)| path).to_owned()
}
