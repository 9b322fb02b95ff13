//! What a script does to the events that its schemas allow, found without running it.
//!
//! ```text
//! schema.rs ─▶ model.rs: types ─▶ walk.rs, express.rs, chain.rs, calls.rs ─▶ report.rs: findings
//!                                  scope.rs: what is known of variables here
//!                                  narrow.rs: what a test tells · trial.rs: what the engine can do
//! ```
//!
//! One rule stands above all: no false alarm. What is not understood may be anything, and of that nothing is told. A
//! finding says that some valid event goes wrong, or that no valid event has what is asked for.

mod calls;
mod chain;
mod copies;
mod emitted;
mod express;
mod functions;
mod loops;
mod marks;
mod model;
mod narrow;
mod record;
mod report;
mod schema;
mod scope;
mod state;
mod switch;
pub(super) mod trial;
mod units;
mod uses;
mod walk;

use rhai::Position;

use super::engine::{CTX, Compiled, DATA, EVENT, Inner, STATE};
use super::{Kind, Script};
use model::{Absent, Place, Type, Why};
use record::{Member, Record, Rest};
pub use report::{Finding, Says};
pub use schema::Document;
use scope::Scope;
pub use state::State;
pub use uses::{Read, Uses, path_to};
use walk::Walker;

/// What a script is given, and what becomes of what it leaves.
#[derive(Clone)]
pub struct Given<'a> {
    pub event: &'a str,
    /// The version it sees.
    pub version: u32,
    pub data: &'a Document<'a>,
    /// Members of the event that are there whatever its schema says: without them it does not come this far.
    pub present: Vec<&'a [String]>,
    /// Only events for which this is true come.
    pub filter: Option<&'a Script>,
    pub state: State<'a>,
    pub emits: Vec<Emits<'a>>,
    /// What an upcaster's data must match.
    pub becomes: Option<&'a Document<'a>>,
}

/// A declared emission.
#[derive(Clone)]
pub struct Emits<'a> {
    pub event: &'a str,
    pub version: u32,
    pub data: &'a Document<'a>,
}

pub(super) fn check<'a>(engine: &Inner, script: &Compiled, given: &Given<'a>) -> Vec<Finding> {
    let mut walker = Walker::new(engine, script, given);
    walker.walk();
    walker.changes_of_copies();
    walker.findings()
}

pub(super) fn uses<'a>(engine: &Inner, script: &Compiled, given: &Given<'a>) -> Uses {
    let mut walker = Walker::new(engine, script, given);
    walker.uses = Some(Uses::default());
    walker.walk();
    walker.uses.unwrap_or_default()
}

impl<'a> Given<'a> {
    /// What is in scope when a script begins.
    fn scope(&self, kind: Kind) -> Scope<'a> {
        let mut scope = Scope::default();
        let place = Place::root("event.data");
        let data = self.data.root().read(Some(&place)).copied(Some(place));
        scope.declare(EVENT, self.event(data.clone(), kind), true);
        match kind {
            Kind::Upcaster => scope.declare(DATA, data, false),
            Kind::Handler | Kind::Filter => {
                scope.declare(CTX, context(), true);
                scope.declare(STATE, self.state.known(), false);
            }
        }
        scope
    }

    fn event(&self, data: Type<'a>, kind: Kind) -> Type<'a> {
        let root = Place::root(EVENT);
        let may_lack = |name: &str| Type::unit(Some(Absent::new(root.member(name), Why::Envelope)));
        let key = if kind == Kind::Upcaster { may_lack("key") } else { Type::text(None) };
        let headers =
            Record { rest: Rest::Known(Type::text(None)), place: Some(root.member("headers")), ..Record::default() };
        let members = [
            ("id", Type::text(None)),
            ("type", Type::text(Some(self.event))),
            ("version", Type::int(Some(i64::from(self.version)))),
            ("source", Type::text(None)),
            ("time", Type::text(None).or(may_lack("time"))),
            ("key", key),
            ("headers", Type::map(headers)),
            (DATA, data),
        ];
        record(root, members)
    }
}

fn context<'a>() -> Type<'a> {
    let members = [("attempt", Type::int(None)), ("time", Type::text(None)), ("pipeline", Type::text(None))];
    record(Place::root(CTX), members)
}

fn record<'a, const N: usize>(place: Place, members: [(&str, Type<'a>); N]) -> Type<'a> {
    let members = members.map(|(name, known)| (name.into(), Member::known(known, Position::NONE))).into();
    Type::map(Record { members, place: Some(place), ..Record::default() })
}

/// Whether the value is one that the script wrote, in full.
fn is_own(record: &Record<'_>) -> bool {
    record.place.is_none() && record.says.is_none()
}

#[cfg(test)]
mod tests;
