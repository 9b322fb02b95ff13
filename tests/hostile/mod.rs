//! What is meant to break it, through the binary: scripts, events and files.

mod events;
mod files;
mod scripts;
