//! What the options change: sizes, layouts of inputs and outputs, the weights' type and place, the list of layers.

use crate::cases;
use crate::decode::{at, decode, op_types, port};
use crate::net::{Case, Net, VALID, window};
use crate::recurrent;
use k2o_core::ops::Unary;
use k2o_onnx::{ErrorKind, ExportOptions, IoLayout, LateText, Place, WeightsType, export};
use onnx_protobuf::tensor_proto::DataLocation;
use onnx_protobuf::{Message, ModelProto, TensorProto};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn nodes(model: &ModelProto) -> String {
    model.graph.node.iter().map(|node| node.op_type.as_str()).collect::<Vec<_>>().join(" ")
}

fn ports(model: &ModelProto) -> Vec<String> {
    model.graph.input.iter().chain(&model.graph.output).map(port).collect()
}

/// A convolution, whose output is one of the model, and a layer on that.
fn convolution() -> Case {
    let mut net = Net::new();
    let x = net.input("x", "batch steps 2");
    let y = net.conv("conv", x, 3, &[window(2, 1, 1, VALID)], Some(Unary::Relu));
    net.output("conv", y);
    let z = net.dense("dense", y, 2, None);
    net.output("dense", z);
    net.done("convolution", &[&[2, 7, 2]])
}

#[test]
fn sizes_that_are_fixed_are_in_the_file() {
    let case = convolution();
    assert_eq!(
        ports(&decode(&case, &at(17))),
        ["x: 1 [batch, steps, 2]", "conv: 1 [batch, steps - 1, 3]", "dense: 1 [batch, steps - 1, 2]"]
    );
    let batch = at(17).with_batch(4);
    assert_eq!(
        ports(&decode(&case, &batch)),
        ["x: 1 [4, steps, 2]", "conv: 1 [4, steps - 1, 3]", "dense: 1 [4, steps - 1, 2]"]
    );
    let shape = at(17).with_input_shape("x", [None, Some(9), None]);
    assert_eq!(
        ports(&decode(&case, &shape)),
        ["x: 1 [batch, 9, 2]", "conv: 1 [batch, 8, 3]", "dense: 1 [batch, 8, 2]"]
    );
    let short = at(17).with_input_shape("x", [None, Some(1), None]);
    let error = export(&case.graph, &case.outline, &short).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Shape);
    assert_eq!(error.origin().map(|call| case.outline.calls[call.0].path.as_str()), Some("conv"));
}

#[test]
fn what_needs_a_fixed_size_can_be_written_with_one() {
    let case = cases::symbolic_steps();
    let fixed = ExportOptions::default().with_input_shape("x", [None, Some(12), None]);
    assert!(nodes(&decode(&case, &fixed)).len() <= op_types(&case, 17).len());
    let strided = || {
        let mut net = Net::new();
        let x = net.input("x", "batch steps 1");
        let x = net.max_pool("pool", x, &[window(3, 4, 1, k2o_core::Padding::Same)]);
        net.output("pool", x);
        net.done("strided", &[&[1, 8, 1]])
    };
    assert!(export(&strided().graph, &strided().outline, &at(17)).is_err());
    let fixed = at(17).with_input_shape("x", [None, Some(9), None]);
    assert_eq!(nodes(&decode(&strided(), &fixed)), "Transpose MaxPool Transpose");
}

#[test]
fn channels_first_inputs_and_outputs_need_no_transposition() {
    let case = convolution();
    let first = at(17).with_io_layout(IoLayout::ChannelsFirst);
    assert_eq!(op_types(&case, 17), "Transpose Conv Relu Conv Transpose Transpose");
    let model = decode(&case, &first);
    assert_eq!(nodes(&model), "Conv Relu Conv");
    assert_eq!(
        ports(&model),
        ["x: 1 [batch, 2, steps]", "conv: 1 [batch, 3, steps - 1]", "dense: 1 [batch, 2, steps - 1]"]
    );
    let exported = export(&case.graph, &case.outline, &first).unwrap();
    for layer in exported.layer_names() {
        let Place::Named { permutation, .. } = &layer.place else { panic!("a layer is folded") };
        assert_eq!(permutation.as_deref(), Some([0, 2, 1].as_slice()));
    }
    // Shapes are given in Keras's order all the same.
    let fixed = first.with_input_shape("x", [Some(1), Some(9), Some(2)]);
    assert_eq!(ports(&decode(&case, &fixed))[0], "x: 1 [1, 2, 9]");
}

#[test]
fn the_basic_network_in_channels_first_is_eleven_nodes() {
    let options = at(17).with_io_layout(IoLayout::ChannelsFirst);
    let expected = "Conv Relu MaxPool Conv Relu MaxPool Flatten Gemm Relu Gemm Sigmoid";
    assert_eq!(nodes(&decode(&cases::basic_cnn(), &options)), expected);
}

