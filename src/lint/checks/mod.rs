//! Checks on a project as a whole, one file each.

pub mod accepts_anything;
pub mod accepts_nothing;
pub mod advances;
pub mod almost_described;
pub mod almost_keyword;
pub mod event_loop;
pub mod may_lack;
pub mod never_comes;
pub mod never_emitted;
pub mod no_dead_letter;
pub mod no_id;
pub mod past_tense;
pub mod relaxed_store;
pub mod same_id;
pub mod thin_event;
pub mod unused_channel;
pub mod volatile_store;
