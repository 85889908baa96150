//! Ids: a kind each, so that one cannot be taken for another. UUID version 7 inside, prefix and 32 hexadecimal digits outside.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::{NoContext, Uuid};

use crate::{clock::Timestamp, secret};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name(Uuid);

        impl $name {
            /// A new id; ids made later sort later.
            pub fn new(now: Timestamp) -> Self {
                let millis = u64::try_from(now.millis()).unwrap_or(0);
                let nanos = u32::try_from(millis % 1000 * 1_000_000).unwrap_or(0);
                Self(Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, millis / 1000, nanos)))
            }

            /// The id that a stored UUID stands for.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID inside.
            pub const fn uuid(&self) -> Uuid {
                self.0
            }

            /// The id with these bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// Its bytes.
            pub const fn bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0.simple())
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }

        impl TryFrom<String> for $name {
            type Error = &'static str;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl FromStr for $name {
            type Err = &'static str;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                const EXPECTED: &str = concat!("must be ", $prefix, " and 32 lower-case hexadecimal digits.");
                let digits = text.strip_prefix($prefix).ok_or(EXPECTED)?;
                let canonical = digits.len() == 32 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
                let uuid = Uuid::try_parse(digits).ok().filter(|_| canonical).ok_or(EXPECTED)?;
                Ok(Self(uuid))
            }
        }
    };
}

id! {
    /// Id of an account.
    UserId, "usr_"
}
id! {
    /// Id of an enrolled factor.
    FactorId, "fac_"
}
id! {
    /// Id of a session; the `sid` claim.
    SessionId, "ses_"
}
id! {
    /// Id of an access token; the `jti` claim.
    TokenId, "tok_"
}
id! {
    /// Id of an audit row.
    AuditEventId, "evt_"
}
id! {
    /// Id of what is handed over to the outside.
    DeliveryId, "dlv_"
}
id! {
    /// Id of a request that came without one.
    RequestId, "req_"
}

impl AuditEventId {
    /// The id of the so-many-th record of a transaction: they sort as they were made.
    pub fn nth(now: Timestamp, n: u16) -> anyhow::Result<Self> {
        let mut rest = secret::random::<10>()?;
        let [high, low] = n.to_be_bytes();
        (rest[0], rest[1]) = (high, low);
        let millis = u64::try_from(now.millis()).unwrap_or(0);
        Ok(Self(uuid::Builder::from_unix_timestamp_millis(millis, &rest).into_uuid()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_only_in_its_own_canonical_form() {
        let id = UserId::new(Timestamp::from_seconds(1_800_000_000));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(id.to_string().to_uppercase().parse::<UserId>().is_err());
        assert!(id.to_string().parse::<SessionId>().is_err());
        assert!(format!("usr_{}", id.uuid().hyphenated()).parse::<UserId>().is_err());
    }

    #[test]
    fn records_of_one_transaction_sort_as_they_were_made() -> anyhow::Result<()> {
        let now = Timestamp::from_seconds(1_800_000_000);
        let ids = (0..300).map(|n| AuditEventId::nth(now, n)).collect::<anyhow::Result<Vec<_>>>()?;
        assert!(ids.is_sorted());
        assert_eq!(ids[0].uuid().get_version_num(), 7);
        assert!(ids[0].uuid().to_string()[..13] == AuditEventId::new(now).uuid().to_string()[..13]);
        Ok(())
    }
}
