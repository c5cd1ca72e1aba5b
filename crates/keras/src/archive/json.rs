//! JSON as Python writes it.
//!
//! Python's `json` writes the bare words `NaN`, `Infinity` and `-Infinity` for numbers that JSON lacks. They
//! become the strings `"NaN"`, `"Infinity"` and `"-Infinity"`. Keys that occur twice in one object are an
//! error, and so are nesting beyond 128 levels and anything that is not UTF-8.

use crate::{Error, Limits, Result};
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::map::Entry;
use serde_json::{Deserializer, Map, Number, Value};
use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

/// An upper bound of what one value takes in memory, its text not counted.
const BYTES_PER_VALUE: u64 = 128;
/// So many values may be in a text of any length, and beyond that one in so many bytes: Keras writes one in ten.
const FEW_VALUES: u64 = 1 << 16;
const BYTES_OF_A_VALUE: u64 = 8;

const CUT_OFF: &str = "the file was cut off: fetch or save it again";

/// The value that `bytes` hold, if it has no more nodes than configurations of this length have and than `max_memory` bytes
/// have room for.
pub(crate) fn parse(bytes: &[u8], limits: &Limits) -> Result<Value> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = str::from_utf8(bytes).map_err(|error| {
        Error::malformed(format!("JSON is UTF-8, but byte {} begins no character", error.valid_up_to()))
    })?;
    let (text, quotes) = quote_constants(text);
    let most = FEW_VALUES.saturating_add(bytes.len() as u64 / BYTES_OF_A_VALUE);
    let most = most.min(limits.max_memory / BYTES_PER_VALUE);
    let (values_left, layers_left) = (Cell::new(most), Cell::new(limits.max_layers.saturating_add(1)));
    let node = Node { values_left: &values_left, layers_left: &layers_left, is_layers: false };
    let mut deserializer = Deserializer::from_str(&text);
    let parsed = node.deserialize(&mut deserializer);
    let parsed = parsed.and_then(|value| deserializer.end().map(|()| value));
    parsed.map_err(|error| {
        let (line, column) = (error.line(), original_column(&text, &quotes, error.line(), error.column()));
        let reason = error.to_string();
        let reason = reason.rsplit_once(" at line ").map_or(reason.as_str(), |(reason, _)| reason);
        let place = format!("line {line} column {column}");
        if values_left.get() == 0 {
            Error::limit(format!("the JSON holds more than {most} values, at {place}"))
        } else if layers_left.get() == 0 {
            Error::limit(format!("the model has more than {} layers, at {place}", limits.max_layers))
        } else if reason == "recursion limit exceeded" {
            Error::limit(format!("the JSON is nested more than 128 levels deep, at {place}"))
        } else if error.classify() == Category::Eof {
            Error::malformed(format!("the JSON ends too early, at {place}: {reason}")).help(CUT_OFF)
        } else {
            Error::malformed(format!("damaged JSON at {place}: {reason}"))
        }
    })
}

/// The text with Python's constants in quotes, and where in it those quotes are.
fn quote_constants(text: &str) -> (Cow<'_, str>, Vec<usize>) {
    if !text.contains("NaN") && !text.contains("Infinity") {
        return (Cow::Borrowed(text), Vec::new());
    }
    let mut out = String::with_capacity(text.len() + 64);
    let mut quotes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['"', 'N', 'I', '-']) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let constant = ["NaN", "Infinity", "-Infinity"].into_iter().find(|word| from.starts_with(word));
        let taken = match constant {
            Some(word) => word.len(),
            None if from.starts_with('"') => string_length(from),
            None => 1,
        };
        let (token, after) = from.split_at(taken);
        // A number cannot be a key.
        if constant.is_some() && !after.trim_start().starts_with(':') {
            quotes.extend([out.len(), out.len() + 1 + token.len()]);
            out.extend(["\"", token, "\""]);
        } else {
            out.push_str(token);
        }
        rest = after;
    }
    out.push_str(rest);
    (Cow::Owned(out), quotes)
}

/// The length of the string literal that `text` begins with, quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The column in the file, given one in the text where `quotes` were put in.
fn original_column(text: &str, quotes: &[usize], line: usize, column: usize) -> usize {
    let line_start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let before = quotes.iter().filter(|&&at| at >= line_start && at + 1 < line_start + column);
    column.saturating_sub(before.count())
}

#[derive(Clone, Copy)]
struct Node<'a> {
    values_left: &'a Cell<u64>,
    /// How many layers all lists of layers may have still.
    layers_left: &'a Cell<usize>,
    /// Whether this is the value of the key `layers`.
    is_layers: bool,
}

