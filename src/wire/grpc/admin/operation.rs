//! What the service works with, for administrators: text messages and keys.

use super::Admin;
use crate::{
    error::Error,
    flow::{
        admin,
        keys::{ColumnStatus, KeyStatus},
    },
    seal::WrappedKey,
    store::SmsPrefix,
    wire::{
        grpc::{Admitted, convert::timestamp},
        pb,
    },
};

impl Admin {
    pub(super) async fn sms_usage(
        &self,
        admitted: &Admitted<pb::GetSmsUsageRequest>,
    ) -> Result<pb::GetSmsUsageResponse, Error> {
        let Some((status, budget)) = admin::sms_usage(&self.kit, &admitted.call).await? else {
            return Ok(pb::GetSmsUsageResponse::default());
        };
        Ok(pb::GetSmsUsageResponse {
            configured: true,
            sent_messages: status.sent,
            daily_budget: budget.into(),
            running_low: status.is_alarming,
            prefixes: status.prefixes.into_iter().map(prefix).collect(),
        })
    }

    pub(super) async fn keys(&self, admitted: &Admitted<pb::ListKeysRequest>) -> Result<pb::ListKeysResponse, Error> {
        let status = admin::list_keys(&self.kit, &admitted.call).await?;
        let keys = status.keys.iter().map(|one| key(one, &status)).collect();
        let replicas = count(status.replicas.len());
        Ok(pb::ListKeysResponse { keys, replicas, sealed_values: status.columns.into_iter().map(values).collect() })
    }
}

fn prefix((prefix, closed): (SmsPrefix, bool)) -> pb::SmsPrefixUsage {
    pb::SmsPrefixUsage {
        prefix: prefix.prefix,
        sent_messages: prefix.sent,
        verified_codes: prefix.verified,
        closed,
        end_time: Some(timestamp(prefix.end_time)),
    }
}

fn key(key: &WrappedKey, status: &KeyStatus) -> pb::Key {
    let holders = status.replicas.iter().filter(|replica| replica.held.holds.contains(&key.id)).count();
    pb::Key {
        key_id: key.id.clone(),
        r#use: key.key_use.as_str().to_owned(),
        state: key.state.as_str().to_owned(),
        create_time: Some(timestamp(key.create_time)),
        active_time: key.active_time.map(timestamp),
        root_key_id: key.root_id.clone(),
        holding_replicas: count(holders),
    }
}

fn values(status: ColumnStatus) -> pb::SealedValues {
    pb::SealedValues {
        column: status.column.name().to_owned(),
        key_id: status.key_id,
        count: i64::try_from(status.left).unwrap_or(i64::MAX),
    }
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
