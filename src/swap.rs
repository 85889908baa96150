//! The answer of a compare-and-swap: a word that cannot be dropped by accident, as a bool can.

/// Whether a conditional change took place.
#[must_use = "a dropped Swap lets a lost race pass for a won one"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swap {
    /// The condition held and the change is made.
    Done,
    /// The condition did not hold; nothing was changed.
    Stale,
}

impl Swap {
    /// Reads the answer off the number of rows that a conditional statement changed.
    pub fn from_rows(rows_affected: u64) -> Self {
        if rows_affected == 0 { Self::Stale } else { Self::Done }
    }
}
