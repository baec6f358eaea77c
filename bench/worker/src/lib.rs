//! What the processes that measure have in common.
//!
//! Every measurement happens in processes of its own: one for what is local or simulated, two for what is
//! remote. The program that prints the tables starts them with a [`Job`] as their only argument and reads
//! one [`Sample`] from the standard output of the one that measures. All of them end when their standard
//! input does, so that nothing outlives the program that started it.

mod clock;
mod job;
mod laps;
mod meter;
mod order;
mod sample;

pub use clock::{Stopwatch, wall};
pub use job::{Job, Role, Task};
pub use laps::Laps;
pub use meter::Meter;
pub use order::{Bounce, Order, number};
pub use sample::{Line, Sample, before_the_end, fail, finish, listen_for_the_end, ready};
