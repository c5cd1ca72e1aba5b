//! What is in the files, byte for byte, and what is refused.

use crate::cases;
use crate::decode::{self, at, decode};
use crate::net::{Case, Net, VALID, window};
use crate::sound;
use k2o_core::ops::{
    BinaryKind, Concat, ConvTranspose, Normalize, NormalizeKind, Pool, PoolKind, Reshape, ReshapeDim, Spread,
    Unary,
};
use k2o_core::{
    CallId, Constant, ConstantExpr, DType, Data, Dim, GraphBuilder, Operand, Outline, Padding, Shape,
    StoredTensor, Tensor, TensorType,
};
use k2o_onnx::{ErrorKind, ExportOptions, export};
use onnx_protobuf::{Message, ModelProto};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn every_graph_at_every_opset_is_a_sound_file() {
    for (case, opset) in cases::all().iter().flat_map(|case| (13..=28).map(move |opset| (case, opset))) {
        let what = format!("{} at opset {opset}", case.name);
        let sizes: Vec<&[usize]> = case.sizes.iter().map(Vec::as_slice).collect();
        assert!(case.graph.bind(&sizes).is_ok(), "{what}");
        let exported = export(&case.graph, &case.outline, &at(opset)).unwrap();
        let bytes = exported.to_bytes().unwrap();
        assert_eq!(bytes.len() as u64, exported.len().unwrap(), "{what}");
        let again = export(&case.graph, &case.outline, &at(opset)).unwrap().to_bytes().unwrap();
        assert!(bytes == again, "{what}: other bytes");
        let model = ModelProto::parse_from_bytes(&bytes).unwrap();
        assert_eq!(model.compute_size(), model.write_to_bytes().unwrap().len() as u64);
        let imports: Vec<(&str, i64)> =
            model.opset_import.iter().map(|set| (set.domain.as_str(), set.version)).collect();
        assert_eq!(imports, [("", opset)], "{what}");
        sound::check(&model, &what);
    }
}

#[test]
fn options_are_fields_of_the_model() {
    let case = cases::basic_cnn();
    let options = ExportOptions::default()
        .with_opset(21)
        .with_producer_version("9.9")
        .with_model_name("name")
        .with_doc_string("text")
        .with_metadata("a", "1")
        .with_metadata("b", "2");
    let model = decode(&case, &options);
    assert_eq!((model.ir_version, model.producer_name.as_str()), (10, "k2o"));
    assert_eq!((model.producer_version.as_str(), model.doc_string.as_str()), ("9.9", "text"));
    assert_eq!(model.graph.name, "name");
    let metadata: Vec<(&str, &str)> =
        model.metadata_props.iter().map(|entry| (entry.key.as_str(), entry.value.as_str())).collect();
    assert_eq!(metadata[..2], [("a", "1"), ("b", "2")]);
    let default = decode(&case, &ExportOptions::default());
    assert_eq!(default.opset_import[0].version, 17);
    assert_eq!((default.graph.name.as_str(), default.producer_version.is_empty()), ("model", false));
    let outline = Outline { name: "sequential".into(), ..case.outline.clone() };
    assert_eq!(decode(&Case { outline, ..case }, &ExportOptions::default()).graph.name, "sequential");
}

