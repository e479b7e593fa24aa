//! A small blocking HTTP client for Sonode's and Orthanc's interfaces on loopback.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use ureq::{Agent, Body, http::Response};

/// Nothing on loopback takes this long.
const TIMEOUT: Duration = Duration::from_secs(30);

/// An HTTP interface on loopback.
#[derive(Debug, Clone)]
pub struct Http {
    base: String,
    agent: Agent,
}

impl Http {
    /// The interface on this port.
    pub fn on(port: u16) -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .build();
        Self {
            base: format!("http://127.0.0.1:{port}"),
            agent: config.into(),
        }
    }

    /// The address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Posts bytes.
    pub fn post_bytes(&self, path: &str, body: &[u8]) -> Result<()> {
        let got = self.agent.post(self.url(path)).send(body);
        ok(path, got).map(drop)
    }

    /// The status of a GET; none if nobody answers.
    pub fn status(&self, path: &str) -> Option<u16> {
        let got = self.agent.get(self.url(path)).call();
        got.ok().map(|response| response.status().as_u16())
    }

    /// The body of a GET.
    pub fn bytes(&self, path: &str) -> Result<Vec<u8>> {
        let got = self.agent.get(self.url(path)).call();
        let mut response = ok(path, got)?;
        let body = response.body_mut().with_config().limit(1 << 30);
        body.read_to_vec().with_context(|| format!("GET {path}"))
    }

    /// The body of a GET, as text.
    pub fn text(&self, path: &str) -> Result<String> {
        Ok(String::from_utf8(self.bytes(path)?)?)
    }

    /// The body of a GET, as JSON.
    pub fn json(&self, path: &str) -> Result<Value> {
        serde_json::from_slice(&self.bytes(path)?).with_context(|| format!("GET {path}: not JSON"))
    }

    /// The answer to a POST, as JSON; null where the body is empty.
    pub fn post(&self, path: &str, body: &str) -> Result<Value> {
        let got = self.agent.post(self.url(path)).send(body);
        let text = ok(path, got)?.body_mut().read_to_string()?;
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).with_context(|| format!("POST {path}: not JSON: {text}"))
    }
}

fn ok(path: &str, got: Result<Response<Body>, ureq::Error>) -> Result<Response<Body>> {
    let mut response = got.with_context(|| format!("no answer for {path}"))?;
    let status = response.status();
    ensure!(
        status.is_success(),
        "{status} for {path}: {}",
        response.body_mut().read_to_string().unwrap_or_default()
    );
    Ok(response)
}
