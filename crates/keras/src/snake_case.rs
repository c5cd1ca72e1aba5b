//! Keras's `to_snake_case` (`keras/src/utils/naming.py`), which names the weight groups of `.weights.h5` files.

/// The class name in snake case: `Conv1D` is `conv1d`, `LeakyReLU` is `leaky_re_lu`.
pub(crate) fn to_snake_case(name: &str) -> String {
    let word = |c: &char| c.is_alphanumeric() || *c == '_';
    let chars: Vec<char> = name.chars().filter(word).collect();
    separate_pairs(&separate_words(&chars)).into_iter().collect::<String>().to_lowercase()
}

/// An underscore between any character and a capital with small letters behind it.
fn separate_words(chars: &[char]) -> Vec<char> {
    let mut out = Vec::new();
    let mut rest = chars;
    while let [first, tail @ ..] = rest {
        out.push(*first);
        rest = tail;
        if let [capital, behind @ ..] = tail
            && capital.is_ascii_uppercase()
        {
            let small = behind.iter().take_while(|c| c.is_ascii_lowercase()).count();
            if small > 0 {
                let (word, after) = tail.split_at(small + 1);
                out.push('_');
                out.extend(word);
                rest = after;
            }
        }
    }
    out
}

/// An underscore between a small letter and a capital.
fn separate_pairs(chars: &[char]) -> Vec<char> {
    let mut out = Vec::new();
    let mut rest = chars;
    while let [first, tail @ ..] = rest {
        out.push(*first);
        rest = tail;
        if let [second, after @ ..] = tail
            && first.is_ascii_lowercase()
            && second.is_ascii_uppercase()
        {
            out.extend(['_', *second]);
            rest = after;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    // Printed by keras.src.utils.naming.to_snake_case of Keras 3.15.1.
    #[test]
    fn names_are_keras_names() {
        for (class, snake) in [
            ("Conv1D", "conv1d"),
            ("ReLU", "re_lu"),
            ("PReLU", "p_re_lu"),
            ("LeakyReLU", "leaky_re_lu"),
            ("Conv1DTranspose", "conv1d_transpose"),
            ("ELU", "elu"),
            ("GRU", "gru"),
            ("SimpleRNN", "simple_rnn"),
            ("RMSNormalization", "rms_normalization"),
            ("ResNet50V2", "res_net50v2"),
            ("BatchNormalization", "batch_normalization"),
            ("SeparableConv1D", "separable_conv1d"),
            ("GlobalAveragePooling1D", "global_average_pooling1d"),
            ("STFTSpectrogram", "stft_spectrogram"),
        ] {
            assert_eq!(to_snake_case(class), snake);
        }
    }
}