/// The elements of an initializer.
#[track_caller]
fn floats(model: &ModelProto, name: &str) -> Vec<f32> {
    let tensor = model.graph.initializer.iter().find(|tensor| tensor.name == name).unwrap();
    let (chunks, _) = tensor.raw_data.as_chunks::<4>();
    chunks.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// 0, 1, 2 and so on.
fn counted(net: &mut Net, name: &str, shape: &[usize]) -> k2o_core::ConstantId {
    net.literal(name, shape, (0..shape.iter().product()).map(|i| i as f64).collect())
}

#[test]
fn kernels_are_put_in_the_order_that_onnx_reads() {
    let mut net = Net::new();
    let x = net.input("x", "batch 4 2");
    let kernel = counted(&mut net, "conv/kernel", &[3, 2, 2]);
    let op = k2o_core::ops::Conv { windows: vec![window(3, 1, 1, VALID)], groups: 1 };
    let y = net.op("conv", "Conv1D", op, [x.into(), Operand::from(kernel)]);
    let y = net.flatten("flatten", y);
    let rows = counted(&mut net, "dense/kernel", &[4, 2]);
    let y = net.op("dense", "Dense", k2o_core::ops::Dense, [y.into(), Operand::from(rows)]);
    net.output("y", y);
    let model = decode(&net.done("kernels", &[]), &at(17));
    // [taps, channels, filters] as [filters, channels, taps].
    assert_eq!(floats(&model, "conv/kernel"), [0., 4., 8., 2., 6., 10., 1., 5., 9., 3., 7., 11.]);
    // Rows of [steps, channels] as rows of [channels, steps].
    assert_eq!(floats(&model, "dense/kernel"), [0., 1., 4., 5., 2., 3., 6., 7.]);
}

#[test]
fn weights_are_put_in_the_layout_of_what_they_are_for() {
    let mut net = Net::new();
    let x = net.input("x", "batch 2 3 1");
    let kernel = counted(&mut net, "up/kernel", &[2, 1, 1, 2]);
    let windows = vec![Spread::new(2, 2, 1, (0, 0), 0).unwrap(), Spread::new(1, 1, 1, (0, 0), 0).unwrap()];
    let y = net.op("up", "Conv2DTranspose", ConvTranspose { windows }, [x.into(), Operand::from(kernel)]);
    let slope = counted(&mut net, "prelu/alpha", &[3, 2]);
    let y = net.binary("prelu", BinaryKind::Prelu, y, slope);
    let normalize = Normalize { kind: NormalizeKind::Standard, axes: vec![1, 2, 3], epsilon: 1e-5 };
    let y = net.op("plain", "LayerNormalization", normalize.clone(), [y]);
    let scale = counted(&mut net, "norm/gamma", &[4, 3, 2]);
    let y = net.op("norm", "LayerNormalization", normalize, [y.into(), Operand::from(scale)]);
    let conv = net.conv("conv", y, 1, &[window(1, 1, 1, VALID); 2], None);
    net.output("y", conv);
    let model = decode(&net.done("weights", &[]), &at(17));
    let dims =
        |name: &str| model.graph.initializer.iter().find(|tensor| tensor.name == name).unwrap().dims.clone();
    // [rows, columns, channels, filters] as [channels, filters, rows, columns].
    assert_eq!((dims("up/kernel"), floats(&model, "up/kernel")), (vec![1, 2, 2, 1], vec![0., 2., 1., 3.]));
    // [columns, channels] as [channels, 1, columns]: beside each other, but for the rows between.
    let turned = vec![0., 2., 4., 1., 3., 5.];
    assert_eq!((dims("prelu/alpha"), floats(&model, "prelu/alpha")), (vec![2, 1, 3], turned));
    assert_eq!((dims("plain/scale"), floats(&model, "plain/scale")), (vec![2, 4, 3], vec![1.0; 24]));
    let turned = (0..24).step_by(2).chain((1..24).step_by(2)).map(|i| i as f32).collect();
    assert_eq!((dims("norm/gamma"), floats(&model, "norm/gamma")), (vec![2, 4, 3], turned));
}

/// A tensor that counts how often it is read.
#[derive(Debug)]
struct Counted {
    shape: Vec<usize>,
    bytes: Vec<u8>,
    reads: AtomicUsize,
    bound: bool,
    has_ranges: bool,
}

impl StoredTensor for Counted {
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn dtype(&self) -> DType {
        DType::F32
    }
    fn read(&self) -> k2o_core::Result<Vec<u8>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        Ok(self.bytes.clone())
    }
    fn read_range(&self, start: usize, out: &mut [u8]) -> k2o_core::Result<bool> {
        if self.has_ranges {
            out.copy_from_slice(&self.bytes[start..start + out.len()]);
        }
        Ok(self.has_ranges)
    }
    fn is_bound(&self) -> bool {
        self.bound
    }
}

/// `x` and one stored weight, one above the other.
fn stored(bytes: Vec<u8>, bound: bool) -> (Case, Arc<Counted>) {
    let reads = AtomicUsize::new(0);
    let stored = Arc::new(Counted { shape: vec![2, 2], bytes, reads, bound, has_ranges: false });
    let mut net = Net::new();
    let x = net.input("x", "batch 2");
    let expr = ConstantExpr::stored(stored.clone());
    let weight = net.builder.constant(Constant { name: "w".into(), dtype: DType::F32, expr }).unwrap();
    let y = net.op("concat", "Concatenate", Concat { axis: 0 }, [x.into(), Operand::from(weight)]);
    net.output("y", y);
    (net.done("stored", &[]), stored)
}

