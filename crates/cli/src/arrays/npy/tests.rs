//! What is read of NumPy's files, and what is refused.

use super::*;
use k2o_fixtures::case;
use ndarray::Dimension;
use ndarray_npy::ReadNpyExt;

/// A file of version 1.0 whose header is `text`.
fn file(text: &str, elements: &[u8]) -> Vec<u8> {
    let len = u16::try_from(text.len()).unwrap().to_le_bytes();
    [MAGIC, &[1, 0], &len, text.as_bytes(), elements].concat()
}

/// The array of a file for a model that may take a megabyte.
fn read(bytes: &[u8]) -> Result<ArrayD<f64>, Failure> {
    let mut options = k2o::OpenOptions::default();
    options.limits.max_memory = 1 << 20;
    let model = Model::open_with(case("dense_plain").path("keras3.keras"), &options).unwrap();
    super::read("x.npy", bytes.len() as u64, &mut &bytes[..], &model).map(|numbers| numbers.0)
}

#[test]
fn every_type_of_number_is_read_in_both_byte_orders() {
    let types: [(&str, &[u8], f64); 13] = [
        ("b1", &[1], 1.0),
        ("i1", &[0x80], -128.0),
        ("u1", &[0x80], 128.0),
        ("i2", &[0x01, 0x80], -32767.0),
        ("u2", &[0x01, 0x80], 32769.0),
        ("i4", &[2, 0, 0, 0x80], -2_147_483_646.0),
        ("u4", &[2, 0, 0, 0x80], 2_147_483_650.0),
        ("i8", &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], -2.0),
        ("u8", &[0, 0, 0, 0, 0, 0, 0, 0x80], 9_223_372_036_854_775_808.0),
        ("f2", &[0x01, 0x3c], 1.000_976_562_5),
        ("f2", &[0x01, 0x00], 5.960_464_477_539_063e-8),
        ("f4", &[0xc3, 0xf5, 0x48, 0x40], 3.140_000_104_904_175),
        ("f8", &[0x18, 0x2d, 0x44, 0x54, 0xfb, 0x21, 0x09, 0xc0], -std::f64::consts::PI),
    ];
    for (name, little, number) in types {
        let big: Vec<u8> = little.iter().rev().copied().collect();
        for (order, bytes) in [("<", little), (">", &big)] {
            let header = format!("{{'descr': '{order}{name}', 'fortran_order': False, 'shape': (2,)}}\n");
            let array = read(&file(&header, &[bytes, bytes].concat())).unwrap();
            assert_eq!(array, ndarray::arr1(&[number; 2]).into_dyn(), "{order}{name}");
        }
    }
}

#[test]
fn every_spelling_of_a_header_is_read() {
    let elements = [0, 1, 2, 3, 4, 5];
    for (header, shape) in [
        ("{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }   \n", &[2, 3][..]),
        ("{'shape':(2L,3L),'fortran_order':False,'descr':'|u1'}", &[2, 3]),
        ("{\"descr\": \"|u1\", \"fortran_order\": False, \"shape\": (6,)}\n", &[6]),
        ("{ 'descr' : '|u1' , 'fortran_order' : False , 'shape' : ( 1 , 6 , ) , }", &[1, 6]),
    ] {
        let expected = ArrayD::from_shape_vec(shape, elements.map(f64::from).to_vec()).unwrap();
        assert_eq!(read(&file(header, &elements)).unwrap(), expected, "{header}");
    }
    let fortran = "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }\n";
    let expected = ndarray::array![[0.0, 2.0, 4.0], [1.0, 3.0, 5.0]].into_dyn();
    assert_eq!(read(&file(fortran, &elements)).unwrap(), expected);
    let none = "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 5), }\n";
    assert_eq!(read(&file(none, &[])).unwrap().shape(), [0, 5]);
    let scalar = "{'descr': '|i1', 'fortran_order': False, 'shape': (), }\n";
    assert_eq!(read(&file(scalar, &[7])).unwrap(), ndarray::arr0(7.0).into_dyn());
    for version in [2, 3] {
        let len = u32::try_from(none.len()).unwrap().to_le_bytes();
        let bytes = [MAGIC, &[version, 0], &len, none.as_bytes()].concat();
        assert_eq!(read(&bytes).unwrap().shape(), [0, 5]);
    }
}

