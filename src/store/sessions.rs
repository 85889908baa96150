//! Sessions and their refresh tokens.

use anyhow::Context;
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, ExprTrait, FromQueryResult, JoinType, QueryFilter,
    QueryOrder, QuerySelect, QueryTrait, RelationDef, Select, Statement, Value,
    sea_query::{Expr, Query},
};
use uuid::Uuid;

use super::{
    Store, Tx,
    entity::{factor, session, user},
    outage, undamaged,
};
use crate::{
    clock::Timestamp,
    error::Error,
    model::{
        Acr, Amr, LiveSession, Method, NewSession, Origin, Proof, RefreshState, Role, Session, SessionDetails,
        SessionId, UserId,
    },
    seal::Place,
    secret::Secret,
    swap::Swap,
};

/// What a rotation writes.
pub struct Rotation<'a> {
    /// Hash of the token that was shown, which must still be the good one.
    pub from: &'a [u8; 32],
    /// Hash of the token that takes its place.
    pub to: &'a [u8; 32],
    /// That token, to be sealed for whoever loses the answer.
    pub successor: &'a Secret<String>,
    /// Until when that token is given again.
    pub successor_end_time: Timestamp,
    /// The session then ends at this moment unless it is refreshed again.
    pub idle_end_time: Timestamp,
}

/// The query for a session with its account. Every call with a token asks it, so it is built once.
pub(super) struct LiveQuery(Statement);

#[derive(FromQueryResult)]
struct LiveRow {
    id: Uuid,
    user_id: Uuid,
    auth_time: i64,
    amr: String,
    factor_count: i16,
    idle_end_time: i64,
    end_time: i64,
    role: String,
    blocked: bool,
    has_factor: bool,
    create_time: i64,
    role_time: i64,
}

impl Store {
    /// A session with what its account is now, in one read by primary key. It may have run out.
    pub async fn find_live_session(&self, id: SessionId) -> Result<Option<LiveSession>, Error> {
        self.live.find(&self.reader, id).await
    }

    /// At most `count` sessions of an account that have not run out, newest first, from the one after `after` on.
    pub async fn sessions(
        &self,
        user: UserId,
        after: Option<SessionId>,
        count: u64,
        now: Timestamp,
    ) -> Result<Vec<SessionDetails>, Error> {
        let mut own = session::Entity::find()
            .filter(session::Column::UserId.eq(user.uuid()))
            .filter(session::Column::IdleEndTime.gt(now.millis()));
        if let Some(after) = after {
            own = own.filter(session::Column::Id.lt(after.uuid()));
        }
        let rows = own.order_by_desc(session::Column::Id).limit(count).all(&self.reader).await.map_err(outage)?;
        Ok(rows.into_iter().map(details).collect())
    }
}

impl Tx {
    /// A session with what its account is now. It may have run out.
    pub async fn find_live_session(&self, id: SessionId) -> Result<Option<LiveSession>, Error> {
        self.live.find(&self.inner, id).await
    }

    /// Opens a session.
    pub async fn insert_session(&self, new: &NewSession, origin: &Origin, now: Timestamp) -> Result<(), Error> {
        let row = session::ActiveModel {
            id: Set(new.session.id.uuid()),
            user_id: Set(new.session.user.uuid()),
            auth_time: Set(new.session.proof.auth_time.millis()),
            amr: Set(new.session.proof.amr.to_line()),
            factor_count: Set(factor_count(new.session.proof.acr)),
            create_time: Set(now.millis()),
            refresh_time: NotSet,
            idle_end_time: Set(new.session.idle_end_time.millis()),
            end_time: Set(new.session.end_time.millis()),
            refresh_family: Set(new.family_hash.to_vec()),
            refresh_hash: Set(new.refresh_hash.to_vec()),
            refresh_previous_hash: NotSet,
            successor: NotSet,
            successor_end_time: NotSet,
            source: Set(origin.source.to_string()),
            user_agent: Set(origin.user_agent.as_bytes().to_vec()),
        };
        session::Entity::insert(row).exec_without_returning(&self.inner).await.map_err(outage)?;
        Ok(())
    }

