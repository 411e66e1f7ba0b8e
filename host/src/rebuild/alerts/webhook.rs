//! Messages to a webhook: signed as Standard Webhooks 1.0 has it, or as an Alertmanager takes alerts.

use super::message::Message;
use crate::{
    limits,
    outbound::{self, Patience},
    private,
    vocabulary::visible,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use ring::hmac::{HMAC_SHA256, Key, sign};
use std::{fmt, io::Read, path::Path, time::Duration};
use ureq::Agent;

/// Bytes of an answer that are read, for people to see.
const ANSWER_BYTES: u64 = 200;

/// Bytes that a secret may have: those that Standard Webhooks allows.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// A webhook.
#[derive(Clone)]
pub(super) struct Webhook {
    agent: Agent,
    url: String,
    /// It is an Alertmanager, which is told so often of what lasts.
    repeat: Option<Duration>,
    /// What messages are signed by.
    secret: Option<Key>,
}

/// Its secret is in no log.
impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Webhook").field(&self.to()).finish()
    }
}

impl Webhook {
    /// The one at `url`; an Alertmanager where it is told again of what lasts.
    pub(super) fn new(
        url: &str,
        repeat: Option<Duration>,
        secret_file: Option<&Path>,
        ca: Option<&Path>,
    ) -> Result<Webhook, String> {
        let path = "/api/v2/alerts";
        let url = url.trim_end_matches('/');
        let url = if repeat.is_some() && !url.ends_with(path) { format!("{url}{path}") } else { url.to_owned() };
        url.parse::<ureq::http::Uri>().map_err(|e| format!("webhook is {url:?}: {e}"))?;
        let agent = outbound::agent(ca, Patience::Whole(limits::WEBHOOK_TIME))?;
        Ok(Webhook { agent, url, repeat, secret: secret_file.map(secret_in).transpose()? })
    }

    /// The scheme and the machine: what comes after may be as good as a password.
    pub(super) fn to(&self) -> String {
        let (scheme, rest) = self.url.split_once("://").unwrap_or_default();
        let machine = rest.split(['/', '?', '#']).next().and_then(|machine| machine.rsplit('@').next());
        let what = if self.repeat.is_some() { "alertmanager" } else { "webhook" };
        format!("{what} {scheme}://{}", machine.unwrap_or_default())
    }

    /// Posts a message; an answer of 200 to 299 says that it has arrived.
    pub(super) fn deliver(&self, message: &Message) -> Result<(), String> {
        let body = match self.repeat {
            Some(repeat) => message.alertmanager(repeat),
            None => message.unspool(),
        }
        .to_string();
        let mut request = self.agent.post(&self.url).header("content-type", "application/json");
        request = request.header("user-agent", concat!("unspool/", env!("CARGO_PKG_VERSION")));
        if self.repeat.is_none() {
            let (id, timestamp) = (message.id(), message.seconds().to_string());
            if let Some(secret) = &self.secret {
                request = request.header("webhook-signature", signature(secret, &id, &timestamp, &body));
            }
            request = request.header("webhook-id", id).header("webhook-timestamp", timestamp);
        }
        let mut answered = request.send(body.as_bytes()).map_err(|e| format!("{}: {e}", self.to()))?;
        let status = answered.status();
        if status.is_success() {
            return Ok(());
        }
        let mut said = Vec::new();
        // What it says besides is for people: where that breaks off there is less of it.
        drop(answered.body_mut().as_reader().take(ANSWER_BYTES).read_to_end(&mut said));
        let said = String::from_utf8_lossy(&said);
        let said = visible(said.trim());
        let colon = if said.is_empty() { "" } else { ": " };
        Err(format!("{} answers {status}{colon}{said}", self.to()))
    }
}

/// The secret in a file: `whsec_` and base64.
fn secret_in(file: &Path) -> Result<Key, String> {
    let refused = |what: &dyn fmt::Display| format!("secret_file {}: {what}", file.display());
    let text = private::secret_in(file).map_err(|e| refused(&e))?;
    let secret = text.strip_prefix("whsec_").and_then(|text| STANDARD.decode(text).ok());
    let secret = secret.filter(|secret| SECRET_BYTES.contains(&secret.len()));
    let secret =
        secret.ok_or_else(|| refused(&"a secret is whsec_ and 24 to 64 bytes as base64: openssl rand -base64 32"))?;
    Ok(Key::new(HMAC_SHA256, &secret))
}

/// Version 1: HMAC-SHA256 over id, time and body, as base64.
fn signature(secret: &Key, id: &str, timestamp: &str, body: &str) -> String {
    let tag = sign(secret, format!("{id}.{timestamp}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(tag.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification.
    #[test]
    fn messages_are_signed_as_the_specification_has_it() {
        let secret = Key::new(HMAC_SHA256, &STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap());
        let signed = signature(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", "{\"test\": 2432232314}");
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn what_only_the_receiver_is_to_know_is_not_shown() {
        let webhook = Webhook::new("https://ann:pass@hooks.example:8443/T0/secret?token=x", None, None, None).unwrap();
        assert_eq!(webhook.to(), "webhook https://hooks.example:8443");
        assert!(!format!("{webhook:?}").contains("secret"));
        let webhook = Webhook::new("http://am:9093/", Some(Duration::from_secs(1)), None, None).unwrap();
        assert_eq!(
            (webhook.url.as_str(), webhook.to().as_str()),
            ("http://am:9093/api/v2/alerts", "alertmanager http://am:9093")
        );
    }
}
