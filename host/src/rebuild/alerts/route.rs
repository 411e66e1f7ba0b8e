//! Whom to tell, as settings say it.

#[cfg(feature = "http")]
use super::webhook::Webhook;
use super::{command, message::Message};
use crate::{
    limits,
    settings::{AlertFormat, AlertSettings},
    store::RouteRecord,
    vocabulary::AlertKind,
};
use std::{path::Path, time::Duration};

/// Somebody who is told.
#[derive(Debug, Clone)]
pub struct AlertRoute {
    name: String,
    on: Vec<AlertKind>,
    lasting: Duration,
    /// How often they are told again of what lasts.
    repeat: Option<Duration>,
    target: Target,
}

#[derive(Debug, Clone)]
enum Target {
    #[cfg(feature = "http")]
    Webhook(Webhook),
    Command(String),
}

impl AlertRoute {
    /// What settings in `folder` say.
    ///
    /// # Errors
    /// Names the file of it that cannot be read, that others may read, or that has no such content.
    pub fn of(settings: &AlertSettings, folder: &Path) -> Result<AlertRoute, String> {
        let to = &settings.to;
        let alertmanager = to.format == Some(AlertFormat::Alertmanager);
        let repeat = alertmanager.then(|| to.repeat.unwrap_or(limits::ALERT_REPEAT));
        let target = match (&to.webhook, &to.command) {
            #[cfg(feature = "http")]
            (Some(url), _) => {
                let file = |file: &Option<std::path::PathBuf>| file.as_ref().map(|file| folder.join(file));
                let webhook = Webhook::new(url, repeat, file(&to.secret_file).as_deref(), file(&to.ca).as_deref());
                Target::Webhook(webhook.map_err(|e| format!("[[alert]] {}: {e}", settings.name))?)
            }
            #[cfg(not(feature = "http"))]
            (Some(_), _) => {
                let _ = folder;
                return Err(format!(
                    "[[alert]] {}: this program was built without HTTP, and has no webhooks",
                    settings.name
                ));
            }
            (None, command) => Target::Command(command.clone().unwrap_or_default()),
        };
        Ok(AlertRoute {
            name: settings.name.clone(),
            on: settings.on.clone(),
            lasting: settings.lasting,
            repeat,
            target,
        })
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is told of that.
    pub(super) fn wants(&self, kind: AlertKind) -> bool {
        self.on.contains(&kind)
    }

    /// Where to, without what only its receiver is to know.
    pub fn to(&self) -> String {
        match &self.target {
            #[cfg(feature = "http")]
            Target::Webhook(webhook) => webhook.to(),
            Target::Command(_) => "command".to_owned(),
        }
    }

    /// The same for the store.
    pub(super) fn record(&self) -> RouteRecord {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        RouteRecord::new(self.to(), self.on.clone(), ms(self.lasting), self.repeat.map(ms))
    }

    /// Sends something that says that it is a test.
    ///
    /// # Errors
    /// Why it did not arrive.
    pub fn test(&self) -> Result<(), String> {
        self.deliver(&Message::test())
    }

    /// Delivers a message, in bounded time.
    ///
    /// # Errors
    /// Why it did not arrive.
    pub(super) fn deliver(&self, message: &Message) -> Result<(), String> {
        match &self.target {
            #[cfg(feature = "http")]
            Target::Webhook(webhook) => webhook.deliver(message),
            Target::Command(line) => command::run(line, message),
        }
    }
}
