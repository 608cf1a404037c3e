//! `elock top`: a live view of a daemon in the terminal. `summary.rs` makes numbers of what the daemon says,
//! `screen.rs` draws them, and here are the keys.

mod screen;
mod summary;

use crate::channel::Channel;
use crate::name::{self, Name};
use crate::options::Options;
use crate::rows::LockRow;
use crate::span;
use crate::status::{Failure, Outcome};
use clap::Args;
use elockd_client::{Command, Reply};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::widgets::TableState;
use std::io::{IsTerminal, stdin, stdout};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use summary::{LockLine, Sample, Sorting, Summary};
use tokio::runtime::Runtime;

#[derive(Args, Debug)]
pub(crate) struct TopArgs {
    /// Only locks whose name starts with this.
    #[arg(value_parser = name::parser(), default_value = "", hide_default_value = true)]
    prefix: Name,
    /// How often the daemon is asked.
    #[arg(short = 'd', long, value_name = "SPAN", value_parser = span::parse, default_value = "1s")]
    delay: Duration,
}

/// What is on the screen.
struct Dashboard {
    server: String,
    summary: Summary,
    /// Why there is nothing new, if that is so.
    trouble: Option<String>,
    order: Sorting,
    selected: TableState,
    prompt: Prompt,
}

/// The last line of the screen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Prompt {
    #[default]
    None,
    /// Whether this one is to be kicked: who it is for people, and its address for the daemon.
    Kick { who: String, address: String },
    /// What came of it.
    Told(String),
}

