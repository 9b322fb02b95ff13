//! Where parked events stand among those of their key: bytes in an order that only the flow gives a meaning to.

use super::ParkedEvent;

/// A place in a key's line. Unique per key; compared byte by byte.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(pub [u8; Self::BYTES]);

impl Place {
    pub const BYTES: usize = 25;
    pub const FIRST: Self = Self([0; Self::BYTES]);
    pub const LAST: Self = Self([0xff; Self::BYTES]);

    /// The place right behind this one; `None` behind the last.
    pub fn next(mut self) -> Option<Self> {
        for byte in self.0.iter_mut().rev() {
            *byte = byte.wrapping_add(1);
            if *byte != 0 {
                return Some(self);
            }
        }
        None
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&crate::event::hex(&self.0))
    }
}

/// A part of a key's line, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub from: Place,
    pub to: Place,
    /// How many events to read at most; fewer (but one) when they are large.
    pub limit: usize,
}

impl Range {
    /// The whole line.
    pub fn all(limit: usize) -> Self {
        Self { from: Place::FIRST, to: Place::LAST, limit }
    }

    pub fn contains(&self, place: Place) -> bool {
        (self.from..=self.to).contains(&place)
    }
}

impl ParkedEvent {
    /// Both, or the one it has.
    pub fn places(&self) -> impl Iterator<Item = Place> + use<> {
        [Some(self.place), self.also].into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_place_is_right_behind() {
        let mut carried = Place::FIRST;
        carried.0[Place::BYTES - 1] = 0xff;
        let next = carried.next().expect("there is one");
        assert!(next > carried && next.0[Place::BYTES - 2..] == [1, 0]);
        assert_eq!(Place::LAST.next(), None);
    }
}
