//! A Markdown page, its fenced blocks, and the commands in them.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

/// A Markdown page.
#[derive(Debug, Clone)]
pub struct Page {
    /// Where it is.
    pub path: PathBuf,
    /// Its lines.
    pub lines: Vec<String>,
    /// Its fenced blocks, in order.
    pub blocks: Vec<Block>,
}

/// A fenced block.
#[derive(Debug, Clone)]
pub struct Block {
    /// What stands behind the fence: the language, and more.
    pub info: String,
    /// Its lines within the page, without the fences.
    pub lines: Range<usize>,
}

/// A command of a console block.
#[derive(Debug, Clone)]
pub struct Command {
    /// Its lines within the page, from the prompt on.
    pub lines: Range<usize>,
    /// What a shell is given.
    pub text: String,
    /// What is shown below it: lines within the page.
    pub shown: Range<usize>,
    /// Whether only the numbers' places are shown, not their values.
    pub numbers_vary: bool,
}

/// What a line of a console block begins with that is typed.
const PROMPT: &str = "$ ";

/// How a block says that it is no part of the run.
const NOT_RUN: &str = "not run: ";

impl Page {
    /// Reads a page.
    pub fn read(path: &Path) -> Page {
        let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Page::new(path, &text)
    }

    /// The page with this text.
    pub fn new(path: &Path, text: &str) -> Page {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut blocks = Vec::new();
        let mut open: Option<(String, usize)> = None;
        for (number, line) in lines.iter().enumerate() {
            let Some(info) = line.trim_start().strip_prefix("```") else { continue };
            match open.take() {
                Some((info, first)) => blocks.push(Block { info, lines: first..number }),
                None => open = Some((info.trim().to_owned(), number + 1)),
            }
        }
        assert!(open.is_none(), "{}: a block is not closed", path.display());
        Page { path: path.to_owned(), lines, blocks }
    }

    /// The text of a block.
    pub fn text(&self, block: &Block) -> String {
        self.lines[block.lines.clone()].iter().map(|line| format!("{line}\n")).collect()
    }

    /// The commands of a block.
    pub fn commands(&self, block: &Block) -> Vec<Command> {
        let mut commands: Vec<Command> = Vec::new();
        let mut number = block.lines.start;
        while number < block.lines.end {
            let Some(typed) = self.lines[number].strip_prefix(PROMPT) else {
                let last = commands.last_mut();
                last.unwrap_or_else(|| panic!("{}: output before the first command", self.place(number))).shown.end =
                    number + 1;
                number += 1;
                continue;
            };
            let first = number;
            let mut text = typed.to_owned();
            number += 1;
            while text.ends_with('\\') && number < block.lines.end {
                text = format!("{text}\n{}", self.lines[number]);
                number += 1;
            }
            let numbers_vary = block.info.contains("numbers vary");
            commands.push(Command { lines: first..number, text, shown: number..number, numbers_vary });
        }
        commands
    }

    /// A line of the page, as editors and compilers name it.
    pub fn place(&self, line: usize) -> String {
        format!("{}:{}", self.path.display(), line + 1)
    }
}

impl Block {
    /// Whether it shows what is typed and what is answered.
    pub fn is_console(&self) -> bool {
        self.info.split_whitespace().next() == Some("console")
    }

    /// Why it is not run, where it says so.
    pub fn not_run(&self) -> Option<&str> {
        self.info.split_once(NOT_RUN).map(|(_, reason)| reason)
    }
}

impl Command {
    /// Whether a comment stands in for what it prints.
    pub fn is_described(&self) -> bool {
        self.shown.is_empty() && self.text.contains(" # ")
    }
}
