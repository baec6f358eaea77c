//! Backends around backends: one that breaks the contract on purpose, one that writes down what passes.
//!
//! A decorator takes any [`Io`](crate::Io), an owned backend or a `&mut dyn Io` for the length of one turn. What
//! it remembers between turns can be taken out and put back:
//!
//! ```
//! use monofil_transport::decorator::{Defect, Defects, Faulty};
//! use monofil_transport::{Io, Next, Node};
//!
//! /// A node whose backend loses the first frame it sends.
//! struct Unlucky<N> {
//!     node: N,
//!     defects: Defects,
//! }
//!
//! impl<N: Node> Node for Unlucky<N> {
//!     fn turn(&mut self, io: &mut dyn Io) -> Next {
//!         let mut io = Faulty::resume(io, std::mem::take(&mut self.defects));
//!         let next = self.node.turn(&mut io);
//!         self.defects = io.into_defects();
//!         next
//!     }
//! }
//!
//! # fn start(node: impl Node) -> impl Node {
//! Unlucky { node, defects: Defects::new([Defect::Drop(0)]) }
//! # }
//! ```

mod faulty;
mod forward;
mod traced;

pub use faulty::{Defect, Defects, Faulty};
pub use traced::{Answer, Call, Traced};
