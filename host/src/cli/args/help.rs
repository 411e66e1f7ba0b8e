//! What `--help` and the manual say beyond the arguments: an example for each command, and the options of all commands once.

use super::Cli;
use clap::{Command, CommandFactory};

/// An example for each command, by its path.
const EXAMPLES: &[(&str, &str)] = &[
    ("demo", "unspool --data ./trial demo --events 1000000"),
    ("events import", "unspool events import orders.ndjson.zst"),
    ("events stats", "unspool events stats"),
    ("events schema", "unspool events schema --type OrderPlaced --lang ts"),
    ("events show", "unspool events show 68fb44e30a7f3cb0-0000000000006b6c"),
    ("plugin build", "unspool plugin build payments.ts -o payments.wasm"),
    ("plugin wrap", "unspool plugin wrap payments.core.wasm -o payments.wasm"),
    ("plugin check", "unspool plugin check order-summary.wasm"),
    ("plugin install", "unspool plugin install order-summary.wasm"),
    ("plugin list", "unspool plugin list"),
    ("plugin history", "unspool plugin history order-summary"),
    ("plugin swap", "unspool plugin swap order-summary fixed.wasm --rewind-to 2026-03-01T00:00:00Z"),
    ("plugin try", "unspool plugin try order-summary fixed.wasm --last 50000"),
    ("plugin verify", "unspool plugin verify order-summary.wasm --events orders.ndjson"),
    ("plugin rollback", "unspool plugin rollback order-summary"),
    ("rebuild", "unspool rebuild order-summary --source 'postgres:marten?host=db&dbname=shop&user=reader' --follow"),
    ("status", "unspool status order-summary"),
    ("list", "unspool list --all"),
    ("pause", "unspool pause order-summary"),
    ("resume", "unspool resume --all --detach"),
    ("cancel", "unspool cancel order-summary"),
    ("follow", "unspool follow order-summary --detach"),
    ("unfollow", "unspool unfollow order-summary"),
    ("catch-up", "unspool catch-up order-summary"),
    ("plan", "unspool --config unspool.toml plan"),
    ("apply", "unspool --config unspool.toml apply --detach"),
    ("model get", "unspool model get order-summary/orders 3f2a91c04d"),
    ("model scan", "unspool model scan inventory-levels/stock --prefix SKU-0004 --limit 10"),
    ("model export", "unspool model export order-summary --format parquet --out ./orders"),
    ("model digest", "unspool model digest order-summary"),
    ("model generations", "unspool model generations order-summary"),
    ("model promote", "unspool model promote order-summary 3"),
    ("model receipt", "unspool model receipt order-summary --wide"),
    ("model verify", "unspool model verify order-summary --repair"),
    ("model as-of", "unspool model as-of order-summary --to 2026-03-01T00:00:00Z --name before-the-sale"),
    ("model history", "unspool model history order-summary/orders 3f2a91c04d"),
    ("model watch", "unspool model watch order-summary/orders --prefix 3f"),
    ("model diff", "unspool model diff order-summary 2 3"),
    ("model drop", "unspool model drop order-summary before-the-sale"),
    ("model rollback", "unspool model rollback order-summary"),
    ("dead-letters list", "unspool dead-letters list order-summary --stream order-17"),
    ("dead-letters show", "unspool dead-letters show order-summary 68fb44e30a7f3cb0-0000000000006b6c"),
    ("dead-letters retry", "unspool dead-letters retry order-summary"),
    ("dead-letters discard", "unspool dead-letters discard order-summary --stream order-17"),
    ("activity", "unspool activity order-summary --since 7d"),
    ("activity check", "unspool activity check"),
    ("alert list", "unspool alert list"),
    ("alert test", "unspool alert test on-call"),
    ("health", "unspool health"),
    ("token add", "unspool token add grafana --role viewer"),
    ("token list", "unspool token list"),
    ("token remove", "unspool token remove grafana"),
    ("ui", "unspool ui"),
    ("store backup", "unspool store backup /backups/store.redb"),
    ("store check", "unspool store check"),
    ("store adopt", "unspool --data ./restored store adopt"),
    ("store compact", "unspool store compact"),
    ("serve", "unspool --alert 'mail -s \"rebuild failed\" ops@example.org' serve"),
    ("completions", "unspool completions bash > /etc/bash_completion.d/unspool"),
    ("man", "unspool man /usr/local/share/man/man1"),
    ("", "unspool rebuild order-summary"),
];