impl Node<'_> {
    /// What is inside of this value, or of another one.
    fn inner(self, is_layers: bool) -> Self {
        Node { is_layers, ..self }
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let left = self.values_left.get().saturating_sub(1);
        self.values_left.set(left);
        if left == 0 {
            return Err(D::Error::custom("too many values"));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number that is not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = items.next_element_seed(self.inner(false))? {
            values.push(value);
            if self.is_layers {
                self.layers_left.set(self.layers_left.get().saturating_sub(1));
                if self.layers_left.get() == 0 {
                    return Err(A::Error::custom("too many layers"));
                }
            }
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let inner = self.inner(key == "layers");
            match map.entry(key) {
                Entry::Vacant(entry) => {
                    entry.insert(entries.next_value_seed(inner)?);
                }
                Entry::Occupied(entry) => {
                    let key = entry.key();
                    return Err(A::Error::custom(format!("the key {key:?} occurs twice in one object")));
                }
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use serde_json::json;

    fn limits(max_memory: u64) -> Limits {
        Limits { max_memory, max_layers: 3, ..Limits::default() }
    }

    fn parse(bytes: &[u8], max_memory: u64) -> Result<Value> {
        super::parse(bytes, &limits(max_memory))
    }

    const PLENTY: u64 = 1 << 20;

    #[track_caller]
    fn check(text: &str, expected: Value) {
        assert_eq!(parse(text.as_bytes(), PLENTY).unwrap(), expected);
    }

    #[track_caller]
    fn check_error(text: &[u8], kind: ErrorKind, expected: &str) {
        let error = parse(text, PLENTY).unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().contains(expected), "{error}");
    }

    #[test]
    fn constants_of_python_become_strings() {
        check(
            r#"{"a": NaN, "b": [Infinity,-Infinity , -1, "NaN"], "c": 0.1}"#,
            json!({"a": "NaN", "b": ["Infinity", "-Infinity", -1, "NaN"], "c": 0.1}),
        );
        check("NaN", json!("NaN"));
    }

    #[test]
    fn constants_inside_strings_stay() {
        check(
            r#"{"NaN": "x -Infinity \" NaN", "e\\": NaN}"#,
            json!({"NaN": "x -Infinity \" NaN", "e\\": "NaN"}),
        );
    }

    #[test]
    fn constants_where_no_number_may_stand_are_errors() {
        check_error(b"{NaN: 1}", ErrorKind::Malformed, "line 1 column 2");
        check_error(b"[NaNs]", ErrorKind::Malformed, "line 1 column 5");
        check_error(b"[1NaN]", ErrorKind::Malformed, "line 1 column 3");
        check_error(b"[--Infinity]", ErrorKind::Malformed, "invalid number");
    }

    #[test]
    fn columns_are_those_of_the_file() {
        check_error(b"[NaN, NaN,\n NaN, Infinity, ?]", ErrorKind::Malformed, "line 2 column 17");
        check_error(b"[NaN, NaN, ", ErrorKind::Malformed, "the JSON ends too early, at line 1 column 11");
    }

    #[test]
    fn a_key_twice_is_an_error() {
        check_error(br#"{"a": {"b": 1, "b": 1}}"#, ErrorKind::Malformed, "\"b\" occurs twice");
        check_error(br#"{"a": 1, "\u0061": 2}"#, ErrorKind::Malformed, "\"a\" occurs twice");
    }

    #[test]
    fn what_is_no_json_is_an_error() {
        check_error(b"", ErrorKind::Malformed, "ends too early");
        check_error(b"{} {}", ErrorKind::Malformed, "trailing characters");
        check_error(b"\"\xff\"", ErrorKind::Malformed, "byte 1 begins no character");
        check_error(b"[1e999]", ErrorKind::Malformed, "number out of range");
        check("\u{feff}[1]", json!([1]));
    }

    #[test]
    fn depth_and_size_are_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(parse(nested(127).as_bytes(), PLENTY).is_ok());
        check_error(nested(200).as_bytes(), ErrorKind::Limit, "128 levels");
        check_error(nested(1_000_000).as_bytes(), ErrorKind::Limit, "128 levels");
        let wide = format!("[{}1]", "1,".repeat(10_000));
        check_error(wide.as_bytes(), ErrorKind::Limit, "more than 8192 values");
        let dense = format!("[{}1]", "1,".repeat(400_000));
        let error = parse(dense.as_bytes(), u64::MAX).unwrap_err();
        assert!(error.to_string().contains("more than 165536 values"), "{error}");
    }

    #[test]
    fn layers_are_counted_in_all_models_together() {
        check(
            r#"{"layers": [1, {"layers": [[1, 2, 3, 4]]}]}"#,
            json!({"layers": [1, {"layers": [[1, 2, 3, 4]]}]}),
        );
        for text in
            [r#"{"layers": [1, 2, 3, 4, {}]}"#, r#"{"layers": [{"layers": [1, 2]}, {"layers": [1]}, 2]}"#]
        {
            check_error(text.as_bytes(), ErrorKind::Limit, "more than 3 layers, at line 1");
        }
    }

    #[test]
    fn numbers_keep_their_bits() {
        check("[0.30000000000000004, 5e-324, 18446744073709551615]", json!([0.1 + 0.2, 5e-324, u64::MAX]));
    }
}
