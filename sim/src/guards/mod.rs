//! The client library over the simulated network, with the production server: at no moment do two guards of one lock
//! say that they are held, unless `docs/clients.md` says so.
//!
//! [`run`] runs a seed and [`Guards`] runs many. The modules are: what a kernel adds to connections (`cables`), what
//! goes wrong (`plan`), what the programs do (`work`), the world that has all of it (`world`), and the judge
//! (`umpire`).

mod cables;
mod plan;
mod seeds;
mod umpire;
mod work;
mod world;

pub use plan::told;
pub use seeds::Guards;
pub use umpire::Tally;
pub use world::{GuardsReport, run};
