//! Drawings as text: small ones as they are expected to be, and hostile names in every format.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot run must fail")]

use k2o_core::{
    CallId, DType, Dim, Graph, GraphBuilder, LayerCall, Outline, Shape, TensorType, ValueId, ops,
};
use k2o_report::{Detail, Diagram, Kind};

/// A graph and its outline, made call by call as an import does.
struct Model {
    builder: GraphBuilder,
    outline: Outline,
}

impl Model {
    fn new(name: &str) -> Model {
        Model { builder: GraphBuilder::new(), outline: Outline { name: name.to_string(), calls: Vec::new() } }
    }

    fn input(&mut self, name: &str) -> ValueId {
        let shape = Shape::new([Dim::symbol("batch"), 4.into()]);
        self.builder.input(name, TensorType::new(shape, DType::F32)).unwrap()
    }

    fn begin(&mut self, name: &str, class: &str, parent: Option<CallId>, inputs: &[CallId]) -> CallId {
        let call = CallId(self.outline.calls.len());
        let repetition = self.outline.calls.iter().filter(|call| call.name == name).count();
        self.outline.calls.push(LayerCall {
            path: name.to_string(),
            name: name.to_string(),
            class: class.to_string(),
            parent,
            object: call.0,
            repetition,
            outputs: Vec::new(),
            inputs: inputs.iter().map(|&call| (call, 0)).collect(),
            weights: Vec::new(),
        });
        self.builder.within(Some(call));
        call
    }

    fn end(&mut self, call: CallId, value: ValueId) {
        let shape = self.builder.type_of(value).shape;
        self.outline.calls[call.0].outputs = vec![Some(shape)];
        self.builder.tap(call, 0, Some(value));
    }

    /// A layer that adds its inputs to each other.
    fn layer(
        &mut self,
        name: &str,
        parent: Option<CallId>,
        inputs: &[CallId],
        values: [ValueId; 2],
    ) -> (CallId, ValueId) {
        let call = self.begin(name, "Sum", parent, inputs);
        let value = self.builder.add(ops::Binary { kind: ops::BinaryKind::Add }, values).unwrap();
        self.end(call, value);
        (call, value)
    }

    fn finish(mut self, outputs: &[(&str, ValueId)], detail: Detail) -> Diagram {
        for (name, value) in outputs {
            self.builder.output(*name, *value);
        }
        let graph: Graph = self.builder.finish();
        Diagram::new(&graph, &self.outline, detail)
    }
}

/// An input layer, a layer, a nested model of two layers, and what adds both.
fn residual(names: [&str; 6], detail: Detail) -> Diagram {
    let [model, input, first, nested, inner, last] = names;
    let mut m = Model::new(model);
    let x = m.input(input);
    let entry = m.begin(input, "InputLayer", None, &[]);
    m.end(entry, x);
    let (a, y) = m.layer(first, None, &[entry], [x, x]);
    let group = m.begin(nested, "Functional", None, &[a]);
    let inside = m.begin(input, "InputLayer", Some(group), &[a]);
    m.end(inside, y);
    let (_, z) = m.layer(inner, Some(group), &[inside, inside], [y, y]);
    m.end(group, z);
    let (_, sum) = m.layer(last, None, &[group, a], [z, y]);
    m.finish(&[(last, sum)], detail)
}

const NAMES: [&str; 6] = ["model", "x", "first", "block", "inner", "last"];

#[test]
fn small_drawings_are_as_expected() {
    for (detail, name) in [(Detail::Folded, "folded"), (Detail::Unfolded, "unfolded")] {
        let diagram = residual(NAMES, detail);
        for (text, ending) in
            [(diagram.to_svg(), "svg"), (diagram.to_dot(), "dot"), (diagram.to_mermaid(), "mmd")]
        {
            let path = format!("{}/tests/golden/{name}.{ending}", env!("CARGO_MANIFEST_DIR"));
            if std::env::var_os("K2O_REPORT_GOLDEN").is_some() {
                std::fs::write(&path, &text).unwrap();
            }
            let expected = std::fs::read_to_string(&path).unwrap();
            assert!(text == expected, "{path} is not:\n{text}\n(K2O_REPORT_GOLDEN=1 rewrites it)");
        }
    }
}