/// The bits of a half-precision number for one that it can be.
fn half(x: f32) -> u16 {
    half::f16::from_f32(x).to_bits()
}

#[test]
fn narrow_weights_are_cast_before_they_are_read() {
    for (weights_type, elem_type) in [(WeightsType::F16, 10), (WeightsType::BF16, 16)] {
        let case = cases::basic_cnn();
        let model = decode(&case, &at(17).with_weights_type(weights_type));
        let precise = decode(&case, &at(17));
        let casts = model.graph.node.iter().take_while(|node| node.op_type == "Cast").count();
        assert_eq!(casts, 4);
        assert_eq!(nodes(&model), format!("{}{}", "Cast ".repeat(4), nodes(&precise)));
        let precise: BTreeMap<&str, &TensorProto> =
            precise.graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
        for tensor in &model.graph.initializer {
            let wide = precise[tensor.name.as_str()];
            if tensor.dims.len() < 2 {
                assert_eq!(tensor, wide);
                continue;
            }
            assert_eq!((tensor.data_type, &tensor.dims), (elem_type, &wide.dims));
            let (narrow, _) = tensor.raw_data.as_chunks::<2>();
            let (wide, _) = wide.raw_data.as_chunks::<4>();
            assert_eq!(narrow.len(), wide.len());
            for (narrow, wide) in narrow.iter().zip(wide) {
                let (bits, x) = (u16::from_le_bytes(*narrow), f32::from_le_bytes(*wide));
                let expected = match weights_type {
                    WeightsType::F16 => half(x),
                    _ => half::bf16::from_f32(x).to_bits(),
                };
                assert_eq!(bits, expected, "{} {x}", tensor.name);
            }
            let cast = model.graph.node.iter().find(|node| node.input == [tensor.name.clone()]).unwrap();
            let layer = tensor.name.split('/').next().unwrap();
            assert_eq!(cast.output, [format!("{layer}/cast")]);
            let readers = model.graph.node.iter().filter(|node| node.input.contains(&cast.output[0]));
            assert_eq!(readers.count(), 1, "{}", tensor.name);
        }
    }
}

#[test]
fn weights_read_in_a_body_are_cast_outside_of_it() {
    for case in recurrent::all() {
        let model = decode(&case, &at(17).with_weights_type(WeightsType::F16));
        let narrow = model.graph.initializer.iter().filter(|tensor| tensor.data_type == 10);
        let names: Vec<&str> = narrow.map(|tensor| tensor.name.as_str()).collect();
        let casts = model.graph.node.iter().filter(|node| names.iter().any(|name| node.input == [*name]));
        assert_eq!(casts.count(), names.len(), "{}", case.name);
        let has_matrices = case.graph.constants().iter().any(|constant| constant.shape().len() >= 2);
        assert_eq!(!names.is_empty(), has_matrices, "{}", case.name);
        for body in model.graph.node.iter().flat_map(|node| &node.attribute).filter_map(|a| a.g.as_ref()) {
            let reads = |name: &str| body.node.iter().any(|node| node.input.iter().any(|read| read == name));
            assert!(!names.iter().any(|name| reads(name)), "{}", case.name);
        }
    }
}

#[test]
fn a_weight_past_the_largest_half_precision_number_is_refused() {
    let mut net = Net::new();
    let x = net.input("x", "batch 1");
    let kernel = net.literal("dense/kernel", &[1, 2], vec![1.0, 1e5]);
    let y = net.op("dense", "Dense", k2o_core::ops::Dense, [x.into(), k2o_core::Operand::from(kernel)]);
    net.output("dense", y);
    let case = net.done("large", &[&[1, 1]]);
    let bytes = |weights_type| {
        let options = at(17).with_weights_type(weights_type);
        export(&case.graph, &case.outline, &options).unwrap().to_bytes()
    };
    let error = bytes(WeightsType::F16).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert_eq!(error.message(), "weight \"dense/kernel\": a weight is 1e5; the largest float16 is 6.5504e4");
    assert!(bytes(WeightsType::BF16).is_ok());
}