#[test]
fn what_is_no_array_of_numbers_is_refused_with_the_reason() {
    let header = |descr: &str, order: &str, shape: &str| {
        format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n")
    };
    let plain = |shape: &str| file(&header("'<f4'", "False", shape), &[0; 8]);
    let of = |descr: &str| file(&header(descr, "False", "(1,)"), &[0; 8]);
    let text = |text: &str| file(text, &[0; 8]);
    for (bytes, status, words) in [
        (of("'|O'"), 2, "its elements are \"|O\""),
        (of("'<U2'"), 2, "x.astype(\"float32\")"),
        (of("'<c8'"), 2, "\"<c8\""),
        (of("'=f8'"), 2, "\"=f8\""),
        (of("'|f8'"), 2, "\"|f8\""),
        (of("''"), 2, "elements are \"\""),
        (of("'ü1'"), 2, "elements are \"ü1\""),
        (of("[('a', '<f4'), ('b', '<f4')]"), 4, "records"),
        (plain("(3,)"), 4, "8 bytes of elements, but \"<f4\" of shape [3] takes 12 bytes"),
        (plain("(1,)"), 4, "8 bytes of elements, but \"<f4\" of shape [1] takes 4 bytes"),
        (plain("(4611686018427387904, 4)"), 4, "more than any file"),
        (plain("(4611686018427387904, 2)"), 4, "more than any file"),
        (plain("(99999999999999999999, 0)"), 4, "no dictionary"),
        (plain("(2)"), 4, "no dictionary"),
        (plain("(+2,)"), 4, "no dictionary"),
        (plain("(-2,)"), 4, "no dictionary"),
        (plain("(,)"), 4, "no dictionary"),
        (plain("(2,,)"), 4, "no dictionary"),
        (plain("[2]"), 4, "no dictionary"),
        (plain("(2"), 4, "no dictionary"),
        (text(&header("'<f4'", "0", "(2,)")), 4, "no dictionary"),
        (text(&header("'<f4", "False", "(2,)")), 4, "no dictionary"),
        (text("{'descr': '<f4', 'fortran_order': False}"), 4, "no dictionary"),
        (text("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}"), 4, "no dictionary"),
        (text("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'more': 1}"), 4, "no dictionary"),
        (text("{'descr': '<f4' 'fortran_order': False, 'shape': (2,)}"), 4, "no dictionary"),
        (text("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} 1"), 4, "no dictionary"),
        (text(""), 4, "no dictionary"),
        ([MAGIC, &[1, 0, 2, 0, 0xff, 0xfe]].concat(), 4, "no text"),
        ([MAGIC, &[4, 0, 0, 0]].concat(), 4, "version 4.0"),
        ([MAGIC, &[2, 0, 0xff, 0xff, 0xff, 0xff]].concat(), 4, "a header of 4294967295 bytes"),
        ([MAGIC, &[1, 0, 9, 0, b'{']].concat(), 4, "ends too early"),
        (MAGIC[..4].to_vec(), 4, "ends too early"),
        (b"\x93NUMPX\x01\x00\x00\x00".to_vec(), 4, "no NumPy array"),
    ] {
        let failure = read(&bytes).unwrap_err();
        let message = failure.to_string();
        assert!(message.starts_with("x.npy: ") && message.contains(words), "{words}: {message}");
        assert_eq!(failure.status(), status, "{message}");
    }
    let large = file(&header("'|u1'", "False", "(131073,)"), &[0; 131_073]);
    let failure = read(&large).unwrap_err();
    let message = "x.npy: the array takes 1048584 bytes; 1048576 bytes of memory are allowed";
    assert_eq!(failure.to_string(), message);
    assert_eq!(failure.status(), 5);
}

#[test]
fn a_file_that_is_shorter_than_it_says_is_refused() {
    let whole = file("{'descr': '<f8', 'fortran_order': False, 'shape': (2000, 10), }\n", &[0; 160_000]);
    let model = Model::open(case("dense_plain").path("keras3.keras")).unwrap();
    for len in 0..whole.len().min(100) {
        let len = whole.len() - 1 - len * 1600;
        let failure =
            super::read("x.npy", whole.len() as u64, &mut &whole[..len], &model).map(|_| ()).unwrap_err();
        assert_eq!(failure.to_string(), "x.npy: the array ends too early", "{len}");
    }
}

#[test]
fn what_is_written_is_what_others_read() {
    for shape in [&[][..], &[0], &[5], &[2, 3], &[1, 2, 3, 4], &[70, 401]] {
        let value = |at: ndarray::IxDyn| at.slice().iter().fold(0.5, |sum, &at| sum * 7.0 + at as f32);
        let array = ArrayD::from_shape_fn(shape, value);
        for array in [array.clone(), array.reversed_axes()] {
            let mut bytes = Vec::new();
            write(&array, &mut bytes).unwrap();
            assert_eq!(ArrayD::<f32>::read_npy(&bytes[..]).unwrap(), array);
            assert_eq!(read(&bytes).unwrap(), array.mapv(f64::from));
        }
    }
}

#[test]
fn headers_are_those_of_numpy() {
    for (shape, numpy) in [(&[][..], "()"), (&[5], "(5,)"), (&[2, 3], "(2, 3)")] {
        let mut bytes = Vec::new();
        write(&ArrayD::zeros(shape), &mut bytes).unwrap();
        let text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {numpy}, }}");
        assert_eq!(bytes[..128], *file(&format!("{text:117}\n"), &[]), "{numpy}");
    }
    // Behind the room for a longer first size, which a number of dimensions that large needs too.
    let mut bytes = Vec::new();
    write(&ArrayD::zeros(vec![1; 15]), &mut bytes).unwrap();
    assert_eq!((bytes.len(), bytes[8]), (192 + 4, 182));
}
