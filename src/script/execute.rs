//! One execution: JSON in, the script on a fresh scope, JSON out — all on the calling thread, which also drops
//! what the script built.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rhai::{Dynamic, ImmutableString, Map, Position, Scope, Stmt};
use serde_json::Value;

use super::convert::{self, Unconvertible};
use super::engine::{CTX, Compiled, DATA, EVENT, Inner, STATE};
use super::reads::Reads;
use super::run::{Ending, Run, Subject};
use super::{Context, ErrorClass, Outcome, Place, ScriptError, errors};
use crate::event::{Event, Key};

pub(super) fn handle(
    engine: &Inner,
    script: &Compiled,
    event: &Event,
    key: &Key,
    state: Option<&Value>,
    context: &Context,
) -> Result<Outcome, ScriptError> {
    let Finished { mut run, scope, .. } = of_key(engine, script, event, key, state, context)?;
    match run.ending.take() {
        Some(Ending::Retry { why, delay }) => return Ok(Outcome::Retry { why, delay }),
        Some(Ending::Reject { why }) => return Ok(Outcome::Reject { why }),
        Some(Ending::Skip { why }) => return Ok(Outcome::Skip { why }),
        Some(Ending::WaitFor { kind, at }) => return Ok(Outcome::WaitFor { kind, at }),
        None => {}
    }
    let state = if run.state_deleted { None } else { Some(state_left(script, &mut run, scope)?) };
    Ok(Outcome::Done { state, emitted: run.emitted })
}

/// The document the script leaves.
fn state_left(script: &Compiled, run: &mut Run, mut scope: Scope<'_>) -> Result<Value, ScriptError> {
    let state = variable(&mut scope, STATE);
    if !state.is_map() {
        let kind = state.type_name();
        let kind = kind.rsplit("::").next().unwrap_or(kind);
        return Err(failed(
            script,
            ErrorClass::Script,
            format!("`state` must be a map when the script ends, not {kind}"),
        ));
    }
    run.allowance.take(state).map_err(|why| errors::of_result(&why, STATE, end(script)))
}

pub(super) fn matches(
    engine: &Inner,
    script: &Compiled,
    event: &Event,
    key: &Key,
    state: Option<&Value>,
    context: &Context,
) -> Result<bool, ScriptError> {
    let Finished { result, .. } = of_key(engine, script, event, key, state, context)?;
    result.as_bool().map_err(|kind| {
        failed(script, ErrorClass::Script, format!("the filter yields {kind}; it must yield true or false"))
    })
}

pub(super) fn upcast(engine: &Inner, script: &Compiled, event: &Event) -> Result<Value, ScriptError> {
    let event_map = event_map(event, None, &script.reads, engine.limits.depth);
    let data = convert::to_dynamic(&event.data, engine.limits.depth);
    let mut scope = Scope::new();
    scope.push_constant_dynamic(EVENT, event_map.map_err(|why| unreadable(script, &why, EVENT))?);
    scope.push_dynamic(DATA, data.map_err(|why| unreadable(script, &why, DATA))?);
    let Finished { mut run, mut scope, .. } = execute(engine, script, event, None, "".into(), scope)?;
    let data = variable(&mut scope, DATA);
    run.allowance.take(data).map_err(|why| errors::of_result(&why, DATA, end(script)))
}

struct Finished<'a> {
    run: Run,
    scope: Scope<'a>,
    result: Dynamic,
}

fn of_key<'a>(
    engine: &Inner,
    script: &Compiled,
    event: &Event,
    key: &Key,
    state: Option<&Value>,
    context: &Context,
) -> Result<Finished<'a>, ScriptError> {
    let depth = engine.limits.depth;
    let event_map = event_map(event, Some(key), &script.reads, depth).map_err(|why| unreadable(script, &why, EVENT))?;
    let state = match state {
        Some(state) => convert::to_dynamic(state, depth).map_err(|why| unreadable(script, &why, STATE))?,
        None => Dynamic::from_map(Map::new()),
    };
    let mut ctx = Map::new();
    if script.reads.ctx {
        ctx.insert("attempt".into(), i64::from(context.attempt).into());
        ctx.insert("time".into(), context.time.rfc3339().into());
        ctx.insert("pipeline".into(), (&*context.pipeline).into());
    }
    let mut scope = Scope::with_capacity(8);
    scope.push_constant_dynamic(EVENT, event_map);
    scope.push_constant_dynamic(CTX, Dynamic::from_map(ctx));
    scope.push_dynamic(STATE, state);
    execute(engine, script, event, Some(key), context.pipeline.clone(), scope)
}

