//! Normalization of groups of channels, and what only looks like it.

use crate::decode::op_types;
use crate::net::{Case, Net, VALID, window};
use ReshapeDim::{Fixed, Infer, Keep, Of};
use k2o_core::ops::{Normalize, NormalizeKind, Reshape, ReshapeDim};

/// What stands between two convolutions of 4 channels.
struct Between {
    kind: NormalizeKind,
    split: Vec<ReshapeDim>,
    axes: Vec<usize>,
    join: Vec<ReshapeDim>,
    /// Whether what is normalized, or split, is an output too.
    outputs: [bool; 2],
}

/// Two groups of two channels.
fn two() -> Between {
    Between {
        kind: NormalizeKind::Standard,
        split: vec![Keep, Keep, Fixed(2), Fixed(2)],
        axes: vec![1, 3],
        join: vec![Keep, Keep, Infer],
        outputs: [false; 2],
    }
}

fn case(between: Between, dims: &str) -> Case {
    let mut net = Net::new();
    let x = net.input("x", dims);
    let x = net.conv("conv", x, 4, &[window(1, 1, 1, VALID)], None);
    let Between { kind, split, axes, join, outputs } = between;
    net.begin("group", "GroupNormalization", 0);
    let y = net.builder.add(Reshape { target: split }, [x]).unwrap();
    let z = net.builder.add(Normalize { kind, axes, epsilon: 1e-3 }, [y]).unwrap();
    let joined = net.builder.add(Reshape { target: join }, [z]).unwrap();
    for (name, value, is_output) in [("y", y, outputs[0]), ("z", z, outputs[1])] {
        if is_output {
            net.output(name, value);
        }
    }
    let z = net.conv("conv_1", joined, 3, &[window(1, 1, 1, VALID)], None);
    let z = net.global("pool", z, k2o_core::ops::ReduceKind::Max, false);
    net.output("pool", z);
    net.done("groups", &[])
}

#[test]
fn groups_between_convolutions_are_normalized_where_they_stand() {
    let groups = "Transpose Conv Reshape InstanceNormalization Reshape Conv ReduceMax";
    assert_eq!(op_types(&case(two(), "batch 6 2"), 17), groups);
    assert_eq!(op_types(&case(two(), "batch steps 2"), 23), groups);
    let each = Between { split: vec![Keep, Keep, Fixed(4), Fixed(1)], ..two() };
    assert_eq!(
        op_types(&case(each, "batch steps 2"), 17),
        "Transpose Conv InstanceNormalization Conv ReduceMax"
    );
}

#[test]
fn what_only_looks_like_groups_is_not_taken_for_them() {
    let others = [
        Between { kind: NormalizeKind::RootMeanSquare, ..two() },
        Between { kind: NormalizeKind::Deviation, ..two() },
        Between { axes: vec![3], ..two() },
        Between { axes: vec![1, 2], ..two() },
        Between { axes: vec![1, 2, 3], ..two() },
        Between { outputs: [true, false], ..two() },
        Between { outputs: [false, true], ..two() },
        // The steps are split, not the channels.
        Between {
            split: vec![Keep, Fixed(2), Fixed(3), Fixed(4)],
            join: vec![Keep, Fixed(6), Fixed(4)],
            ..two()
        },
        Between {
            split: vec![Keep, Fixed(3), Fixed(4), Fixed(2)],
            join: vec![Keep, Fixed(6), Fixed(4)],
            ..two()
        },
        // Joined to another shape.
        Between { join: vec![Keep, Fixed(3), Fixed(8)], ..two() },
    ];
    for (at, other) in others.into_iter().enumerate() {
        let found = op_types(&case(other, "batch 6 2"), 17);
        assert!(!found.contains("InstanceNormalization"), "{at}: {found}");
    }
    // Nothing is channels-first there.
    let mut net = Net::new();
    let x = net.input("x", "batch 6 4");
    let split = vec![Keep, Keep, Fixed(2), Fixed(2)];
    net.begin("group", "GroupNormalization", 0);
    let y = net.builder.add(Reshape { target: split }, [x]).unwrap();
    let normalize = Normalize { kind: NormalizeKind::Standard, axes: vec![1, 3], epsilon: 1e-3 };
    let y = net.builder.add(normalize, [y]).unwrap();
    let y = net.builder.add(Reshape { target: vec![Keep, Of(1), Infer] }, [y]).unwrap();
    net.output("y", y);
    let found = op_types(&net.done("alone", &[]), 17);
    assert_eq!(found, "Reshape Transpose LayerNormalization Transpose Reshape");
}

#[test]
fn what_has_no_axis_between_batch_and_channels_is_not_taken_for_groups() {
    for (rank, dims) in ["", "batch", "batch 4"].into_iter().enumerate() {
        let mut net = Net::new();
        let x = net.input("x", dims);
        net.begin("group", "GroupNormalization", 0);
        let join = vec![Keep; rank];
        let split = [&join[..], &[Fixed(1)]].concat();
        let y = net.builder.add(Reshape { target: split }, [x]).unwrap();
        let normalize = Normalize { kind: NormalizeKind::Standard, axes: vec![rank], epsilon: 1e-3 };
        let y = net.builder.add(normalize, [y]).unwrap();
        let y = net.builder.add(Reshape { target: join }, [y]).unwrap();
        net.output("y", y);
        let found = op_types(&net.done("alone", &[]), 17);
        assert!(!found.contains("InstanceNormalization"), "{dims:?}: {found}");
    }
}
