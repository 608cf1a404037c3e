//! What one account may do: the verbs that it may say, and the names of locks that it may say them of. What is not
//! allowed is forbidden. Nothing here knows a connection or a file.

use elockd_core::wire::parse;
use elockd_core::{Command, Right, Verb, VerbSet};
use thiserror::Error;

/// The most prefixes of names for one account. Each command compares its name with them.
pub const MAX_PREFIXES: usize = 100;

/// What an account may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    verbs: VerbSet,
    /// How names of locks must begin. `None` is any name.
    prefixes: Option<Vec<Box<[u8]>>>,
}

/// Whether a command is allowed, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Allowed,
    /// The account may not say the verb.
    Verb,
    /// The account may not say it of this name.
    Name,
}

/// Rules make no sense.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum RuleError {
    /// A word is neither a right nor a verb.
    #[error("`{word}` is neither a right ({rights}) nor a verb; `help` lists the verbs")]
    Word {
        /// The word.
        word: String,
        /// All rights.
        rights: String,
    },
    /// A verb that takes no right is denied. It would be allowed nevertheless.
    #[error("`{0}` cannot be denied: it takes no right")]
    Free(String),
    /// No name begins so, because the daemon folds white space.
    #[error(
        "no name begins with {0:?}: white space at its begin is dropped, and runs of it become one space"
    )]
    Prefix(String),
    /// There are too many prefixes.
    #[error("it has more than {MAX_PREFIXES} names")]
    Prefixes,
}

impl Rules {
    /// The rules of clients that have none: all but what operators may.
    #[must_use]
    pub fn of_clients() -> Self {
        let verbs = Right::ALL.into_iter().filter(|right| *right != Right::Operate).map(VerbSet::of);
        Self { verbs: verbs.fold(VerbSet::NONE, VerbSet::and), prefixes: None }
    }

    /// The rules that allow what these words say: rights, which are sets of verbs, and verbs. What `deny` says is
    /// forbidden nevertheless. What takes no right is always allowed. `prefixes` are the begins of the names that are
    /// allowed; `None` is any name.
    ///
    /// # Errors
    ///
    /// If a word is neither a right nor a verb, or a prefix is the begin of no name.
    pub fn new<S: AsRef<str>>(allow: &[S], deny: &[S], prefixes: Option<&[S]>) -> Result<Self, RuleError> {
        let mut verbs = VerbSet::of(Right::Free);
        for word in allow {
            verbs = verbs.and(set_of(word.as_ref())?);
        }
        for word in deny {
            for verb in set_of(word.as_ref())?.iter() {
                if verb.right() == Right::Free {
                    return Err(RuleError::Free(word.as_ref().to_owned()));
                }
                verbs = verbs.without(verb);
            }
        }
        let prefixes = prefixes.map(|prefixes| {
            if prefixes.len() > MAX_PREFIXES {
                return Err(RuleError::Prefixes);
            }
            prefixes.iter().map(|prefix| checked_prefix(prefix.as_ref())).collect()
        });
        Ok(Self { verbs, prefixes: prefixes.transpose()? })
    }

    /// The verbs that are allowed.
    #[must_use]
    pub fn verbs(&self) -> VerbSet {
        self.verbs
    }

    /// Whether it is an operator's: it may take locks from others.
    #[must_use]
    pub fn is_operator(&self) -> bool {
        VerbSet::of(Right::Operate).iter().any(|verb| self.verbs.has(verb))
    }

    /// How the names of locks must begin. `None` is any name.
    #[must_use]
    pub fn prefixes(&self) -> Option<&[Box<[u8]>]> {
        self.prefixes.as_deref()
    }

    /// Whether a lock of this name is one that the account may know of.
    #[must_use]
    pub fn has_name(&self, name: &[u8]) -> bool {
        self.prefixes.as_ref().is_none_or(|prefixes| prefixes.iter().any(|prefix| name.starts_with(prefix)))
    }

