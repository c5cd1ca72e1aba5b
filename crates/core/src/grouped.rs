//! How numbers are written for people.

/// A number with a comma between every three digits: `3,145,738`.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (left, digit) in (1..=digits.len()).rev().zip(digits.chars()) {
        if !text.is_empty() && left.is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (n, text) in [(0, "0"), (896, "896"), (1000, "1,000"), (3_145_738, "3,145,738")] {
            assert_eq!(grouped(n), text);
        }
    }
}
