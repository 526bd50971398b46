//! The numbered tables of PROTOCOL.md: frame types, error codes, close reasons, capabilities and small enums.
//!
//! One macro makes the type, its `Display`, its wire form and the rows that a test compares with the document, so that
//! code and document cannot drift apart.

/// One row of a numbered table, as PROTOCOL.md prints it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The number on the wire.
    pub number: u64,
    /// The name in the document and in messages to people.
    pub name: &'static str,
    /// One sentence: when it is used.
    pub meaning: &'static str,
}

/// Makes an enum whose numbers, names and meanings come from one place.
macro_rules! table {
    (
        $(#[$doc:meta])*
        $vis:vis enum $enum:ident: $repr:ident {
            $( $number:literal $variant:ident $name:literal $meaning:literal )*
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr($repr)]
        $vis enum $enum {
            $( #[doc = $meaning] $variant = $number, )*
        }

        impl $enum {
            /// Every value in the order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The rows of PROTOCOL.md's table.
            pub const TABLE: &'static [$crate::wire::Row] = &[
                $( $crate::wire::Row { number: $number, name: $name, meaning: $meaning } ),*
            ];

            /// The value of this number, if there is one.
            #[must_use]
            #[inline]
            pub fn from_number(number: $repr) -> Option<Self> {
                match number {
                    $( $number => Some(Self::$variant), )*
                    _ => None,
                }
            }

            /// The number on the wire.
            #[must_use]
            #[inline]
            pub const fn number(self) -> $repr {
                self as $repr
            }

            /// The name in PROTOCOL.md: lower case, words joined by `_`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $( Self::$variant => $name, )*
                }
            }

            /// When it is used, in one sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self {
                    $( Self::$variant => $meaning, )*
                }
            }
        }

        impl core::fmt::Display for $enum {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl<'a> $crate::wire::Wire<'a> for $enum {
            fn decode(
                reader: &mut $crate::wire::Reader<'a>,
                field: &'static str,
            ) -> Result<Self, $crate::wire::WireError> {
                let number = <$repr as $crate::wire::Wire<'a>>::decode(reader, field)?;
                Self::from_number(number)
                    .ok_or($crate::wire::WireError::UnknownValue { field, value: number.into() })
            }
            fn encode(&self, out: &mut impl bytes::BufMut) {
                self.number().encode(out);
            }
            fn encoded_len(&self) -> usize {
                core::mem::size_of::<$repr>()
            }
        }
    };
}

pub(super) use table;