/// The command line, with its examples. The options of all commands are explained by the first of them alone.
pub fn command() -> Command {
    explained(Cli::command())
}

/// The same for manual pages, of which the command `help` needs none.
pub fn manual() -> Command {
    explained(Cli::command().disable_help_subcommand(true))
}

fn explained(mut command: Command) -> Command {
    let global: Vec<_> =
        command.get_arguments().filter(|arg| arg.is_global_set()).map(|arg| arg.get_id().clone()).collect();
    // Gives the subcommands their copies of the options that all commands have.
    command.build();
    for_each(command, "", &|mut command, path| {
        if let Some((_, example)) = EXAMPLES.iter().find(|(of, _)| *of == path) {
            let more = if path.is_empty() {
                ""
            } else {
                "\n\nOptions of all commands (--data, --json, --wide, ...): unspool --help"
            };
            command = command.after_help(format!("Example:\n  {example}{more}"));
        }
        if path.is_empty() {
            return command;
        }
        command.mut_args(|arg| if global.contains(arg.get_id()) { arg.hide(true) } else { arg })
    })
}

/// `change` made to a command and all below it, each with its path from the program on.
fn for_each(command: Command, path: &str, change: &dyn Fn(Command, &str) -> Command) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    names.into_iter().fold(change(command, path), |command, name| {
        let path = format!("{path} {name}").trim_start().to_owned();
        command.mut_subcommand(name, |below| for_each(below, &path, change))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(command: &Command, path: &str, found: &mut Vec<(String, Command)>) {
        for below in command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help") {
            let path = format!("{path} {}", below.get_name()).trim_start().to_owned();
            if below.has_subcommands() {
                leaves(below, &path, found);
            }
            if !below.is_subcommand_required_set() {
                found.push((path, below.clone()));
            }
        }
    }

    #[test]
    fn every_command_has_an_example_that_is_one() {
        let mut found = Vec::new();
        leaves(&command(), "", &mut found);
        assert_eq!(found.len() + 1, EXAMPLES.len());
        for_each(manual(), "", &|command, path| {
            assert!(command.find_subcommand("help").is_none(), "{path} has no page for help");
            command
        });
        for (path, mut of) in found {
            let (_, example) = EXAMPLES.iter().find(|(name, _)| *name == path).unwrap_or_else(|| panic!("{path}"));
            assert!(example.contains(&path), "{path}: {example}");
            let words = example.split(" > ").next().unwrap().split(' ');
            let quoted = example.contains('\'');
            assert!(quoted || Cli::of(words).is_ok(), "{path}: {example}");
            let help = of.render_long_help().to_string();
            assert!(help.contains(example), "{path}: {help}");
            assert!(!help.contains("--data <DIR>") && !help.contains("--memory"), "{path}: {help}");
        }
    }

    #[test]
    fn the_options_of_all_commands_are_explained_once_and_hold_everywhere() {
        let help = command().render_long_help().to_string();
        assert!(help.contains("--data <DIR>") && help.contains("--memory"), "{help}");
        let cli = Cli::of(["unspool", "list", "--wide", "--data", "elsewhere", "--memory", "65"]).unwrap();
        assert!(cli.wide && cli.data.ends_with("elsewhere") && cli.memory == Some(65));
        assert_eq!(cli.of_host, ["memory"]);
    }
}
