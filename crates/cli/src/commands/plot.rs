//! `plot MODEL [-o OUT.svg|.dot|.mmd] [--expand] [--format FORMAT]`

use super::{FOLDER, JsonArgs, ModelArgs};
use crate::console;
use crate::failure::Failure;
use crate::output::{answer, write_whole};
use clap::ValueEnum;
use k2o_report::{Detail, Diagram, Kind};
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Where to write [default: the model's name with .svg, or with the ending of --format]
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
    /// The language of the drawing [default: what the output's ending says]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// Draws the layers of nested models, in a box around them
    #[arg(long)]
    expand: bool,
    #[command(flatten)]
    json: JsonArgs,
}

/// A language for drawings.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Format {
    /// An image, for browsers and editors
    Svg,
    /// Graphviz
    Dot,
    /// Mermaid
    #[value(alias = "mmd")]
    Mermaid,
}

impl Format {
    /// The format whose files end like this one.
    fn of(path: &Path) -> Result<Format, Failure> {
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        match ending.as_str() {
            "svg" => Ok(Format::Svg),
            "dot" | "gv" => Ok(Format::Dot),
            "mmd" | "mermaid" => Ok(Format::Mermaid),
            _ => Err(Failure::Usage(format!(
                "{}: no drawing is known by this ending; expected .svg, .dot or .mmd\n  help: or name one with --format",
                path.display()
            ))),
        }
    }

    fn ending(self) -> &'static str {
        match self {
            Format::Svg => "svg",
            Format::Dot => "dot",
            Format::Mermaid => "mmd",
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<String, Failure> {
    let (format, target) = match (args.format, &args.output) {
        (Some(format), Some(target)) => (format, target.clone()),
        (None, Some(target)) => (Format::of(target)?, target.clone()),
        (format, None) => {
            let format = format.unwrap_or(Format::Svg);
            (format, args.model.model.with_extension(format.ending()))
        }
    };
    let model = args.model.open()?;
    let detail = if args.expand { Detail::Unfolded } else { Detail::Folded };
    let diagram = Diagram::new(model.graph(), model.outline(), detail);
    let text = match format {
        Format::Svg => diagram.to_svg(),
        Format::Dot => diagram.to_dot(),
        Format::Mermaid => diagram.to_mermaid(),
    };
    let model = &args.model.model;
    let parts = FOLDER.map(|name| model.join(name));
    let inputs: Vec<PathBuf> =
        std::iter::once(model).chain(&args.model.weights).chain(&parts).cloned().collect();
    write_whole(&target, &inputs, |writer| {
        writer.write_all(text.as_bytes()).map_err(|error| Failure::io(&target, error))
    })?;
    let layers = diagram.nodes.iter().filter(|node| node.kind == Kind::Layer).count();
    let connections: usize = diagram.links.iter().map(|link| link.to.len()).sum();
    let model = args.model.model.display();
    let text = || format!("{model} -> {} ({layers} layers, {connections} connections)\n", target.display());
    let value = || json!({"model": model.to_string(), "output": target, "layers": layers, "connections": connections});
    Ok(answer(&target, console::answer(text, value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_says_the_format() {
        for (name, format) in [
            ("a.svg", Format::Svg),
            ("a.b.SVG", Format::Svg),
            ("a.dot", Format::Dot),
            ("a.gv", Format::Dot),
            ("a.mmd", Format::Mermaid),
        ] {
            assert_eq!(Format::of(Path::new(name)).unwrap(), format, "{name}");
        }
        for name in ["a", "a.png", ".svg", ""] {
            assert!(Format::of(Path::new(name)).is_err(), "{name}");
        }
    }
}