    /// Sets how a session was proven; Stale when the session has ended.
    pub async fn save_proof(&self, id: SessionId, proof: &Proof) -> Result<Swap, Error> {
        let done = session::Entity::update_many()
            .col_expr(session::Column::AuthTime, Expr::val(proof.auth_time.millis()))
            .col_expr(session::Column::Amr, Expr::val(proof.amr.to_line()))
            .col_expr(session::Column::FactorCount, Expr::val(factor_count(proof.acr)))
            .filter(session::Column::Id.eq(id.uuid()))
            .exec(&self.inner)
            .await
            .map_err(outage)?;
        Ok(Swap::from_rows(done.rows_affected))
    }

    /// The refresh tokens of a session.
    pub async fn find_refresh_state(&self, id: SessionId) -> Result<Option<RefreshState>, Error> {
        let row = session::Entity::find_by_id(id.uuid()).one(&self.inner).await.map_err(outage)?;
        row.map(refresh_state).transpose()
    }

    /// Puts a new refresh token in the place of the one that was shown; Stale when that one is no longer the good one.
    pub async fn rotate_refresh_token(
        &self,
        session: &Session,
        rotation: &Rotation<'_>,
        now: Timestamp,
    ) -> Result<Swap, Error> {
        let sealed = self.ring.seal(successor_place(session), rotation.successor.expose().as_bytes())?;
        let done = session::Entity::update_many()
            .col_expr(session::Column::RefreshHash, Expr::val(rotation.to.to_vec()))
            .col_expr(session::Column::RefreshPreviousHash, Expr::val(rotation.from.to_vec()))
            .col_expr(session::Column::RefreshTime, Expr::val(now.millis()))
            .col_expr(session::Column::Successor, Expr::val(sealed))
            .col_expr(session::Column::SuccessorEndTime, Expr::val(rotation.successor_end_time.millis()))
            .col_expr(session::Column::IdleEndTime, Expr::val(rotation.idle_end_time.millis()))
            .filter(session::Column::Id.eq(session.id.uuid()))
            .filter(session::Column::RefreshHash.eq(rotation.from.to_vec()))
            .exec(&self.inner)
            .await
            .map_err(outage)?;
        Ok(Swap::from_rows(done.rows_affected))
    }

    /// Opens the successor that a rotation has kept; None = it does not open.
    pub fn open_successor(&self, session: &Session, sealed: &[u8]) -> Result<Option<Secret<String>>, Error> {
        let opened = self.ring.open(successor_place(session), sealed).map_err(Error::from);
        let text = undamaged(opened)?.map(|plain| String::from_utf8(plain.expose().clone()));
        Ok(text.transpose().ok().flatten().map(Secret::new))
    }

    /// Ends one session of an account; Stale when it has ended.
    pub async fn delete_session(&self, user: UserId, id: SessionId) -> Result<Swap, Error> {
        let done = session::Entity::delete_many()
            .filter(session::Column::Id.eq(id.uuid()))
            .filter(session::Column::UserId.eq(user.uuid()))
            .exec(&self.inner)
            .await
            .map_err(outage)?;
        Ok(Swap::from_rows(done.rows_affected))
    }

    /// Ends a session that one factor was proven in; Stale when it has ended, or a second factor was proven meanwhile.
    pub async fn delete_short_session(&self, user: UserId, id: SessionId) -> Result<Swap, Error> {
        let done = session::Entity::delete_many()
            .filter(session::Column::Id.eq(id.uuid()))
            .filter(session::Column::UserId.eq(user.uuid()))
            .filter(session::Column::FactorCount.lt(factor_count(Acr::Two)))
            .exec(&self.inner)
            .await
            .map_err(outage)?;
        Ok(Swap::from_rows(done.rows_affected))
    }

    /// Ends every session of an account but `kept`; answers how many.
    pub async fn delete_sessions(&self, user: UserId, kept: Option<SessionId>) -> Result<u64, Error> {
        let mut others = session::Entity::delete_many().filter(session::Column::UserId.eq(user.uuid()));
        if let Some(kept) = kept {
            others = others.filter(session::Column::Id.ne(kept.uuid()));
        }
        Ok(others.exec(&self.inner).await.map_err(outage)?.rows_affected)
    }
}

impl LiveQuery {
    /// The query as this database wants it.
    pub(super) fn new(backend: DbBackend) -> Self {
        Self(backend.build(&live(Uuid::nil()).into_query()))
    }

