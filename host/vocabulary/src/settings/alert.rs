//! `[[alert]]`: who is told of what, and how.

use crate::AlertKind;
use serde::{Deserialize, Deserializer, de::Error};
use std::{collections::BTreeSet, path::PathBuf, time::Duration};

/// See [`AlertSettings::of_command`].
const COMMAND: &str = "command";

/// Somebody who is told.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertSettings {
    /// What it is called: up to 64 letters, digits, `-` and `_`.
    pub name: String,
    /// Of what.
    pub on: Vec<AlertKind>,
    /// How long it must last before it is told; no time where absent. What is over by then is not told at all.
    #[serde(default, rename = "for", deserialize_with = "time")]
    pub lasting: Duration,
    /// How.
    pub to: AlertTarget,
}

/// How somebody is told: by a webhook, or by a command.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertTarget {
    /// The URL that messages are posted to; of an Alertmanager, the one that it listens at.
    pub webhook: Option<String>,
    /// What is posted.
    pub format: Option<AlertFormat>,
    /// The file with the secret by which messages are signed, for its owner alone, relative to the folder of the settings.
    pub secret_file: Option<PathBuf>,
    /// The file with the certificate authorities that are trusted for it, in PEM, relative to the folder of the settings; those that the
    /// system trusts where absent.
    pub ca: Option<PathBuf>,
    /// How often an Alertmanager is told again of what lasts; a minute where absent.
    #[serde(default, deserialize_with = "some_time")]
    pub repeat: Option<Duration>,
    /// A line for `sh -c`, which gets a message as JSON on its standard input.
    pub command: Option<String>,
}

/// See [`AlertTarget::format`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertFormat {
    /// A message as Standard Webhooks 1.0 has it.
    #[default]
    Unspool,
    /// An alert as `POST /api/v2/alerts` of an Alertmanager takes it.
    Alertmanager,
}

/// Refuses what has no meaning, or two.
pub(super) fn check(alerts: &[AlertSettings]) -> Result<(), String> {
    let mut names = BTreeSet::new();
    for alert in alerts {
        let name = alert.name.as_str();
        let fine = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || name.len() > 64 || !name.chars().all(fine) {
            return Err(format!("[[alert]] name is {name:?}; it may have 1 to 64 letters, digits, - and _"));
        }
        if name == COMMAND {
            return Err(format!("[[alert]] name is {name:?}, as what [host] alert and --alert say is called"));
        }
        if !names.insert(name) {
            return Err(format!("[[alert]] name is {name:?} twice"));
        }
        alert.check().map_err(|what| format!("[[alert]] {name}: {what}"))?;
    }
    Ok(())
}

impl AlertSettings {
    /// What a command alone stands for: it is told at once of what has failed, and of what has stalled, by the name `command`.
    pub fn of_command(line: String) -> AlertSettings {
        let to =
            AlertTarget { webhook: None, format: None, secret_file: None, ca: None, repeat: None, command: Some(line) };
        AlertSettings {
            name: COMMAND.to_owned(),
            on: vec![AlertKind::Failed, AlertKind::Stalled],
            lasting: Duration::ZERO,
            to,
        }
    }

    fn check(&self) -> Result<(), String> {
        let AlertTarget { webhook, format, secret_file, ca, repeat, command } = &self.to;
        let alertmanager = *format == Some(AlertFormat::Alertmanager);
        if self.on.is_empty() {
            return Err(format!("on is empty; it may have: {}", AlertKind::ALL.map(AlertKind::name).join(", ")));
        }
        match (webhook, command) {
            (Some(_), Some(_)) => return Err("to has a webhook and a command; it may have one of them".to_owned()),
            (None, None) => return Err("to has neither a webhook nor a command".to_owned()),
            (None, Some(_)) if format.is_some() || secret_file.is_some() || ca.is_some() || repeat.is_some() => {
                return Err("format, secret_file, ca and repeat are for a webhook, and to has a command".to_owned());
            }
            (Some(url), None) if !(url.starts_with("https://") || url.starts_with("http://")) => {
                return Err(format!("webhook is {url:?}, which is no URL: https://HOST/PATH"));
            }
            _ => {}
        }
        if alertmanager && secret_file.is_some() {
            return Err("secret_file is for the format unspool: an Alertmanager verifies no signature".to_owned());
        }
        if webhook.is_some() && !alertmanager && repeat.is_some() {
            return Err("repeat is for the format alertmanager: others are told once".to_owned());
        }
        if repeat.is_some_and(|repeat| repeat < Duration::from_secs(1)) {
            return Err("repeat is less than a second".to_owned());
        }
        Ok(())
    }
}

