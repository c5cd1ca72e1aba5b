//! Graphs of operators that move elements, or make another type of them.

use crate::net::{Case, Net, VALID, window};
use ReshapeDim::{Fixed, Infer, Keep, Like, Of};
use k2o_core::ops::{Cast, Concat, Gather, Repeat, Reshape, ReshapeDim, Slice, Unary};
use k2o_core::{DType, Operand, ValueId};

fn cast(net: &mut Net, name: &str, x: ValueId, to: DType) -> ValueId {
    net.op(name, "Cast", Cast { to }, [x])
}

/// Whole numbers from 0 up to `last`.
fn indices(net: &mut Net, name: &str, x: ValueId, last: f64, to: DType) -> ValueId {
    let x = net.op(&format!("{name}/clip"), "ReLU", Unary::Clip { min: 0.0, max: last }, [x]);
    cast(net, name, x, to)
}

pub fn casts() -> Case {
    let mut net = Net::new();
    let x = net.input("x", "batch 6 2");
    let y = net.conv("conv", x, 3, &[window(1, 1, 1, VALID)], None);
    for (name, to) in [("short", DType::I32), ("long", DType::I64), ("truth", DType::Bool)] {
        let z = cast(&mut net, name, y, to);
        let z = cast(&mut net, &format!("{name}_back"), z, DType::F32);
        net.output(&format!("{name}_back"), z);
    }
    let z = cast(&mut net, "same", y, DType::F32);
    net.output("same", z);
    net.done("casts", &[&[2, 6, 2]])
}

pub fn gather() -> Case {
    let mut net = Net::new();
    let x = net.input("x", "batch steps");
    let table = net.weight("embedding/table", &[5, 3]);
    for (name, to) in [("short", DType::I32), ("long", DType::I64)] {
        let ids = indices(&mut net, &format!("{name}/ids"), x, 4.9, to);
        let y = net.op(name, "Embedding", Gather { axis: 0 }, [Operand::from(table), ids.into()]);
        net.output(name, y);
        let y = net.conv(&format!("{name}_conv"), y, 2, &[window(2, 1, 1, VALID)], None);
        net.output(&format!("{name}_conv"), y);
        let ids = net.op(&format!("{name}/first"), "Slice", Slice { axis: 0, before: 0, after: 1 }, [ids]);
        let y = net.op(&format!("{name}_picked"), "Take", Gather { axis: 1 }, [y, ids]);
        net.output(&format!("{name}_picked"), y);
    }
    net.done("gather", &[&[3, 6]])
}

/// Integers of unknown sizes, which no runtime resizes.
pub fn repeated_integers() -> Case {
    let mut net = Net::new();
    let x = net.typed_input("ids", "batch rows columns 2", DType::I64);
    let y = net.typed_input("short", "batch 3", DType::I32);
    for axis in 0..4 {
        let name = format!("repeat_{axis}");
        let z = net.op(&name, "Repeat", Repeat { axis, times: 3 }, [x]);
        net.output(&name, z);
    }
    let z = net.op("repeat_short", "Repeat", Repeat { axis: 1, times: 2 }, [y]);
    net.output("repeat_short", z);
    let z = cast(&mut net, "float", y, DType::F32);
    let z = indices(&mut net, "long", z, 4.0, DType::I64);
    let table = net.weight("table", &[5, 2]);
    let z = net.op("embedding", "Embedding", Gather { axis: 0 }, [Operand::from(table), z.into()]);
    net.output("embedding", z);
    net.done("integers_repeated", &[&[2, 3, 4, 2], &[2, 3]])
}

