//! Drawings of models and pages about them.
//!
//! [`Diagram`] is a model's layer calls and the connections between them; [`Diagram::to_svg`], [`Diagram::to_dot`] and
//! [`Diagram::to_mermaid`] write it. [`Page`] is everything that is known of a model as data; [`Page::to_html`] writes it as
//! one document that needs no other file and no network.
//!
//! Names come from files of strangers: in every format they are text and nothing else. The same data gives the same bytes.

#![forbid(unsafe_code)]

mod diagram;
mod dot;
mod escape;
mod html;
mod layout;
mod mermaid;
mod page;
mod picture;
mod statistics;
mod svg;
mod text;

pub use diagram::{Detail, Diagram, Kind, Link, Node};
pub use page::{LayerRow, Page, VerifiedRow, WeightRow};
pub use statistics::Statistics;
pub use text::shape_text;