#[test]
fn folded_models_are_one_node_and_unfolded_ones_the_layers_in_them() {
    let folded = residual(NAMES, Detail::Folded);
    let names: Vec<&str> = folded.nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["x", "first", "block", "last", "last"]);
    let ends = |diagram: &Diagram| -> Vec<(usize, Vec<usize>)> {
        diagram.links.iter().map(|link| (link.from, link.to.clone())).collect()
    };
    assert_eq!(ends(&folded), [(0, vec![1]), (1, vec![2, 3]), (2, vec![3]), (3, vec![4])]);

    let unfolded = residual(NAMES, Detail::Unfolded);
    let names: Vec<&str> = unfolded.nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["x", "first", "block", "x#2", "inner", "last", "last"]);
    assert_eq!(unfolded.nodes[2].kind, Kind::Group);
    assert_eq!(unfolded.nodes[4].group, Some(2));
    // The inner layer reads its input twice.
    assert_eq!(ends(&unfolded), [(0, vec![1]), (1, vec![3, 5]), (3, vec![4, 4]), (4, vec![5]), (5, vec![6])]);
    assert!(unfolded.links.iter().all(|link| link.shape == "(None, 4)"));
}

#[test]
fn an_input_without_a_layer_and_an_output_without_one_are_drawn() {
    let mut m = Model::new("m");
    let x = m.input("x");
    let (_, y) = m.layer("only", None, &[], [x, x]);
    let diagram = m.finish(&[("only", y), ("same", x)], Detail::Folded);
    let names: Vec<(&str, &str)> =
        diagram.nodes.iter().map(|node| (node.name.as_str(), node.class.as_str())).collect();
    assert_eq!(names, [("x", "Input"), ("only", "Sum"), ("only", "Output"), ("same", "Output")]);
    let ends: Vec<(usize, &[usize])> =
        diagram.links.iter().map(|link| (link.from, link.to.as_slice())).collect();
    assert_eq!(ends, [(0, [1, 3].as_slice()), (1, &[2])]);
}

const HOSTILE: [&str; 8] = [
    "<script>alert(1)</script>",
    "\"];\n} evil [label=\"",
    "</svg><img src=x onerror=alert(1)>",
    "back\\slash\\",
    "]] ]]> --> */ end",
    "層/слой/🙂 \u{202e}\u{0}",
    "`**bold**` #quot; %%{init}%% &lt;",
    "subgraph\nend\n  click n0 \"javascript:alert(1)\"",
];

#[test]
fn hostile_names_stay_names() {
    for hostile in HOSTILE {
        for detail in [Detail::Folded, Detail::Unfolded] {
            let plain = residual(NAMES, detail);
            let diagram = residual([hostile; 6], detail);
            let svg = diagram.to_svg();
            let parsed = roxmltree::Document::parse(&svg).unwrap();
            let tags = |text: &str| {
                let parsed = roxmltree::Document::parse(text).unwrap();
                let elements = parsed.descendants().filter(|node| node.is_element());
                elements.map(|node| node.tag_name().name().to_string()).collect::<Vec<_>>()
            };
            assert_eq!(tags(&svg), tags(&plain.to_svg()), "{hostile:?}");
            assert!(parsed.descendants().all(|node| node.attributes().all(|a| !a.name().starts_with("on"))));
            let words = || hostile.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
            for (text, plain) in
                [(diagram.to_dot(), plain.to_dot()), (diagram.to_mermaid(), plain.to_mermaid())]
            {
                assert_eq!(text.lines().count(), plain.lines().count(), "{text}");
                assert!(words().all(|word| text.contains(word)), "{text}");
                // Outside of quotes there is the same.
                assert_eq!(outside(&text), outside(&plain), "{text}");
            }
        }
    }
}

/// What of a text is not between double quotes; `\"` does not end them, and `\\` is one character.
fn outside(text: &str) -> String {
    let text = text.replace("\\\\", "").replace("\\\"", "");
    text.split('"').step_by(2).collect()
}

#[test]
fn the_same_model_gives_the_same_bytes() {
    let texts = || {
        let diagram = residual(NAMES, Detail::Unfolded);
        [diagram.to_svg(), diagram.to_dot(), diagram.to_mermaid()]
    };
    assert_eq!(texts(), texts());
}