pub fn repeat() -> Case {
    let mut net = Net::new();
    let x = net.input("x", "batch rows columns 2");
    let y = net.conv("conv", x, 3, &[window(1, 1, 1, VALID); 2], None);
    for (at, x) in [x, y].into_iter().enumerate() {
        for (axis, times) in [(0, 2), (1, 3), (2, 2), (3, 5), (1, 1)] {
            let name = format!("repeat_{at}_{axis}_{times}");
            let z = net.op(&name, "Repeat", Repeat { axis, times }, [x]);
            net.output(&name, z);
        }
    }
    let y = net.layer("up_sampling", "UpSampling2D", |net| {
        let y = net.builder.add(Repeat { axis: 1, times: 2 }, [y]).unwrap();
        net.builder.add(Repeat { axis: 2, times: 3 }, [y]).unwrap()
    });
    let y = net.conv("conv_1", y, 2, &[window(2, 1, 1, VALID); 2], None);
    net.output("up_sampled", y);
    let y = cast(&mut net, "truth", x, DType::Bool);
    let y = net.op("repeat_truth", "Repeat", Repeat { axis: 1, times: 2 }, [y]);
    let y = cast(&mut net, "number", y, DType::F32);
    net.output("number", y);
    net.done("repeat", &[&[2, 3, 4, 2]])
}

pub fn repeat_vector() -> Case {
    let mut net = Net::new();
    let x = net.input("x", "batch 3");
    let y = net.layer("repeat_vector", "RepeatVector", |net| {
        let target = vec![Keep, Fixed(1), Fixed(3)];
        let y = net.builder.add(Reshape { target }, [x]).unwrap();
        net.builder.add(Repeat { axis: 1, times: 4 }, [y]).unwrap()
    });
    net.output("repeat_vector", y);
    let y = net.conv("conv", y, 2, &[window(2, 1, 1, VALID)], None);
    net.output("conv", y);
    net.done("repeat_vector", &[&[2, 3]])
}

/// Sizes taken from other axes, and from other tensors.
pub fn reshape_like() -> Case {
    let mut net = Net::new();
    let x = net.input("x", "batch steps rows 4");
    let y = net.conv("conv", x, 6, &[window(1, 1, 1, VALID); 2], None);
    let mut reshape = |name: &str, target: &[ReshapeDim], x: ValueId, like: Option<ValueId>| {
        let op = Reshape { target: target.to_vec() };
        let y = net.op(name, "Reshape", op, [x].into_iter().chain(like).collect::<Vec<_>>());
        net.output(name, y);
        y
    };
    let merged = reshape("merged", &[Infer, Of(2), Of(3)], y, None);
    let split = reshape("split", &[Like(0), Like(1), Of(1), Fixed(6)], merged, Some(y));
    let rows = reshape("rows", &[Infer, Fixed(6)], split, None);
    reshape("all", &[Like(0), Like(1), Like(2), Fixed(3), Fixed(2)], rows, Some(y));
    reshape("swapped", &[Like(2), Infer, Like(1), Fixed(6)], rows, Some(y));
    reshape("turned", &[Of(2), Of(1), Of(0), Infer], x, None);
    reshape("one_left", &[Like(0), Infer, Fixed(6)], rows, Some(y));
    let pooled = net.global("pooled", y, k2o_core::ops::ReduceKind::Max, false);
    let target = vec![Keep, Fixed(1), Fixed(1), Infer];
    let pooled = net.op("unsqueezed", "Reshape", Reshape { target }, [pooled]);
    net.output("unsqueezed", pooled);
    net.done("reshape_like", &[&[2, 3, 4, 4]])
}

pub fn slice() -> Case {
    let mut net = Net::new();
    let x = net.input("x", "batch steps 7 4");
    let y = net.conv("conv", x, 5, &[window(1, 1, 1, VALID); 2], None);
    for (at, x) in [x, y].into_iter().enumerate() {
        for (axis, before, after) in [(0, 1, 0), (1, 2, 1), (1, 0, 3), (2, 3, 0), (3, 1, 2), (1, 0, 0)] {
            let name = format!("slice_{at}_{axis}_{before}_{after}");
            let z = net.op(&name, "Cropping2D", Slice { axis, before, after }, [x]);
            net.output(&name, z);
        }
    }
    let last = net.op("last", "Slice", Slice { axis: 1, before: 1, after: 0 }, [y]);
    let first = net.op("first", "Slice", Slice { axis: 1, before: 0, after: 1 }, [y]);
    let y = net.op("both", "Concatenate", Concat { axis: 3 }, [last, first]);
    let y = net.conv("conv_1", y, 2, &[window(2, 1, 1, VALID); 2], None);
    net.output("conv_1", y);
    net.done("slice", &[&[2, 5, 7, 4]])
}