/// A time as people write it, a number and its unit: `500ms`, `30s`, `5m` or `1h`.
///
/// # Errors
/// When it is none, or longer than a day.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u32 = number.parse().map_err(|_| format!("{text:?} is no time: 500ms, 5s or 2m"))?;
    let unit = match unit {
        "ms" => Duration::from_millis(1),
        "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        "h" => Duration::from_secs(3_600),
        _ => return Err(format!("{text:?} has no unit of time: 500ms, 5s or 2m")),
    };
    let day = Duration::from_secs(86_400);
    unit.checked_mul(number).filter(|time| *time <= day).ok_or_else(|| format!("{text} is longer than a day"))
}

fn time<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    duration(&String::deserialize(from)?).map_err(D::Error::custom)
}

fn some_time<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    time(from).map(Some)
}

#[cfg(test)]
mod tests {
    use super::super::Settings;

    fn read(text: &str) -> Result<Settings, String> {
        let settings: Settings = toml::from_str(text).map_err(|e| e.message().to_owned())?;
        settings.check().map(|()| settings)
    }

    #[test]
    fn an_alert_that_means_nothing_or_two_things_is_refused_by_name() {
        let one = |rest: &str| format!("[[alert]]\nname = \"a\"\n{rest}\n");
        let to = "to = { command = \"true\" }";
        for (text, words) in [
            (one(&format!("on = [\"failed\"]\n{to}\ntoo = 1")), "too"),
            (one(&format!("on = [\"broken\"]\n{to}")), "broken"),
            (one(&format!("on = []\n{to}")), "verify-differs"),
            (one(&format!("on = [\"failed\"]\nfor = \"soon\"\n{to}")), "soon"),
            (one("on = [\"failed\"]\nto = { webhok = \"x\" }"), "webhok"),
            (one("on = [\"failed\"]\nto = {}"), "neither"),
            (one("on = [\"failed\"]\nto = { command = \"x\", webhook = \"https://x\" }"), "one of them"),
            (one("on = [\"failed\"]\nto = { command = \"x\", format = \"unspool\" }"), "for a webhook"),
            (one("on = [\"failed\"]\nto = { webhook = \"ftp://x\" }"), "no URL"),
            (
                one(
                    "on = [\"failed\"]\nto = { webhook = \"http://x\", format = \"alertmanager\", secret_file = \"s\" }",
                ),
                "verifies no signature",
            ),
            (one("on = [\"failed\"]\nto = { webhook = \"http://x\", repeat = \"5s\" }"), "told once"),
            (format!("[[alert]]\nname = \"a b\"\non = [\"failed\"]\n{to}"), "letters"),
            (format!("{0}{0}", one(&format!("on = [\"failed\"]\n{to}"))), "twice"),
        ] {
            let refused = read(&text).expect_err(&text);
            assert!(refused.contains(words), "{words}: {refused}");
        }
        let all =
            "on = [\"failed\", \"stalled\", \"behind\", \"parked\", \"verify-differs\", \"completed\"]\nfor = \"2m\"";
        let read = read(&one(&format!("{all}\n{to}"))).unwrap();
        assert_eq!((read.alert[0].on.len(), read.alert[0].lasting.as_secs()), (6, 120));
    }
}