    /// Whether a verb is allowed of a name. `None` is a verb that names no lock.
    #[must_use]
    pub fn judge(&self, verb: Verb, name: Option<&[u8]>) -> Verdict {
        if !self.verbs.has(verb) {
            Verdict::Verb
        } else if name.is_some_and(|name| !self.has_name(name)) {
            Verdict::Name
        } else {
            Verdict::Allowed
        }
    }
}

/// The lock that a command names. The name of a connection is none, and the begin of names that `ls` takes is none:
/// what it lists is judged row by row. So is what `d` and `sd` list if they name no lock.
pub(crate) fn lock_of<N: AsRef<[u8]>>(command: &Command<N>) -> Option<&N> {
    match command {
        Command::Get(_)
        | Command::AwaitEnd { .. }
        | Command::Release(..)
        | Command::Fence(..)
        | Command::Inspect(..)
        | Command::Steal(..) => command.name(),
        Command::List(_, name) => Some(name).filter(|name| !name.as_ref().is_empty()),
        _ => None,
    }
}

/// Whether a verb names a lock, so that it is judged by the name too. `d` and `sd` may name one.
#[must_use]
pub fn names_a_lock(verb: Verb) -> bool {
    // Some verbs have numbers before the name.
    ["x", "0 x", "0 0 x"].iter().any(|words| {
        let line = format!("{} {words}", verb.word());
        parse(line.as_bytes()).is_some_and(|command| lock_of(&command).is_some_and(|name| **name == *b"x"))
    })
}

/// The verbs that a word stands for.
fn set_of(word: &str) -> Result<VerbSet, RuleError> {
    let right = Right::ALL.into_iter().find(|right| right.word() == word).map(VerbSet::of);
    let verb = || Verb::ALL.into_iter().find(|verb| verb.word() == word).map(|verb| VerbSet::NONE.with(verb));
    right.or_else(verb).ok_or_else(|| {
        let rights = Right::ALL.map(Right::word).join(", ");
        RuleError::Word { word: word.to_owned(), rights }
    })
}

