//! A diagram in Mermaid's language.

use crate::escape::mermaid;
use crate::{Diagram, Kind};
use std::fmt::Write;

impl Diagram {
    /// The diagram as a `flowchart` of Mermaid; unfolded models are subgraphs.
    pub fn to_mermaid(&self) -> String {
        let mut text = "flowchart TB\n".to_string();
        self.mermaid_level(None, 1, &mut text);
        for link in &self.links {
            for to in &link.to {
                // Writing to a String does not fail.
                let _ = match link.shape.as_str() {
                    "" => writeln!(text, "  n{} --> n{to}", link.from),
                    shape => writeln!(text, "  n{} -->|\"{}\"| n{to}", link.from, mermaid(shape)),
                };
            }
        }
        text
    }

    fn mermaid_level(&self, group: Option<usize>, depth: usize, text: &mut String) {
        let indent = "  ".repeat(depth);
        for (index, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.group == group) {
            let label = format!("{}<br/>{}", mermaid(&node.name), mermaid(&node.class));
            match node.kind {
                Kind::Group if group.is_none_or(|outer| outer < index) => {
                    let _ = writeln!(text, "{indent}subgraph n{index} [\"{label}\"]");
                    self.mermaid_level(Some(index), depth + 1, text);
                    let _ = writeln!(text, "{indent}end");
                }
                Kind::Group => {}
                Kind::Layer => {
                    let _ = writeln!(text, "{indent}n{index}[\"{label}\"]");
                }
                Kind::Input | Kind::Output => {
                    let _ = writeln!(text, "{indent}n{index}([\"{label}\"])");
                }
            }
        }
    }
}
