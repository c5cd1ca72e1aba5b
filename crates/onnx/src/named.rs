//! Choices that have names on the command line.

/// Makes an enum of unit variants with a name each: `ALL`, `name`, `Display` and `FromStr`.
macro_rules! named {
    (
        $(#[$enum_doc:meta])*
        pub enum $enum:ident $what:literal {
            $($(#[$doc:meta])* $variant:ident = $name:literal,)*
        }
    ) => {
        $(#[$enum_doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        #[non_exhaustive]
        pub enum $enum {
            $($(#[$doc])* $variant,)*
        }

        impl $enum {
            /// Every one.
            pub const ALL: &[$enum] = &[$($enum::$variant),*];

            /// The name on the command line.
            pub const fn name(self) -> &'static str {
                match self {
                    $($enum::$variant => $name,)*
                }
            }
        }

        impl std::fmt::Display for $enum {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl std::str::FromStr for $enum {
            type Err = crate::Error;

            fn from_str(name: &str) -> crate::Result<$enum> {
                let found = $enum::ALL.iter().copied().find(|choice| choice.name() == name);
                found.ok_or_else(|| crate::named::unknown($what, name, &[$($name),*]))
            }
        }
    };
}

pub(crate) use named;

/// The error for a name that is none of `names`.
pub(crate) fn unknown(what: &str, name: &str, names: &[&str]) -> crate::Error {
    let names = match names {
        [others @ .., last] if !others.is_empty() => format!("{} and {last}", others.join(", ")),
        _ => names.concat(),
    };
    crate::Error::input(format!("no {what} is called {name:?}; there are {names}"))
}

#[cfg(test)]
mod tests {
    use crate::{IoLayout, Target, WeightsType};

    #[test]
    fn a_choice_is_found_by_its_name() {
        for target in Target::ALL {
            assert_eq!(target.to_string().parse::<Target>().unwrap(), *target);
        }
        for layout in IoLayout::ALL {
            assert_eq!(layout.to_string().parse::<IoLayout>().unwrap(), *layout);
        }
        let error = "caffe".parse::<Target>().unwrap_err();
        assert_eq!(error.message(), "no target is called \"caffe\"; there are onnxruntime and tract");
        let error = "F16".parse::<WeightsType>().unwrap_err();
        assert_eq!(error.message(), "no weights type is called \"F16\"; there are f32, f16 and bf16");
    }
}
