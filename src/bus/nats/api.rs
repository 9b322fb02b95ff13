//! Questions to JetStream's API.

use serde_json::Value;

use super::PATIENCE;
use super::link::Link;
use crate::bus::BusError;

/// `code`s of the API that mean something to us.
pub const STREAM_NOT_FOUND: u64 = 10059;
pub const CONSUMER_NOT_FOUND: u64 = 10014;
pub const STREAM_NAME_IN_USE: u64 = 10058;
pub const CONSUMER_EXISTS: u64 = 10148;
/// Nothing at or after a sequence.
pub const NO_MESSAGE: u64 = 10037;
pub const MESSAGE_TOO_LARGE: u64 = 10054;
pub const STREAM_DOES_NOT_MATCH: u64 = 10060;

#[derive(Debug)]
pub enum ApiError {
    /// No answer, or one that says to try later.
    Unavailable(String),
    /// JetStream's own error.
    Answered { code: u64, description: String },
}

impl ApiError {
    /// With what was being done, for errors that need no other words.
    pub fn during(self, what: &str) -> BusError {
        match self {
            Self::Unavailable(why) => BusError::Unavailable(format!("{what}: {why}")),
            Self::Answered { description, .. } => {
                BusError::Refused(format!("{what}: JetStream refuses ({description})"))
            }
        }
    }
}

pub async fn ask(link: &Link, subject: &str, question: &Value) -> Result<Value, ApiError> {
    let client = link.client();
    let request = client.request(format!("$JS.API.{subject}"), question.to_string().into());
    // An answer comes over the connection of its question, or never.
    let asked_over = link.generation();
    let answered = tokio::select! {
        answered = tokio::time::timeout(PATIENCE, request) => answered,
        () = link.replaced(asked_over) => return Err(ApiError::Unavailable("the connection was lost".to_owned())),
    };
    let answer = match answered {
        Err(_) => return Err(ApiError::Unavailable("JetStream did not answer in time".to_owned())),
        Ok(Err(error)) if error.kind() == async_nats::RequestErrorKind::NoResponders => {
            let why = "JetStream does not answer; is it enabled on the server (`jetstream` in its configuration)?";
            return Err(ApiError::Unavailable(why.to_owned()));
        }
        Ok(Err(error)) => return Err(ApiError::Unavailable(error.to_string())),
        Ok(Ok(message)) => message,
    };
    let answer: Value = serde_json::from_slice(&answer.payload)
        .map_err(|e| ApiError::Unavailable(format!("JetStream's answer is not JSON ({e})")))?;
    match answer.get("error") {
        None => Ok(answer),
        Some(error) => Err(failed(error)),
    }
}

/// An `error` object. Status 408 and 5xx are about the moment (no leader, no resources); the rest is about us.
pub fn failed(error: &Value) -> ApiError {
    let number = |field: &str| error.get(field).and_then(Value::as_u64).unwrap_or(0);
    let description = error.get("description").and_then(Value::as_str).unwrap_or("no reason given").to_owned();
    match number("code") {
        408 | 500.. => ApiError::Unavailable(format!("JetStream says: {description}")),
        _ => ApiError::Answered { code: number("err_code"), description },
    }
}
