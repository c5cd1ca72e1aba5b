//! A diagram in Graphviz's language.

use crate::escape::dot;
use crate::{Diagram, Kind};
use std::fmt::Write;

impl Diagram {
    /// The diagram as a `digraph` of DOT; unfolded models are clusters.
    pub fn to_dot(&self) -> String {
        let mut text = format!(
            "digraph \"{}\" {{\n  rankdir=TB;\n  node [shape=box, style=rounded, fontname=\"sans-serif\", fontsize=11];\n  \
             edge [fontname=\"sans-serif\", fontsize=9];\n",
            dot(&self.title)
        );
        self.dot_level(None, 1, &mut text);
        for link in &self.links {
            for to in &link.to {
                // Writing to a String does not fail.
                let _ = writeln!(text, "  n{} -> n{to} [label=\"{}\"];", link.from, dot(&link.shape));
            }
        }
        text.push_str("}\n");
        text
    }

    fn dot_level(&self, group: Option<usize>, depth: usize, text: &mut String) {
        let indent = "  ".repeat(depth);
        for (index, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.group == group) {
            let (name, class) = (dot(&node.name), dot(&node.class));
            match node.kind {
                // A group that would lie in itself, or in one behind it, is in none.
                Kind::Group if group.is_none_or(|outer| outer < index) => {
                    let _ = writeln!(
                        text,
                        "{indent}subgraph cluster_{index} {{\n{indent}  label=\"{name}\\n{class}\";"
                    );
                    self.dot_level(Some(index), depth + 1, text);
                    let _ = writeln!(text, "{indent}}}");
                }
                Kind::Group => {}
                Kind::Layer => {
                    let _ = writeln!(text, "{indent}n{index} [label=\"{name}\\n{class}\"];");
                }
                Kind::Input | Kind::Output => {
                    let _ = writeln!(text, "{indent}n{index} [label=\"{name}\\n{class}\", shape=ellipse];");
                }
            }
        }
    }
}
