//! Tools for who looks after the accounts: `elockd token new` makes a token, and `elockd rules test` tells what the
//! rules say. They speak to no daemon.

use crate::output::{self, tell};
use crate::settings::{self, Occasion, append_token};
use clap::{Args, Parser, Subcommand};
use elockd_core::{Right, Verb};
use elockd_server::access::{
    AccessToken, KnownAccount, TokenFile, Verdict, check_account_name, names_a_lock,
};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

/// The exit status for what the rules forbid.
const FORBIDDEN: u8 = 1;
/// The exit status for wrong arguments and wrong files.
const WRONG: u8 = 2;

#[derive(Debug, Parser)]
#[command(name = "elockd", bin_name = "elockd", version, max_term_width = 100)]
struct ToolLine {
    #[command(subcommand)]
    tool: Tool,
}

#[derive(Debug, Subcommand)]
enum Tool {
    /// Makes tokens, by which clients say which account they are.
    #[command(subcommand)]
    Token(TokenTool),
    /// Tells what the rules of the accounts say.
    #[command(subcommand)]
    Rules(RulesTool),
}

#[derive(Debug, Subcommand)]
enum TokenTool {
    /// Makes a token of an account, and prints it. Nobody can print it again.
    ///
    /// It has 256 random bits. The token file gets a line with its digest. After that, send SIGHUP to the daemon. To
    /// replace a token, make a new one, give it to the clients, and then remove the line of the old one.
    New(New),
}

#[derive(Args, Debug)]
struct New {
    /// The account. It needs no other preparation, unless accounts have rules.
    account: String,
    /// The token file. It is made with mode 600 if it does not exist. Without this, the line is printed on stderr.
    #[arg(long, value_name = "PATH", env = "ELOCKD_TOKEN_FILE")]
    file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum RulesTool {
    /// Tells whether an account may say a verb of a name. The status is 0 if it may, 1 if not, 2 for wrong settings.
    Test(Test),
}

#[derive(Args, Debug)]
struct Test {
    /// The account. `default` is that of connections that need not authenticate.
    account: String,
    /// The verb, as clients send it.
    verb: String,
    /// The name of a lock. Without one, only the verb is looked at.
    name: Option<OsString>,
    /// The daemon's configuration file.
    #[arg(long, value_name = "PATH", env = "ELOCKD_CONFIG")]
    config: Option<PathBuf>,
    /// The daemon's token file, if the configuration file does not say.
    #[arg(long, value_name = "PATH", env = "ELOCKD_TOKEN_FILE")]
    token_file: Option<PathBuf>,
}

/// Whether the program was started as one of these tools.
pub(crate) fn is_meant(args: &[OsString]) -> bool {
    args.get(1).is_some_and(|argument| argument == "token" || argument == "rules")
}

/// Does what the arguments say.
pub(crate) fn main(args: &[OsString]) -> ExitCode {
    match ToolLine::parse_from(args).tool {
        Tool::Token(TokenTool::New(new)) => make(&new),
        Tool::Rules(RulesTool::Test(test)) => judge(test),
    }
}

fn make(new: &New) -> ExitCode {
    if let Err(error) = check_account_name(&new.account) {
        tell(format_args!("error: {error}"));
        return ExitCode::from(WRONG);
    }
    let mut bytes = [0; 32];
    if let Err(error) = getrandom::fill(&mut bytes) {
        tell(format_args!("error: cannot get random numbers from the system: {error}"));
        return ExitCode::from(WRONG);
    }
    let token = AccessToken::from_random(bytes);
    let today = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let line = TokenFile::line(&new.account, &token.digest(), &format!("made {today}"));
    match &new.file {
        Some(path) => {
            if let Err(error) = append_token(path, &line) {
                tell(format_args!("error: in the token file {}: {error}", path.display()));
                return ExitCode::from(WRONG);
            }
            tell(format_args!("added a token of {} to {}", new.account, path.display()));
        }
        None => tell(format_args!("add this line to the token file:\n{}", line.trim_end())),
    }
    output::print(&format!("{}\n", token.text()))
}

fn judge(test: Test) -> ExitCode {
    let mut args = vec![OsString::from("elockd")];
    args.extend(test.config.into_iter().flat_map(|path| ["--config".into(), path.into_os_string()]));
    args.extend(test.token_file.into_iter().flat_map(|path| ["--token-file".into(), path.into_os_string()]));
    let loaded = match settings::load(&args, Occasion::Start) {
        Ok(loaded) => loaded,
        Err(refusal) => return refusal.exit(),
    };
    let Some(access) = &loaded.settings.server.access else {
        tell(
            "error: these settings have no accounts: there is neither a token file nor a table [accounts.NAME]",
        );
        return ExitCode::from(WRONG);
    };
    let Some(account) = access.named(&test.account) else {
        let known: Vec<_> = access.accounts().map(|(_, account)| &*account.name).collect();
        tell(format_args!("error: there is no account `{}`; there are: {}", test.account, known.join(", ")));
        return ExitCode::from(WRONG);
    };
    let Some(verb) = Verb::ALL.into_iter().find(|verb| verb.word() == test.verb) else {
        tell(format_args!("error: `{}` is no verb", test.verb));
        return ExitCode::from(WRONG);
    };
    let name = test.name.as_deref().map(folded);
    let (verdict, text) = answer(account, verb, name.as_deref());
    let printed = output::print(&text);
    if verdict == Verdict::Allowed { printed } else { ExitCode::from(FORBIDDEN) }
}

/// A name as the daemon reads it.
fn folded(name: &std::ffi::OsStr) -> Vec<u8> {
    let is_space = |byte: &u8| *byte == b' ' || (b'\t'..=b'\r').contains(byte);
    let words = name.as_encoded_bytes().split(is_space).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(&b' ')
}

fn answer(account: &KnownAccount, verb: Verb, name: Option<&[u8]>) -> (Verdict, String) {
    let (of, word) = (&account.name, verb.word());
    let names = |is: &str| {
        let prefixes = account.rules.prefixes().unwrap_or_default();
        let prefixes: Vec<_> =
            prefixes.iter().map(|prefix| format!("\"{}\"", prefix.escape_ascii())).collect();
        format!("{is} {}", if prefixes.is_empty() { "nothing".to_owned() } else { prefixes.join(", ") })
    };
    let name = name.filter(|_| names_a_lock(verb));
    let verdict = account.rules.judge(verb, name);
    let text = match verdict {
        Verdict::Allowed if name.is_none() && names_a_lock(verb) && account.rules.prefixes().is_some() => {
            format!("allowed: {of} may say {word}, {}\n", names("of names that begin with"))
        }
        Verdict::Allowed => format!("allowed: {of} may say {word}\n"),
        Verdict::Verb if verb.right() == Right::Free => format!("forbidden: {of} may not say {word}\n"),
        Verdict::Verb => {
            format!("forbidden: {of} may not say {word}, which takes the right {}\n", verb.right().word())
        }
        Verdict::Name => {
            format!("forbidden: {of} may say {word}, but only {}\n", names("of names that begin with"))
        }
    };
    (verdict, text)
}