/// A prefix as names can have it. A space at its end may be one within a name.
fn checked_prefix(prefix: &str) -> Result<Box<[u8]>, RuleError> {
    // As the daemon folds names: these six, and nothing of Unicode's.
    let is_space = |byte: u8| byte == b' ' || (b'\t'..=b'\r').contains(&byte);
    let bytes = prefix.as_bytes();
    let is_folded = bytes.iter().all(|byte| *byte == b' ' || !is_space(*byte))
        && !bytes.starts_with(b" ")
        && !bytes.windows(2).any(|pair| pair == b"  ");
    if is_folded { Ok(bytes.into()) } else { Err(RuleError::Prefix(prefix.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(allow: &[&str], deny: &[&str], prefixes: Option<&[&str]>) -> Rules {
        Rules::new(allow, deny, prefixes).unwrap()
    }

    fn words(rules: &Rules) -> Vec<&'static str> {
        rules.verbs().iter().map(Verb::word).collect()
    }

    #[test]
    fn what_no_word_allows_is_forbidden() {
        let free = ["auth", "help", "me", "ping", "quit"];
        assert_eq!(words(&rules(&[], &[], None)), free);
        assert_eq!(
            words(&rules(&["inspect"], &[], None)),
            [&free[..2], &["i"], &free[2..], &["ri", "si", "wi"]].concat()
        );
        assert_eq!(
            words(&rules(&["q", "kick"], &[], None)),
            ["auth", "help", "kick", "me", "ping", "q", "quit"]
        );
        assert_eq!(
            words(&rules(&["list"], &["ls", "d"], None)),
            ["auth", "dump", "help", "me", "ping", "quit", "sd", "who"]
        );
        let all = rules(&["lock", "inspect", "list", "figures", "operate"], &[], None);
        assert_eq!(all.verbs(), VerbSet::ALL);
        let clients = Rules::of_clients();
        assert_eq!(clients, rules(&["lock", "inspect", "list", "figures"], &[], None));
        for verb in Verb::ALL {
            let verdict = if verb.right() == Right::Operate { Verdict::Verb } else { Verdict::Allowed };
            assert_eq!(clients.judge(verb, Some(b"x")), verdict, "{}", verb.word());
        }
        assert!(all.is_operator() && rules(&["kick"], &[], None).is_operator() && !clients.is_operator());
        assert!(!rules(&["operate"], &["kick", "steal", "wsteal"], None).is_operator());
    }

    #[test]
    fn a_name_is_allowed_by_how_it_begins_and_by_nothing_else() {
        let of = |prefixes: &[&str]| rules(&["lock"], &[], Some(prefixes));
        let verdict = |rules: &Rules, name: &[u8]| rules.judge(Verb::Get, Some(name));
        let web = of(&["web.", "é", "a b"]);
        for name in [&b"web."[..], b"web.x", b"web.\xff", "é".as_bytes(), "éx".as_bytes(), b"a b", b"a bc"]
        {
            assert_eq!(verdict(&web, name), Verdict::Allowed, "{}", name.escape_ascii());
        }
        // The first byte of é alone, a name that is the begin of a prefix, other letters, and the empty name.
        for name in [&b"\xc3"[..], b"web", b"Web.x", b"xweb.", b"a", b"a  b", b""] {
            assert_eq!(verdict(&web, name), Verdict::Name, "{}", name.escape_ascii());
        }
        assert_eq!(web.judge(Verb::Ping, None), Verdict::Allowed);
        assert_eq!(web.judge(Verb::ReleaseAll, None), Verdict::Allowed, "it names no lock");
        assert_eq!(web.judge(Verb::Inspect, Some(b"x")), Verdict::Verb, "the verb is looked at first");
        for name in [&b""[..], b"x", b"\0\xff"] {
            assert_eq!(verdict(&of(&[""]), name), Verdict::Allowed);
            assert_eq!(verdict(&of(&[]), name), Verdict::Name);
            assert_eq!(verdict(&rules(&["lock"], &[], None), name), Verdict::Allowed);
        }
    }

    #[test]
    fn what_can_only_be_a_mistake_is_refused() {
        let refusal = |allow: &[&str], deny: &[&str], names: Option<&[&str]>| {
            Rules::new(allow, deny, names).unwrap_err().to_string()
        };
        for word in ["", "G", "locks", "all", "g x", "Lock"] {
            assert!(
                refusal(&[word], &[], None).contains("neither a right (free, lock, inspect, list,"),
                "{word}"
            );
            assert!(refusal(&[], &[word], None).starts_with(&format!("`{word}` is neither")), "{word}");
        }
        for word in ["quit", "free", "auth"] {
            assert_eq!(refusal(&[], &[word], None), format!("`{word}` cannot be denied: it takes no right"));
        }
        for prefix in [" a", "a  b", "a\tb", "\n", "a\r", " "] {
            assert!(refusal(&[], &[], Some(&[prefix])).starts_with("no name begins with"), "{prefix:?}");
        }
        assert!(Rules::new(&[], &[], Some(&["a ", "a b "])).is_ok(), "`a b` begins with `a `");
        let many = vec!["x"; MAX_PREFIXES];
        assert!(Rules::new(&[], &[], Some(&many[..])).is_ok());
        assert_eq!(refusal(&[], &[], Some(&[&many[..], &["x"]].concat())), "it has more than 100 names");
    }

    /// Goal: no verb with a lock's name escapes the judge. Method: every verb with every sort of words.
    #[test]
    fn every_verb_that_names_a_lock_is_judged_by_the_name() {
        let unjudged = Verb::ALL.into_iter().filter(|verb| !names_a_lock(*verb));
        let unjudged: Vec<_> = unjudged.map(Verb::word).collect();
        let named_no_lock = [
            "auth", "dump", "help", "iam", "kick", "linger", "ls", "me", "ping", "q", "quit", "ra", "resume",
            "who",
        ];
        assert_eq!(unjudged, named_no_lock);
        let list = parse(b"d").unwrap();
        assert_eq!(lock_of(&list), None, "what it lists is judged row by row");
    }
}
