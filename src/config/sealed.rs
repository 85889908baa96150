//! Texts of the configuration that may be secrets, and records that hold some: none of them can be printed.

use crate::secret::Secret;

/// A text that may be a secret.
pub struct Sealed(Secret<String>);

impl Sealed {
    /// Takes a text into custody.
    pub(super) fn new(text: String) -> Self {
        Self(Secret::new(text))
    }

    /// The text, to be used on the spot.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl Clone for Sealed {
    fn clone(&self) -> Self {
        Self(Secret::new(self.expose().to_owned()))
    }
}

/// Records that show their name alone.
macro_rules! unprintable {
    ($($record:ident),+) => {
        $(impl std::fmt::Debug for $record {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(stringify!($record))
            }
        })+
    };
}

unprintable!(Sealed);

pub(super) use unprintable;
