//! What is known of a value: which kinds it may be of, what may be in it, and where that is said.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::super::engine::STATE;
use super::functions::Pointer;
use super::record::{Record, Rest};
use super::schema::Node;
use super::trial::Made;

/// Alternatives beyond this many say nothing worth keeping.
const MAX_MAPS: usize = 8;

/// Arrays and objects within each other; what is deeper may be anything.
const MAX_DEPTH: u8 = 8;

/// Kinds of values, as the engine tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    Unit,
    Bool,
    Int,
    Float,
    Text,
    Char,
    Array,
    Map,
    Function,
}

impl Kind {
    pub(super) const ALL: [Self; 9] = [
        Self::Unit,
        Self::Bool,
        Self::Int,
        Self::Float,
        Self::Text,
        Self::Char,
        Self::Array,
        Self::Map,
        Self::Function,
    ];

    /// What `type_of` says.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Unit => "()",
            Self::Bool => "bool",
            Self::Int => "i64",
            Self::Float => "f64",
            Self::Text => "string",
            Self::Char => "char",
            Self::Array => "array",
            Self::Map => "map",
            Self::Function => "Fn",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// In messages.
    pub(super) fn told(self) -> &'static str {
        match self {
            Self::Unit => "`()`",
            Self::Bool => "a boolean",
            Self::Int => "an integer",
            Self::Float => "a number",
            Self::Text => "a string",
            Self::Char => "a character",
            Self::Array => "an array",
            Self::Map => "an object",
            Self::Function => "a function",
        }
    }

    /// Values of one family can be equal although their kinds differ: `2 == 2.0`, `'a' == "a"`.
    pub(super) fn family(self) -> Self {
        match self {
            Self::Float => Self::Int,
            Self::Char => Self::Text,
            other => other,
        }
    }
}

/// What a value may be.
#[derive(Clone, Debug, Default)]
pub(super) struct Type<'a> {
    /// One of these; `None`: anything.
    atoms: Option<Vec<Atom<'a>>>,
    /// The schema that says so.
    pub(super) says: Option<Node<'a>>,
    /// It is what stands in this place of the event, and nothing else.
    pub(super) copy_of: Option<Place>,
    /// Known arrays and objects within each other.
    depth: u8,
    /// The stretch of the script in which nothing is known that would rule out any of these.
    pub(super) open: Option<Stretch>,
}

/// Part of a script without a decision in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stretch(pub(super) u32);

