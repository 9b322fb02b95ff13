//! An in-process channel.