#[test]
fn external_data_holds_what_the_model_would() {
    let case = cases::basic_cnn();
    let inline = decode(&case, &at(17));
    let exported = export(&case.graph, &case.outline, &at(17).with_external_data(true)).unwrap();
    assert!(exported.has_external_data());
    assert_eq!(exported.write_to(&mut Vec::new()).unwrap_err().kind(), ErrorKind::Input);
    let (mut data, mut model) = (Vec::new(), Vec::new());
    let name = exported.write_data_to(&mut data).unwrap();
    let len = exported.write_model_to(&name, &mut model).unwrap();
    assert_eq!(len, model.len() as u64);
    assert_eq!(exported.len().unwrap(), (data.len() + model.len()) as u64);
    let model = ModelProto::parse_from_bytes(&model).unwrap();
    assert_eq!(model.graph.node, inline.graph.node);
    let mut end = 0;
    for (tensor, inline) in model.graph.initializer.iter().zip(&inline.graph.initializer) {
        assert_eq!((&tensor.name, &tensor.dims), (&inline.name, &inline.dims));
        if inline.raw_data.len() < 1024 {
            assert_eq!(tensor, inline);
            continue;
        }
        let entries: Vec<(&str, &str)> =
            tensor.external_data.iter().map(|entry| (entry.key.as_str(), entry.value.as_str())).collect();
        let [("location", location), ("offset", offset), ("length", length)] = entries[..] else {
            panic!("{entries:?}")
        };
        let (offset, length): (usize, usize) = (offset.parse().unwrap(), length.parse().unwrap());
        assert_eq!(location, name);
        assert!(offset % if length < 65536 { 4096 } else { 65536 } == 0 && offset >= end, "{entries:?}");
        assert_eq!(data[offset..offset + length], inline.raw_data);
        assert!(tensor.raw_data.is_empty() && tensor.data_location == DataLocation::EXTERNAL.into());
        end = offset + length;
    }
    assert_eq!(end, data.len());
}

#[test]
fn the_name_of_external_data_comes_from_its_content() {
    let name = |case: &Case, options: ExportOptions| {
        let exported = export(&case.graph, &case.outline, &options.with_external_data(true)).unwrap();
        exported.write_data_to(&mut Vec::new()).unwrap()
    };
    let basic = name(&cases::basic_cnn(), at(17));
    assert_eq!(basic, name(&cases::basic_cnn(), at(21).with_doc_string("another text")));
    assert_ne!(basic, name(&cases::basic_cnn(), at(17).with_weights_type(WeightsType::F16)));
    let digits = basic.strip_prefix("weights-").and_then(|name| name.strip_suffix(".onnx_data")).unwrap();
    assert!(digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
}

#[test]
fn a_model_of_small_weights_is_one_file() {
    let case = convolution();
    let exported = export(&case.graph, &case.outline, &at(17).with_external_data(true)).unwrap();
    assert!(!exported.has_external_data());
    assert_eq!(exported.write_data_to(&mut Vec::new()).unwrap_err().kind(), ErrorKind::Input);
    let plain = export(&case.graph, &case.outline, &at(17)).unwrap().to_bytes().unwrap();
    assert_eq!(exported.to_bytes().unwrap(), plain);
}

#[test]
fn late_metadata_is_asked_for_when_the_file_is_written() {
    let case = convolution();
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let text = LateText::new(move || match counter.fetch_add(1, Ordering::Relaxed) {
        0..3 => Ok("later".into()),
        _ => Err(std::io::Error::other("gone")),
    });
    let options = at(17).with_metadata("early", "1").with_late_metadata("late", text.clone());
    let exported = export(&case.graph, &case.outline, &options).unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    let bytes = exported.to_bytes().unwrap();
    let model = ModelProto::parse_from_bytes(&bytes).unwrap();
    let metadata: Vec<(&str, &str)> =
        model.metadata_props.iter().map(|entry| (entry.key.as_str(), entry.value.as_str())).collect();
    assert_eq!((metadata[0], metadata[2]), (("early", "1"), ("late", "later")));
    assert_eq!((metadata[1].0, metadata.len()), ("layers", 3));
    assert_eq!(exported.len().unwrap(), bytes.len() as u64);
    let error = exported.write_to(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert_eq!(error.message(), "the metadata \"late\" could not be had: gone");
    let twice = at(17).with_metadata("late", "1").with_late_metadata("late", text);
    assert_eq!(export(&case.graph, &case.outline, &twice).unwrap_err().kind(), ErrorKind::Input);
}

#[test]
fn the_layers_are_listed_with_their_tensors() {
    let model = decode(&cases::basic_cnn(), &at(17));
    let layers = model.metadata_props.iter().find(|entry| entry.key == "layers").unwrap();
    let layers: Vec<serde_json::Value> = serde_json::from_str(&layers.value).unwrap();
    let names: Vec<&str> = layers.iter().map(|layer| layer["name"].as_str().unwrap()).collect();
    let expected = "input_layer conv1d max_pooling1d conv1d_1 max_pooling1d_1 flatten dense dense_1";
    assert_eq!(names.join(" "), expected);
    let tensors: Vec<&str> = model.graph.node.iter().map(|node| node.output[0].as_str()).collect();
    for layer in &layers[1..] {
        match layer["class"].as_str().unwrap() {
            "Flatten" => assert!(layer.get("tensor").is_none()),
            "Dense" => assert!(layer.get("permutation").is_none()),
            _ => assert_eq!(layer["permutation"], serde_json::json!([0, 2, 1])),
        }
        if let Some(tensor) = layer.get("tensor") {
            assert!(tensors.contains(&tensor.as_str().unwrap()), "{layer}");
        }
    }
}
