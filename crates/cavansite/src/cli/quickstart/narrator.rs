//! What people see of the conversation: each step, the call that does it, and what came back.

use std::fmt::Display;
use std::io::{self, IsTerminal as _};

use crate::cli::say;

const BOLD: &str = "\x1b[1m";
const CYAN: &str = "\x1b[36m";
const GREEN: &str = "\x1b[32m";
const PLAIN: &str = "\x1b[0m";

/// Tells people step by step what is done.
pub(super) struct Narrator {
    colour: bool,
    step: u32,
    title: &'static str,
}

impl Narrator {
    /// On standard output, in colour if that is a terminal and `NO_COLOR` is not set.
    pub(super) fn new() -> Self {
        let wants_none = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            colour: io::stdout().is_terminal() && !wants_none,
            step: 0,
            title: "",
        }
    }

    /// A new step, and why it is there.
    pub(super) fn step(&mut self, title: &'static str, why: &str) {
        self.step += 1;
        self.title = title;
        let title = format!("{}. {title}", self.step);
        say(format!("\n{}", self.in_colour(BOLD, title)));
        for line in why.lines() {
            say(format!("   {line}"));
        }
        say("");
    }

    /// A statement that is now run.
    pub(super) fn code(&self, statement: &str) {
        for line in statement.lines() {
            say(format!("   {}", self.in_colour(CYAN, line)));
        }
    }

    /// What came back.
    pub(super) fn answer(&self, text: impl Display) {
        say(format!("   {} {text}", self.in_colour(GREEN, "→")));
    }

    /// The step that is being told: its number and title.
    pub(super) fn place(&self) -> String {
        format!("step {} ({})", self.step, self.title)
    }

    fn in_colour(&self, colour: &str, text: impl Display) -> String {
        if self.colour {
            format!("{colour}{text}{PLAIN}")
        } else {
            text.to_string()
        }
    }
}

/// Tells a statement and runs it: what people read is what is run.
macro_rules! tell {
    ($narrator:expr, let $name:ident = $value:expr) => {
        $narrator.code(concat!(
            "let ",
            stringify!($name),
            " = ",
            stringify!($value),
            ";"
        ));
        let $name = $value;
    };
    ($narrator:expr, let mut $name:ident = $value:expr) => {
        $narrator.code(concat!(
            "let mut ",
            stringify!($name),
            " = ",
            stringify!($value),
            ";"
        ));
        let mut $name = $value;
    };
    ($narrator:expr, $call:expr) => {
        $narrator.code(concat!(stringify!($call), ";"));
        $call;
    };
}

pub(super) use tell;
