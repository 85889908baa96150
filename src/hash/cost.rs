//! What a hash costs.

use anyhow::anyhow;
use argon2::Params;

use crate::config::PasswordCost;

/// What a new hash costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Memory in KiB.
    pub memory: u32,
    /// Passes over it.
    pub passes: u32,
}

impl Cost {
    /// OWASP's first recommendation: 19 MiB, two passes.
    pub const DEFAULT: Self = Self { memory: 19 * 1024, passes: 2 };
    pub(super) const LANES: u32 = 1;

    /// What this costs more than another, as a hash of its own; None = nothing.
    pub(super) fn beyond(self, less: Self) -> Option<Self> {
        let work = |cost: Self| u64::from(cost.memory) * u64::from(cost.passes);
        let memory = work(self).saturating_sub(work(less)) / u64::from(self.passes.max(1));
        let memory = u32::try_from(memory).ok().filter(|memory| *memory >= Params::MIN_M_COST)?;
        Some(Self { memory, passes: self.passes })
    }

    pub(super) fn params(self) -> anyhow::Result<Params> {
        params(self.memory, self.passes, Self::LANES)
    }
}

/// What new hashes cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Costs {
    /// Of passwords: each hash says what it has cost.
    pub passwords: Cost,
    /// Of codes, whose hashes do not say it: it never changes.
    pub digests: Cost,
}

impl From<PasswordCost> for Costs {
    fn from(PasswordCost { memory, passes }: PasswordCost) -> Self {
        Self { passwords: Cost { memory, passes }, digests: Cost::DEFAULT }
    }
}

impl From<Cost> for Costs {
    fn from(cost: Cost) -> Self {
        Self { passwords: cost, digests: cost }
    }
}

pub(super) fn params(memory: u32, passes: u32, lanes: u32) -> anyhow::Result<Params> {
    Params::new(memory, passes, lanes, Some(32)).map_err(|fault| anyhow!("bad Argon2 parameters: {fault}"))
}
