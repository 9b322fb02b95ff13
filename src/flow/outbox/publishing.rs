//! One publish that is not answered yet, with what it is about.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::future::BoxFuture;

use super::LineId;
use crate::bus::PublishError;

/// The head of a line, its number, and what the broker said.
pub(super) type Answered = (LineId, u64, Result<(), PublishError>);

pub(super) struct Publishing {
    /// Until it is answered.
    of: Option<(LineId, u64)>,
    answer: BoxFuture<'static, Result<(), PublishError>>,
}

impl Publishing {
    pub(super) fn new(line: LineId, number: u64, answer: BoxFuture<'static, Result<(), PublishError>>) -> Self {
        Self { of: Some((line, number)), answer }
    }
}

impl Future for Publishing {
    type Output = Answered;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answered> {
        let result = ready!(self.answer.as_mut().poll(context));
        let (line, number) = self.of.take().expect("it is not polled again once it has answered");
        Poll::Ready((line, number, result))
    }
}