#[test]
fn weights_are_read_once_per_file_and_bit_for_bit() {
    // A signalling NaN, a quiet one with a payload, a denormal, and minus zero.
    let bits: [u32; 4] = [0x7f80_0001, 0xffc1_2345, 0x0000_0001, 0x8000_0000];
    let bytes: Vec<u8> = bits.iter().flat_map(|bits| bits.to_le_bytes()).collect();
    let (case, stored) = stored(bytes.clone(), true);
    let exported = export(&case.graph, &case.outline, &at(17)).unwrap();
    assert_eq!(stored.reads.load(Ordering::Relaxed), 0);
    let mut file = Vec::new();
    assert_eq!(exported.write_to(&mut file).unwrap(), exported.len().unwrap());
    assert_eq!(stored.reads.load(Ordering::Relaxed), 1);
    let model = ModelProto::parse_from_bytes(&file).unwrap();
    assert_eq!(model.graph.initializer[0].raw_data, bytes);
}

/// A weight `[24, 20_000]` behind a flattened convolution, so that its rows are written in another order; scaled by column,
/// if it is to be computed. What it is in the graph comes with it.
fn long_rows(is_computed: bool, has_ranges: bool) -> (Case, Vec<f32>, Arc<Counted>) {
    let (rows, columns) = (24, 20_000);
    let numbers: Vec<f32> = (0..rows * columns).map(|i| ((i as f32) * 0.731).sin()).collect();
    let bytes = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
    let (shape, reads) = (vec![rows, columns], AtomicUsize::new(0));
    let stored = Arc::new(Counted { shape, bytes, reads, bound: true, has_ranges });
    let mut net = Net::new();
    let x = net.input("x", "batch 6 3");
    let x = net.conv("conv", x, 4, &[window(1, 1, 1, VALID)], None);
    let x = net.flatten("flatten", x);
    let mut expr = ConstantExpr::stored(stored.clone());
    if is_computed {
        let scale = (0..columns).map(|i| 1.0 + (i % 7) as f64).collect();
        expr = expr.mul(&ConstantExpr::literal(Tensor::f64([columns], scale).unwrap())).unwrap();
    }
    let constant = Constant { name: "dense/kernel".into(), dtype: DType::F32, expr };
    let numbers = constant.to_f32().unwrap();
    stored.reads.store(0, Ordering::Relaxed);
    let kernel = net.builder.constant(constant).unwrap();
    let y = net.op("dense", "Dense", k2o_core::ops::Dense, [x.into(), Operand::from(kernel)]);
    net.output("y", y);
    (net.done("long_rows", &[]), numbers, stored)
}

#[test]
fn long_rows_are_written_in_their_new_order_whichever_way_they_are_read() {
    for (is_computed, has_ranges) in [(false, false), (false, true), (true, false), (true, true)] {
        let (case, numbers, stored) = long_rows(is_computed, has_ranges);
        let found = floats(&decode(&case, &at(17)), "dense/kernel");
        // Rows of [steps, channels] as rows of [channels, steps].
        let rows = (0..4).flat_map(|channel| (0..6).map(move |step| step * 4 + channel));
        let expected: Vec<f32> =
            rows.flat_map(|row| numbers[row * 20_000..(row + 1) * 20_000].iter().copied()).collect();
        assert!(found == expected, "{is_computed} {has_ranges}");
        assert_eq!(stored.reads.load(Ordering::Relaxed), usize::from(!has_ranges));
    }
}

#[test]
fn a_weight_larger_than_what_is_gathered_at_a_time_is_transposed_as_a_whole() {
    let (rows, columns) = (300, 200);
    let mut net = Net::new();
    let x = net.input("x", "batch 6 3");
    let x = net.conv("conv", x, rows, &[window(1, 1, 1, VALID)], None);
    let kernel = counted(&mut net, "dense/kernel", &[rows, columns]);
    let x = net.op("dense", "Dense", k2o_core::ops::Dense, [x.into(), Operand::from(kernel)]);
    let x = net.conv("conv_1", x, 2, &[window(1, 1, 1, VALID)], None);
    net.output("y", x);
    let found = floats(&decode(&net.done("transposed", &[]), &at(17)), "dense/kernel");
    let places = (0..columns).flat_map(|column| (0..rows).map(move |row| row * columns + column));
    assert!(found == places.map(|place| place as f32).collect::<Vec<f32>>());
}

