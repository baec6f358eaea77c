//! Networks that find themselves: members come, go and die, and everybody soon knows who is there and what runs
//! where.

mod detection;
mod directory;
mod healing;
mod joining;
mod many;
mod room;