    async fn find(&self, connection: &impl ConnectionTrait, id: SessionId) -> Result<Option<LiveSession>, Error> {
        let mut statement = self.0.clone();
        for value in statement.values.iter_mut().flat_map(|values| &mut values.0) {
            if matches!(value, Value::Uuid(_)) {
                *value = id.uuid().into();
            }
        }
        let row = LiveRow::find_by_statement(statement).one(connection).await.map_err(outage)?;
        row.map(live_session).transpose()
    }
}

fn live(id: Uuid) -> Select<session::Entity> {
    let owner: RelationDef =
        session::Entity::belongs_to(user::Entity).from(session::Column::UserId).to(user::Column::Id).into();
    let any_factor = Query::select()
        .expr(Expr::val(1))
        .from(factor::Entity)
        .and_where(
            Expr::col((factor::Entity, factor::Column::UserId)).equals((session::Entity, session::Column::UserId)),
        )
        // Backup codes stand in for a factor; they are none.
        .and_where(factor::Column::Method.ne(Method::BackupCode.as_str()))
        .to_owned();
    session::Entity::find_by_id(id)
        .select_only()
        .columns([
            session::Column::Id,
            session::Column::UserId,
            session::Column::AuthTime,
            session::Column::Amr,
            session::Column::FactorCount,
            session::Column::IdleEndTime,
            session::Column::EndTime,
        ])
        .columns([user::Column::Role, user::Column::Blocked])
        .columns([user::Column::CreateTime, user::Column::RoleTime])
        .expr_as(Expr::exists(any_factor), "has_factor")
        .join(JoinType::InnerJoin, owner)
}

fn details(row: session::Model) -> SessionDetails {
    let session = Session {
        id: SessionId::from_uuid(row.id),
        user: UserId::from_uuid(row.user_id),
        proof: proof(row.auth_time, &row.amr, row.factor_count),
        idle_end_time: Timestamp::from_millis(row.idle_end_time),
        end_time: Timestamp::from_millis(row.end_time),
    };
    SessionDetails {
        session,
        create_time: Timestamp::from_millis(row.create_time),
        refresh_time: row.refresh_time.map(Timestamp::from_millis),
        source: row.source,
        user_agent: String::from_utf8_lossy(&row.user_agent).into_owned(),
    }
}

fn proof(auth_time: i64, amr: &str, factor_count: i16) -> Proof {
    let acr = if factor_count >= 2 { Acr::Two } else { Acr::One };
    Proof { auth_time: Timestamp::from_millis(auth_time), amr: Amr::from_line(amr), acr }
}

fn live_session(row: LiveRow) -> Result<LiveSession, Error> {
    let proof = proof(row.auth_time, &row.amr, row.factor_count);
    let session = Session {
        id: SessionId::from_uuid(row.id),
        user: UserId::from_uuid(row.user_id),
        proof,
        idle_end_time: Timestamp::from_millis(row.idle_end_time),
        end_time: Timestamp::from_millis(row.end_time),
    };
    let role = Role::from_word(&row.role).context("a stored role is unknown")?;
    let role_time = Timestamp::from_millis(std::cmp::max(row.role_time, row.create_time));
    Ok(LiveSession { session, role, blocked: row.blocked, has_factor: row.has_factor, role_time })
}

fn refresh_state(row: session::Model) -> Result<RefreshState, Error> {
    let hash = |bytes: Vec<u8>| <[u8; 32]>::try_from(bytes).ok().context("a stored hash is not 32 bytes");
    Ok(RefreshState {
        family_hash: hash(row.refresh_family)?,
        current_hash: hash(row.refresh_hash)?,
        previous_hash: row.refresh_previous_hash.map(hash).transpose()?,
        sealed_successor: row.successor,
        successor_end_time: row.successor_end_time.map(Timestamp::from_millis),
    })
}

fn successor_place(session: &Session) -> Place<'_> {
    let (user, row) = (session.user.bytes(), session.id.bytes());
    Place { table: "sessions", column: "successor", user, row }
}

const fn factor_count(acr: Acr) -> i16 {
    match acr {
        Acr::One => 1,
        Acr::Two => 2,
    }
}