#[test]
fn integers_keep_their_type() {
    let mut builder = GraphBuilder::new();
    let numbers = Data::I64(vec![1, -2, i64::from(i32::MIN)]);
    let expr = ConstantExpr::literal(Tensor::new([3], numbers).unwrap());
    for (name, dtype) in [("narrow", DType::I32), ("wide", DType::I64)] {
        let shape = Shape::new([Dim::symbol("n")]);
        let x = builder.input(name, TensorType::new(shape, dtype)).unwrap();
        let constant = Constant { name: format!("{name}/c"), dtype, expr: expr.clone() };
        let c = builder.constant(constant).unwrap();
        let y = builder.add(Concat { axis: 0 }, [x.into(), Operand::from(c)]).unwrap();
        builder.output(format!("{name}/y"), y);
    }
    let case = Case { name: "integers", graph: builder.finish(), outline: Outline::default(), sizes: vec![] };
    let model = decode(&case, &at(17));
    let types: Vec<i32> = model.graph.initializer.iter().map(|tensor| tensor.data_type).collect();
    assert_eq!(types, [6, 7]);
    assert_eq!(model.graph.initializer[0].raw_data, [1, 0, 0, 0, 254, 255, 255, 255, 0, 0, 0, 128]);
    assert_eq!(model.graph.initializer[1].raw_data[8..16], (-2i64).to_le_bytes());
    assert_eq!(decode::port(&model.graph.output[0]), "narrow/y: 6 [n + 3]");
}

#[track_caller]
fn check_refused(case: &Case, opset: i64, kind: ErrorKind, message: &str, origin: Option<usize>) {
    let error = export(&case.graph, &case.outline, &at(opset)).unwrap_err();
    assert_eq!((error.kind(), error.message()), (kind, message));
    assert_eq!(error.origin(), origin.map(CallId));
}

#[test]
fn a_model_without_weights_is_refused_before_a_byte_is_written() {
    let message = "weight \"w\": the model was opened without weights";
    check_refused(&stored(Vec::new(), false).0, 17, ErrorKind::Input, message, None);
}

#[test]
fn what_an_opset_cannot_say_is_refused() {
    let pool = |size, stride, dilation, dims: &str| {
        let mut net = Net::new();
        let x = net.input("x", dims);
        let windows = vec![window(size, stride, dilation, Padding::Same)];
        let y = net.op("pool", "AveragePooling1D", Pool { kind: PoolKind::Average, windows }, [x]);
        net.output("y", y);
        net.done("pool", &[])
    };
    let message = "an average over a dilated window needs opset 19; 18 was asked for";
    check_refused(&pool(2, 1, 2, "batch 9 1"), 18, ErrorKind::Unsupported, message, Some(1));
    assert_eq!(decode::op_types(&pool(2, 1, 2, "batch 9 1"), 19), "Transpose AveragePool Transpose");
    let message = "a window (size 3, stride 4, dilation 1, padding same) over a number of steps that is not known; \
                   it can be written for a fixed number";
    check_refused(&pool(3, 4, 1, "batch steps 1"), 17, ErrorKind::Unsupported, message, Some(1));

    let mut net = Net::new();
    let x = net.input("x", "batch 2 0");
    let target = vec![ReshapeDim::Keep, ReshapeDim::Fixed(0), ReshapeDim::Fixed(3)];
    let y = net.op("reshape", "Reshape", Reshape { target }, [x]);
    net.output("y", y);
    let message = "a reshape to a dimension of 0";
    check_refused(&net.done("empty", &[]), 17, ErrorKind::Unsupported, message, Some(1));

    let mut net = Net::new();
    let x = net.input("x", "batch 4 1");
    let y = net.op("shrink", "Activation", Unary::SoftShrink { threshold: -1.0 }, [x]);
    net.output("y", y);
    check_refused(&net.done("shrink", &[]), 17, ErrorKind::Unsupported, "a soft shrinking by -1", Some(1));

    let mut net = Net::new();
    let x = net.input("x", "batch 4 1");
    let kernel = net.weight("kernel", &[2, 1, 1]);
    let windows = vec![Spread::new(2, 2, 1, (0, 1), 3).unwrap()];
    let y = net.op("up", "Conv1DTranspose", ConvTranspose { windows }, [x.into(), Operand::from(kernel)]);
    net.output("y", y);
    let message = "a transposed convolution of stride 2 and dilation 1 with 2 added steps";
    check_refused(&net.done("up", &[]), 17, ErrorKind::Unsupported, message, Some(1));

    let mut net = Net::new();
    let x = net.typed_input("x", "batch", DType::F16);
    net.output("y", x);
    check_refused(&net.done("half", &[]), 17, ErrorKind::Unsupported, "\"x\", a tensor of float16", None);
    let message = "opset 12 cannot be written; 13 to 28 can";
    check_refused(&cases::basic_cnn(), 12, ErrorKind::Input, message, None);
}

#[test]
fn failures_while_writing_say_who_failed() {
    let (case, _) = stored(vec![0; 15], true);
    let error = export(&case.graph, &case.outline, &at(17)).unwrap().to_bytes().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
    let mut full: &mut [u8] = &mut [0; 10];
    let (case, _) = stored(vec![0; 16], true);
    let error = export(&case.graph, &case.outline, &at(17)).unwrap().write_to(&mut full).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(std::error::Error::source(&error).is_some());
}