#[derive(Clone, Debug)]
pub(super) enum Atom<'a> {
    Unit(Option<Absent<'a>>),
    Bool(Option<bool>),
    /// `None`: any; otherwise one of these.
    Int(Option<Rc<BTreeSet<i64>>>),
    Float,
    Text(Option<Rc<BTreeSet<Rc<str>>>>),
    Char,
    Array(Rc<Type<'a>>),
    Map(Rc<Record<'a>>),
    /// `None`: any.
    Function(Option<Rc<Pointer<'a>>>),
}

/// A `()` that a valid event may have in some place.
#[derive(Clone, Debug)]
pub(super) struct Absent<'a> {
    pub(super) place: Place,
    pub(super) why: Why<'a>,
    /// There is nothing else that it could be.
    pub(super) sure: bool,
}

impl<'a> Absent<'a> {
    pub(super) fn new(place: Place, why: Why<'a>) -> Self {
        Self { place, why, sure: false }
    }
}

#[derive(Clone, Debug)]
pub(super) enum Why<'a> {
    /// The schema of the object describes it, and does not require it.
    Optional(Node<'a>),
    /// It does not even name it.
    Unnamed(Node<'a>),
    /// It may be null.
    Null(Node<'a>),
    /// Events need not have it, whatever their schema.
    Envelope,
    /// It is empty at first, and what is put there may be nothing.
    Unset,
}

/// Where in an event: `event.data.items[].note`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) path: Rc<str>,
    /// There is one value in this place, so what is found out about one copy holds for all.
    pub(super) unique: bool,
}

impl Place {
    pub(super) fn root(path: &str) -> Self {
        Self { path: path.into(), unique: true }
    }

    pub(super) fn member(&self, name: &str) -> Self {
        let plain = name.chars().all(|c| c.is_alphanumeric() || c == '_');
        let path = if plain { format!("{}.{name}", self.path) } else { format!("{}[{name:?}]", self.path) };
        Self { path: path.into(), unique: self.unique }
    }

    /// It is in the state.
    pub(super) fn is_kept(&self) -> bool {
        self.path.split(['.', '[']).next() == Some(STATE)
    }

    pub(super) fn item(&self) -> Self {
        Self { path: format!("{}[]", self.path).into(), unique: false }
    }
}

impl<'a> Type<'a> {
    pub(super) fn any() -> Self {
        Self::default()
    }

    /// Of a value that there cannot be.
    pub(super) fn never() -> Self {
        Self { atoms: Some(Vec::new()), ..Self::default() }
    }

    pub(super) fn of(atom: Atom<'a>) -> Self {
        let depth = match &atom {
            Atom::Array(item) => item.depth.saturating_add(1),
            Atom::Map(record) => record.depth().saturating_add(1),
            _ => 0,
        };
        // Values can be put into each other without an end.
        if depth > MAX_DEPTH {
            return Self::any();
        }
        Self { atoms: Some(vec![atom]), depth, ..Self::default() }
    }

    pub(super) fn unit(absent: Option<Absent<'a>>) -> Self {
        Self::of(Atom::Unit(absent))
    }

    /// Of a place in the state that need not have been written.
    pub(super) fn unset(place: Place) -> Self {
        Self::unit(Some(Absent::new(place, Why::Unset)))
    }

    pub(super) fn boolean() -> Self {
        Self::of(Atom::Bool(None))
    }

    pub(super) fn text(text: Option<&str>) -> Self {
        Self::of(Atom::Text(text.map(|text| Rc::new(BTreeSet::from([text.into()])))))
    }

    pub(super) fn int(int: Option<i64>) -> Self {
        Self::of(Atom::Int(int.map(|int| Rc::new(BTreeSet::from([int])))))
    }

    pub(super) fn map(record: Record<'a>) -> Self {
        Self::of(Atom::Map(Rc::new(record)))
    }

    pub(super) fn of_kind(kind: Kind) -> Self {
        match kind {
            Kind::Unit => Self::unit(None),
            Kind::Bool => Self::boolean(),
            Kind::Int => Self::int(None),
            Kind::Float => Self::of(Atom::Float),
            Kind::Text => Self::text(None),
            Kind::Char => Self::of(Atom::Char),
            Kind::Array => Self::of(Atom::Array(Rc::new(Self::any()))),
            Kind::Map => Self::map(Record { rest: Rest::Unknown, ..Record::default() }),
            Kind::Function => Self::of(Atom::Function(None)),
        }
    }

    pub(super) fn of_made(made: Made) -> Self {
        match made {
            Made::Kind(kind) => Self::of_kind(kind),
            Made::Other => Self::any(),
        }
    }

    #[must_use]
    pub(super) fn said_by(mut self, node: Node<'a>) -> Self {
        self.says = Some(node);
        self
    }

    #[must_use]
    pub(super) fn saying(self, says: Option<Node<'a>>) -> Self {
        Self { says, ..self }
    }

    /// What of it is of kinds that do not work, where each that it may be is one that it really is at times.
    pub(super) fn astray(&self, works: impl Fn(&Atom<'a>) -> bool) -> Option<Self> {
        let astray = self.filtered(|atom| atom.kind() != Kind::Unit && !works(atom));
        (self.open.is_some() && !astray.is_never() && !astray.is_any()).then_some(astray)
    }

    /// Each text and number that it may be as an alternative of its own.
    pub(super) fn singly(&self) -> Self {
        let each = |atom: &Atom<'a>| match atom {
            Atom::Text(Some(texts)) => {
                texts.iter().map(|text| Atom::Text(Some(Rc::new([text.clone()].into())))).collect()
            }
            Atom::Int(Some(ints)) => ints.iter().map(|int| Atom::Int(Some(Rc::new([*int].into())))).collect(),
            other => vec![other.clone()],
        };
        Self { atoms: self.atoms().map(|atoms| atoms.iter().flat_map(each).collect()), ..self.clone() }
    }

    /// It is what stands in a place of the event.
    #[must_use]
    pub(super) fn copied(self, from: Option<Place>) -> Self {
        Self { copy_of: from, ..self }
    }

    pub(super) fn depth(&self) -> u8 {
        self.depth
    }

    pub(super) fn is_any(&self) -> bool {
        self.atoms.is_none()
    }

    pub(super) fn is_never(&self) -> bool {
        self.atoms.as_ref().is_some_and(Vec::is_empty)
    }

    /// `None`: it may be anything.
    pub(super) fn atoms(&self) -> Option<&[Atom<'a>]> {
        self.atoms.as_deref()
    }

    /// It is one object, and which.
    pub(super) fn single_map(&self) -> Option<&Record<'a>> {
        match self.atoms()? {
            [Atom::Map(record)] => Some(record),
            _ => None,
        }
    }

    pub(super) fn kinds(&self) -> Option<BTreeSet<Kind>> {
        Some(self.atoms()?.iter().map(Atom::kind).collect())
    }

    pub(super) fn is_only(&self, kind: Kind) -> bool {
        self.atoms().is_some_and(|atoms| !atoms.is_empty() && atoms.iter().all(|atom| atom.kind() == kind))
    }

    pub(super) fn may_be(&self, kind: Kind) -> bool {
        self.atoms().is_none_or(|atoms| atoms.iter().any(|atom| atom.kind() == kind))
    }

    /// The places of an event that are why it may be `()`.
    pub(super) fn absences(&self) -> impl Iterator<Item = Absent<'a>> {
        let sure = self.is_only(Kind::Unit);
        self.atoms().into_iter().flatten().filter_map(move |atom| match atom {
            Atom::Unit(absent) => Some(Absent { sure, ..absent.clone()? }),
            _ => None,
        })
    }

    /// Without some of what it may be.
    #[must_use]
    pub(super) fn filtered(&self, keep: impl Fn(&Atom<'a>) -> bool) -> Self {
        let atoms = self.atoms().map(|atoms| atoms.iter().filter(|atom| keep(atom)).cloned().collect());
        Self { atoms, ..self.clone() }
    }

    /// Each of what it may be, made something else.
    #[must_use]
    pub(super) fn each(&self, make: impl FnMut(&Atom<'a>) -> Self) -> Self {
        let Some(atoms) = self.atoms() else { return Self::any() };
        let made = atoms.iter().map(make).fold(Self::never(), Self::or);
        Self { says: made.says.or(self.says), copy_of: self.copy_of.clone(), ..made }
    }

    #[must_use]
    pub(super) fn present(&self) -> Self {
        self.filtered(|atom| atom.kind() != Kind::Unit)
    }

    /// Either of both.
    #[must_use]
    pub(super) fn or(self, other: Self) -> Self {
        if self.is_never() {
            return other;
        }
        if other.is_never() {
            return self;
        }
        let (Some(mut atoms), Some(more)) = (self.atoms, other.atoms) else { return Self::any() };
        for atom in more {
            Atom::join_into(&mut atoms, atom);
        }
        if atoms.iter().filter(|atom| atom.kind() == Kind::Map).count() > MAX_MAPS {
            return Self::any();
        }
        let copy_of = self.copy_of.filter(|place| other.copy_of.as_ref() == Some(place));
        let depth = self.depth.max(other.depth);
        Self { atoms: Some(atoms), says: self.says.or(other.says), copy_of, depth, open: None }
    }

    /// Both hold.
    #[must_use]
    pub(super) fn met(self, other: Self) -> Self {
        match (self.atoms(), other.atoms()) {
            (None, _) => other,
            (_, None) => self,
            (Some([Atom::Map(a)]), Some([Atom::Map(b)])) => Self::map(a.met(b)).saying(self.says),
            _ if self.may_be(Kind::Map) && other.may_be(Kind::Map) => Self::any(),
            _ => {
                let met = super::narrow::equals(&self, &other);
                if met.is_never() { Self::any() } else { met }
            }
        }
    }

    /// The function that it is, if it is but one.
    pub(super) fn pointer(&self) -> Option<Rc<Pointer<'a>>> {
        match self.atoms() {
            Some([Atom::Function(pointer)]) => pointer.clone(),
            _ => None,
        }
    }

    /// Whether all that the other may be is among what this may be; where that is not plain, `false`.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let (Some(own), Some(others)) = (self.atoms(), other.atoms()) else { return self.is_any() };
        others.iter().all(|atom| own.iter().any(|own| own.covers(atom)))
    }

    /// Whether none of what this may be can be compared with any of what the other may be.
    pub(super) fn is_beside(&self, other: &Self) -> bool {
        let (Some(own), Some(others)) = (self.atoms(), other.atoms()) else { return false };
        let alike = |atom: &Atom<'a>| others.iter().any(|other| other.kind().family() == atom.kind().family());
        !own.is_empty() && !others.is_empty() && !own.iter().any(alike)
    }

    /// What an item of it is, as far as it is an array.
    pub(super) fn item(&self) -> Self {
        let item = self.each(|atom| match atom {
            Atom::Array(item) => (**item).clone(),
            _ => Self::any(),
        });
        item.copied(self.copy_of.as_ref().map(Place::item))
    }
}

impl<'a> Atom<'a> {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Unit(_) => Kind::Unit,
            Self::Bool(_) => Kind::Bool,
            Self::Int(_) => Kind::Int,
            Self::Float => Kind::Float,
            Self::Text(_) => Kind::Text,
            Self::Char => Kind::Char,
            Self::Array(_) => Kind::Array,
            Self::Map(_) => Kind::Map,
            Self::Function(_) => Kind::Function,
        }
    }

    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unit(a), Self::Unit(b)) => a.as_ref().map(|a| &a.place) == b.as_ref().map(|b| &b.place),
            (Self::Bool(a), Self::Bool(b)) => a.is_none() || a == b,
            (Self::Int(a), Self::Int(b)) => within(b.as_ref(), a.as_ref()),
            (Self::Text(a), Self::Text(b)) => within(b.as_ref(), a.as_ref()),
            (Self::Array(a), Self::Array(b)) => a.covers(b),
            (Self::Map(a), Self::Map(b)) => Rc::ptr_eq(a, b) || a.covers(b),
            (Self::Function(a), Self::Function(b)) => a.is_none() || Pointer::is_same(a.as_deref(), b.as_deref()),
            _ => self.kind() == other.kind(),
        }
    }

    fn join_into(atoms: &mut Vec<Self>, new: Self) {
        for known in atoms.iter_mut() {
            let joined = match (&*known, &new) {
                (Self::Unit(a), Self::Unit(b)) => {
                    let same = match (a, b) {
                        (Some(a), Some(b)) => a.place == b.place,
                        (None, None) => true,
                        _ => false,
                    };
                    same.then(|| known.clone())
                }
                (Self::Bool(a), Self::Bool(b)) => Some(Self::Bool(if a == b { *a } else { None })),
                (Self::Int(a), Self::Int(b)) => Some(Self::Int(both(a.as_ref(), b.as_ref()))),
                (Self::Text(a), Self::Text(b)) => Some(Self::Text(both(a.as_ref(), b.as_ref()))),
                (Self::Array(a), Self::Array(b)) => Some(Self::Array(Rc::new((**a).clone().or((**b).clone())))),
                (Self::Map(a), Self::Map(b)) if Rc::ptr_eq(a, b) => Some(known.clone()),
                (Self::Map(a), Self::Map(b)) => a.merged(b).map(|merged| Self::Map(Rc::new(merged))),
                (Self::Float, Self::Float) | (Self::Char, Self::Char) => Some(known.clone()),
                (Self::Function(a), Self::Function(b)) => {
                    let same = Pointer::is_same(a.as_deref(), b.as_deref());
                    Some(Self::Function(a.clone().filter(|_| same)))
                }
                _ => None,
            };
            if let Some(joined) = joined {
                *known = joined;
                return;
            }
        }
        atoms.push(new);
    }
}

fn within<T: Ord>(few: Option<&Rc<BTreeSet<T>>>, many: Option<&Rc<BTreeSet<T>>>) -> bool {
    many.is_none_or(|many| few.is_some_and(|few| few.is_subset(many)))
}

fn both<T: Ord + Clone>(a: Option<&Rc<BTreeSet<T>>>, b: Option<&Rc<BTreeSet<T>>>) -> Option<Rc<BTreeSet<T>>> {
    let (a, b) = (a?, b?);
    Some(if b.is_subset(a) { Rc::clone(a) } else { Rc::new(a.union(b).cloned().collect()) })
}
