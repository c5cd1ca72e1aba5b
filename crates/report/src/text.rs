//! How wide text is, and how it is made to fit.

use k2o_core::Shape;

/// A shape as Keras prints it: `(None, 98, 32)`.
pub fn shape_text(shape: &Shape) -> String {
    let dims: Vec<String> = shape
        .iter()
        .map(|dim| dim.as_fixed().map_or_else(|| "None".to_string(), |n| n.to_string()))
        .collect();
    match dims.as_slice() {
        [only] => format!("({only},)"),
        _ => format!("({})", dims.join(", ")),
    }
}

/// The text in at most `limit` characters, with `…` for what is left out of its middle.
pub(crate) fn shortened(text: &str, limit: usize) -> String {
    let count = text.chars().count();
    if count <= limit {
        return text.to_string();
    }
    let (head, tail) = (limit / 2, limit - limit / 2 - 1);
    let head = text.chars().take(head);
    head.chain(['…']).chain(text.chars().skip(count - tail)).collect()
}

/// About how wide a line of text is in a sans-serif font of `size`: at least as wide as in most.
pub(crate) fn width(text: &str, size: f64) -> f64 {
    let wide = |c: char| match c {
        'i' | 'j' | 'l' | '|' | '\'' | '.' | ',' | ':' | ';' | ' ' | '!' => 0.34,
        '(' | ')' | '[' | ']' | 'f' | 't' | 'r' | '-' | '/' | '"' => 0.42,
        'm' | 'w' | 'M' | 'W' | '@' | '%' => 0.98,
        'A'..='Z' | '#' | '&' | '+' | '=' | '<' | '>' => 0.74,
        ' '..='~' => 0.62,
        // Han, Kana, Hangul, full width, and pictures.
        '\u{1100}'..='\u{11ff}'
        | '\u{2e80}'..='\u{d7ff}'
        | '\u{f900}'..='\u{faff}'
        | '\u{ff00}'..='\u{ffe6}' => 1.05,
        '\u{1f000}'.. => 1.3,
        _ => 0.75,
    };
    size * text.chars().map(wide).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use k2o_core::Dim;

    #[test]
    fn shapes_read_as_keras_prints_them() {
        let cases: [(&[Dim], &str); 4] = [
            (&[Dim::symbol("batch"), 98.into(), 32.into()], "(None, 98, 32)"),
            (&[Dim::symbol("batch")], "(None,)"),
            (&[], "()"),
            (&[2.into(), Dim::symbol("steps")], "(2, None)"),
        ];
        for (dims, text) in cases {
            assert_eq!(shape_text(&Shape::new(dims)), text);
        }
    }

    #[test]
    fn long_names_keep_their_ends() {
        for (text, limit, short) in
            [("conv1d_12", 9, "conv1d_12"), ("conv1d_12", 6, "con…12"), ("ααββγγ", 3, "α…γ")]
        {
            assert_eq!(shortened(text, limit), short);
            assert!(shortened(text, limit).chars().count() <= limit);
        }
    }
}
