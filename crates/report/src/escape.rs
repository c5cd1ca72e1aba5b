//! Names as text and nothing else, in every format.

/// Text for XML and HTML, between tags and in double-quoted attributes.
///
/// Characters that XML does not have become U+FFFD; line ends and tabs become spaces.
pub(crate) fn markup(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(visible(c)),
        }
    }
    escaped
}

/// Text between double quotes in DOT, where Graphviz resolves backslashes and the entities of HTML.
pub(crate) fn dot(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => escaped.push_str("\\\""),
            '\\' => escaped.push_str("\\\\"),
            '&' => escaped.push_str("&amp;"),
            c => escaped.push(visible(c)),
        }
    }
    escaped
}

/// Text between double quotes in Mermaid, which knows neither backslashes nor doubled quotes but numbers of characters, takes
/// backticks for Markdown, and what is left for HTML.
pub(crate) fn mermaid(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match visible(c) {
            c if c.is_alphanumeric() || " _-.,:/()=+…".contains(c) => escaped.push(c),
            c => escaped.push_str(&format!("#{};", u32::from(c))),
        }
    }
    escaped
}

/// The character, or what stands for one that has no place in a line of text.
fn visible(c: char) -> char {
    match c {
        '\t' | '\n' | '\r' | '\u{2028}' | '\u{2029}' => ' ',
        // What changes the direction of the text behind it.
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

#[cfg(test)]
pub(crate) const HOSTILE: [&str; 13] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "'; DROP TABLE layers; --",
    "a\nb\r\n\tc",
    "]] ]]> --> */ }",
    "back\\slash \\N \\\"",
    "&lt;&#60;&amp;",
    "層/слой/🙂",
    "\u{0}\u{1}\u{7f}\u{fffe}",
    "\u{202e}txt.exe",
    "`markdown` **bold** #35; %%{init}%%",
    "end",
    "",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_has_its_escapes() {
        let name = "a<\"b\\\n&`#]";
        assert_eq!(markup(name), "a&lt;&quot;b\\ &amp;`#]");
        assert_eq!(dot(name), "a<\\\"b\\\\ &amp;`#]");
        assert_eq!(mermaid(name), "a#60;#34;b#92; #38;#96;#35;#93;");
    }

    #[test]
    fn names_are_read_back_as_they_are_but_for_control_characters() {
        for name in HOSTILE {
            let text = format!("<a b=\"{0}\">{0}</a>", markup(name));
            let parsed = roxmltree::Document::parse(&text).unwrap();
            let expected: String = name.chars().map(visible).collect();
            let root = parsed.root_element();
            assert_eq!(root.text().unwrap_or_default(), expected);
            assert_eq!(root.attribute("b"), Some(expected.as_str()));
            assert_eq!(root.children().filter(|child| child.is_element()).count(), 0);
        }
    }

    #[test]
    fn quotes_do_not_end_where_a_name_says_so() {
        for name in HOSTILE {
            let in_dot = dot(name).replace("\\\\", "").replace("\\\"", "");
            assert!(!in_dot.contains(['"', '\\', '\n']), "{name:?}");
            assert!(!mermaid(name).contains(['"', '\\', '\n', '<', '>', '`', ']', '&', '%']), "{name:?}");
        }
    }
}
