//! One macro that turns a list of fields into a frame body.

/// Makes a plain struct of fields that implement [`Wire`](super::Wire): the fields in order are the encoding.
///
/// `frame Type` makes a frame body, `part` a piece that occurs inside of other frames.
macro_rules! body {
    ($(#[$doc:meta])* frame $ty:ident $name:ident $(<$life:lifetime>)? { $( $(#[$fdoc:meta])* $field:ident: $fty:ty, )* }) => {
        $crate::wire::body::body! { @struct $(#[$doc])* $name $(<$life>)? { $( $(#[$fdoc])* $field: $fty, )* } }

        impl<'a> $crate::wire::Body<'a> for $name $(<$life>)? {
            const TYPE: $crate::wire::FrameType = $crate::wire::FrameType::$ty;

            #[inline]
            fn decode_body(body: &'a [u8]) -> Result<Self, $crate::wire::WireError> {
                #[allow(unused_mut, reason = "a body may have no field")]
                let mut reader = $crate::wire::Reader::new(body);
                let value = Self {
                    $( $field: <$fty as $crate::wire::Wire<'a>>::decode(&mut reader, stringify!($field))?, )*
                };
                reader.finish()?;
                Ok(value)
            }

            #[inline]
            fn encode_body(&self, _out: &mut impl bytes::BufMut) {
                $( $crate::wire::Wire::encode(&self.$field, _out); )*
            }

            #[inline]
            fn body_len(&self) -> usize {
                0 $( + $crate::wire::Wire::encoded_len(&self.$field) )*
            }
        }
    };
    ($(#[$doc:meta])* part $name:ident $(<$life:lifetime>)? { $( $(#[$fdoc:meta])* $field:ident: $fty:ty, )* }) => {
        $crate::wire::body::body! { @struct $(#[$doc])* $name $(<$life>)? { $( $(#[$fdoc])* $field: $fty, )* } }

        impl<'a> $crate::wire::Wire<'a> for $name $(<$life>)? {
            fn decode(
                reader: &mut $crate::wire::Reader<'a>,
                _: &'static str,
            ) -> Result<Self, $crate::wire::WireError> {
                Ok(Self {
                    $( $field: <$fty as $crate::wire::Wire<'a>>::decode(reader, stringify!($field))?, )*
                })
            }
            fn encode(&self, out: &mut impl bytes::BufMut) {
                $( $crate::wire::Wire::encode(&self.$field, out); )*
            }
            fn encoded_len(&self) -> usize {
                0 $( + $crate::wire::Wire::encoded_len(&self.$field) )*
            }
        }
    };
    (@struct $(#[$doc:meta])* $name:ident $(<$life:lifetime>)? { $( $(#[$fdoc:meta])* $field:ident: $fty:ty, )* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub struct $name $(<$life>)? {
            $( $(#[$fdoc])* pub $field: $fty, )*
        }
    };
}

pub(super) use body;