fn execute<'a>(
    engine: &Inner,
    script: &Compiled,
    event: &Event,
    key: Option<&Key>,
    pipeline: std::sync::Arc<str>,
    mut scope: Scope<'a>,
) -> Result<Finished<'a>, ScriptError> {
    let subject = Subject {
        pipeline,
        source: event.source.as_str().into(),
        id: event.id.as_str().into(),
        key: key.map(Key::as_str).unwrap_or_default().into(),
        file: script.file.clone(),
    };
    let given = scope.len();
    let mut run = Run::new(Some(script.kind), subject, script.imports.clone(), &engine.limits);
    run.line_offset = script.line_offset;
    let (result, run) = run.around(|| {
        catch_unwind(AssertUnwindSafe(|| engine.rhai.eval_ast_with_scope::<Dynamic>(&mut scope, &script.ast)))
    });
    dismantle(&mut scope, given);
    if run.ending.is_some() && run.overrun.is_none() {
        return Ok(Finished { run, scope, result: Dynamic::UNIT });
    }
    let error = match result {
        Ok(Ok(result)) if run.overrun.is_none() => return Ok(Finished { run, scope, result }),
        Ok(Ok(_)) => failed(script, ErrorClass::Limit, errors::overrun(&run, &engine.limits)),
        Ok(Err(error)) => errors::of_run(&run, &error, &engine.limits),
        Err(_) => failed(
            script,
            ErrorClass::Script,
            "the script engine panicked, which is a bug; please report it with the script".to_owned(),
        ),
    };
    dismantle(&mut scope, 0);
    Err(error)
}

/// Drops the variables beyond the first `given`, last first, with what they share with closures: a variable that
/// holds a closure that captured it would otherwise keep itself alive for ever.
fn dismantle(scope: &mut Scope<'_>, given: usize) {
    while scope.len() > given {
        let last = scope.iter_raw().last().map(|(name, ..)| name.to_owned()).unwrap_or_default();
        drop(scope.get_mut(&last).map(contents));
        scope.rewind(scope.len() - 1);
    }
}

/// What a variable holds; nothing stays behind for closures that captured it.
fn contents(variable: &mut Dynamic) -> Dynamic {
    variable.write_lock::<Dynamic>().map(|mut held| std::mem::take(&mut *held)).unwrap_or_default()
}

/// Takes one of the variables the script was given.
fn variable(scope: &mut Scope<'_>, name: &str) -> Dynamic {
    scope.get_mut(name).map(contents).unwrap_or_default()
}

/// As much of the event as the script reads.
fn event_map(event: &Event, key: Option<&Key>, reads: &Reads, depth: usize) -> Result<Dynamic, Unconvertible> {
    let text = |text: &str| Dynamic::from(ImmutableString::from(text));
    let mut map = Map::new();
    let mut put = |name: &str, value: &dyn Fn() -> Result<Dynamic, Unconvertible>| {
        if reads.event.has(name) {
            map.insert(name.into(), value()?);
        }
        Ok(())
    };
    put("id", &|| Ok(text(&event.id)))?;
    put("type", &|| Ok(text(&event.kind)))?;
    put("version", &|| Ok(i64::from(event.version).into()))?;
    put("source", &|| Ok(text(&event.source)))?;
    put("time", &|| Ok(event.time.as_deref().map_or(Dynamic::UNIT, text)))?;
    put("key", &|| Ok(key.map_or(Dynamic::UNIT, |key| text(key.as_str()))))?;
    put("headers", &|| {
        let mut headers = Map::new();
        for (name, value) in &event.headers.0 {
            headers.entry(name.as_str().into()).or_insert_with(|| value.as_str().into());
        }
        Ok(Dynamic::from_map(headers))
    })?;
    put("data", &|| convert::members_to_dynamic(&event.data, &reads.data, depth))?;
    Ok(Dynamic::from_map(map))
}

fn unreadable(script: &Compiled, why: &Unconvertible, name: &str) -> ScriptError {
    let at = Place { file: script.file.to_string(), line: 0, column: 0 };
    ScriptError { class: why.class, message: why.message(name), at }
}

/// A failure that belongs to the script as a whole.
fn failed(script: &Compiled, class: ErrorClass, message: String) -> ScriptError {
    ScriptError { class, message, at: end(script) }
}

pub(super) fn end(script: &Compiled) -> Place {
    let last = script.ast.statements().last().map_or(Position::NONE, Stmt::position);
    Place {
        file: script.file.to_string(),
        line: last.line().map_or(0, |line| line + script.line_offset),
        column: last.position().unwrap_or(0),
    }
}