/// Shows the view until `q`.
pub(crate) fn top(options: &Options, args: &TopArgs) -> Outcome {
    if !(stdout().is_terminal() && stdin().is_terminal()) {
        return Err(Failure::usage("top needs a terminal; elock ls --watch and elock stats --watch do not"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::system("start the runtime", error))?;
    // Before the screen is taken, so that a failure is told as always.
    let mut channel = Some(runtime.block_on(Channel::open(options))?);
    let sample = runtime.block_on(sample(options, &mut channel, &args.prefix))?;
    let server = channel.as_ref().map(|channel| channel.server().to_string()).unwrap_or_default();
    let mut view = Dashboard {
        server,
        summary: Summary::new(None, sample),
        trouble: None,
        order: Sorting::Age,
        selected: TableState::default(),
        prompt: Prompt::None,
    };
    let mut terminal = ratatui::try_init().map_err(|error| Failure::system("take the terminal", error))?;
    let is_colored = options.color.is_on(&stdout());
    let result = (|| {
        let mut next = Instant::now() + args.delay;
        loop {
            terminal.draw(|frame| screen::draw(frame, &mut view, is_colored))?;
            let now = Instant::now();
            if now >= next {
                next = now + args.delay;
                match runtime.block_on(self::sample(options, &mut channel, &args.prefix)) {
                    Ok(sample) => {
                        view.summary = Summary::new(Some(&view.summary), sample);
                        view.trouble = None;
                    }
                    Err(failure) => view.trouble = Some(failure.message),
                }
            } else if event::poll(next - now)?
                && let Event::Key(key) = event::read()?
                && key.kind == KeyEventKind::Press
                && !view.press(key, |address| kick(&runtime, options, address))
            {
                return Ok(());
            }
        }
    })();
    ratatui::restore();
    result.map_err(|error: std::io::Error| Failure::system("use the terminal", error))?;
    Ok(ExitCode::SUCCESS)
}

/// Asks for all that is shown.
async fn sample(options: &Options, channel: &mut Option<Channel>, prefix: &Name) -> Result<Sample, Failure> {
    let mut open = match channel.take() {
        Some(open) => open,
        None => Channel::open(options).await?,
    };
    let figures = open.ask(&Command::<&[u8]>::Query { full: true }).await?;
    let figures =
        figures.figures()?.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    // Without a listing there are still the figures.
    let rows =
        LockRow::of(&open.ask(&Command::ListAll(prefix.bytes())).await?).map_err(|error| error.to_string());
    *channel = Some(open);
    Ok(Sample { at: Instant::now(), figures, rows })
}

/// Has the daemon close a connection, and says what came of it.
fn kick(runtime: &Runtime, options: &Options, address: &str) -> String {
    let kicking = async {
        let mut channel = Channel::open_admin(options).await?;
        channel.ask(&Command::Kick(address)).await
    };
    match runtime.block_on(kicking) {
        Ok(answer) => match answer.reply() {
            Some(Reply::Kicked { connections: 0, .. }) => {
                format!("nobody is connected as {address} any more")
            }
            Some(Reply::Kicked { .. }) => format!("kicked {address}"),
            _ => Name::told(answer.text().trim_ascii_end()).to_string(),
        },
        Err(failure) => failure.message,
    }
}

impl Dashboard {
    /// The lines of the table in their order.
    fn lines(&self) -> Vec<&LockLine> {
        self.summary.lines(self.order)
    }

    /// Takes a key. Returns whether to go on.
    fn press(&mut self, key: KeyEvent, kick: impl FnOnce(&str) -> String) -> bool {
        let is_interrupt = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
        if let Prompt::Kick { address, .. } = &self.prompt {
            // Everything else is no.
            self.prompt = match key.code {
                KeyCode::Char('y') => Prompt::Told(kick(address)),
                _ => Prompt::None,
            };
            return !is_interrupt;
        }
        self.prompt = Prompt::None;
        match key.code {
            _ if is_interrupt => return false,
            KeyCode::Char('q') | KeyCode::Esc => return false,
            KeyCode::Char('a') => self.order = Sorting::Age,
            KeyCode::Char('w') => self.order = Sorting::Waiters,
            KeyCode::Char('h') => self.order = Sorting::Holders,
            KeyCode::Char('n') => self.order = Sorting::Name,
            KeyCode::Down | KeyCode::Char('j') if !self.lines().is_empty() => self.selected.select_next(),
            KeyCode::Up => self.selected.select_previous(),
            KeyCode::Char('k') => {
                let lines = self.lines();
                let chosen = self.selected.selected().and_then(|at| lines.get(at));
                self.prompt = match chosen.and_then(|line| line.longest.as_ref()) {
                    Some(holder) => Prompt::Kick { who: holder.who(), address: holder.wire_address() },
                    None => Prompt::Told("choose a lock that is held with the arrow keys first".to_owned()),
                };
            }
            _ => {}
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A view of two locks, `a` and `b`, that were held for 1 s and for 2 s.
    pub(super) fn view() -> Dashboard {
        let rows = vec![summary::tests::row("a", "held", 1000, 1), summary::tests::row("b", "held", 2000, 0)];
        Dashboard {
            server: "127.0.0.1:9999".to_owned(),
            summary: Summary::new(None, summary::tests::sample(rows)),
            trouble: None,
            order: Sorting::Age,
            selected: TableState::default(),
            prompt: Prompt::None,
        }
    }

    fn press(view: &mut Dashboard, code: KeyCode) -> (bool, Option<String>) {
        let mut kicked = None;
        let goes_on = view.press(KeyEvent::new(code, KeyModifiers::NONE), |address| {
            kicked = Some(address.to_owned());
            "done".to_owned()
        });
        (goes_on, kicked)
    }

    #[test]
    fn nobody_is_kicked_without_a_question_and_a_yes() {
        let mut view = view();
        assert_eq!(press(&mut view, KeyCode::Char('k')), (true, None));
        assert!(matches!(view.prompt, Prompt::Told(_)), "nothing is chosen");
        for (answer, expected) in
            [(KeyCode::Char('n'), None), (KeyCode::Enter, None), (KeyCode::Char('y'), Some("unix:2000"))]
        {
            view.selected.select(Some(0));
            press(&mut view, KeyCode::Char('k'));
            assert!(matches!(&view.prompt, Prompt::Kick { address, .. } if address == "unix:2000"), "of b");
            assert_eq!(press(&mut view, answer), (true, expected.map(str::to_owned)));
        }
        assert_eq!(view.prompt, Prompt::Told("done".to_owned()));
        assert!(!press(&mut view, KeyCode::Char('q')).0);
    }

    #[test]
    fn keys_choose_the_order() {
        let mut view = view();
        let names =
            |view: &Dashboard| view.lines().iter().map(|line| line.name.to_string()).collect::<String>();
        for (key, order) in [('n', "ab"), ('a', "ba"), ('w', "ab")] {
            press(&mut view, KeyCode::Char(key));
            assert_eq!(names(&view), order, "{key}");
        }
    }
}
