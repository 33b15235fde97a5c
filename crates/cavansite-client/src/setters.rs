//! `with_…` methods for structs that nobody outside can write as literals.

/// Declares setters of optional fields: `name(field: type of its value)`.
macro_rules! setters {
    ($type:ident { $($setter:ident($field:ident: $value:ty),)+ }) => {
        impl $type {
            $(
                #[doc = concat!("Sets [`Self::", stringify!($field), "`].")]
                #[must_use]
                pub fn $setter(mut self, value: impl Into<$value>) -> Self {
                    self.$field = Some(value.into());
                    self
                }
            )+
        }
    };
}

pub(crate) use setters;
