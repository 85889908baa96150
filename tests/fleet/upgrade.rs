//! A rolling upgrade: replicas of this release start on the schema of the release before while people sign in, and that release goes on
//! on what they make of it.

use std::{collections::BTreeMap, fs, process::Stdio};

use migrations::{Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, Statement};

use crate::{
    peek,
    replica::{Fleet, reason},
    rotation::{Load, USERS, people},
    servers::{process::home, redis, sql::Sql},
};

/// What takes this release's migrations back.
const BACK: [&str; 2] =
    ["DROP TABLE restore_fence", "DELETE FROM schema_migrations WHERE version = 'm0013_restore_fence'"];

/// Each column of each table, and whether an insert may leave it out; tables without columns are none.
async fn columns(sql: &Sql, url: &str) -> BTreeMap<(String, String), (String, bool)> {
    let database = peek::open(url).await;
    let schema = if sql.is_postgres() { "current_schema()" } else { "DATABASE()" };
    let query = format!(
        "SELECT CAST(table_name AS CHAR(64)) AS t, CAST(column_name AS CHAR(64)) AS c, CAST(data_type AS CHAR(64)) AS d, \
         CASE WHEN is_nullable = 'YES' OR column_default IS NOT NULL THEN 1 ELSE 0 END AS o \
         FROM information_schema.columns WHERE table_schema = {schema}"
    );
    let rows = database.query_all_raw(Statement::from_string(database.get_database_backend(), query)).await.unwrap();
    database.close().await.unwrap();
    let text = |row: &sea_orm::QueryResult, name| row.try_get::<String>("", name).unwrap().trim().to_owned();
    let column = |row: &sea_orm::QueryResult| {
        ((text(row, "t"), text(row, "c")), (text(row, "d"), row.try_get::<i32>("", "o").unwrap() == 1))
    };
    rows.iter().map(column).collect()
}

/// A database with the first so many migrations.
async fn migrated(sql: &Sql, count: usize) -> String {
    let url = sql.new_database();
    let database = peek::open(&url).await;
    Migrator::up(&database, Some(u32::try_from(count).unwrap())).await.unwrap();
    database.close().await.unwrap();
    url
}

/// Lets the rows of one database be inserted into another by statements that name the columns of the first.
async fn insert_all(sql: &Sql, from: &str, to: &str, tables: &[String]) {
    for table in tables {
        peek::execute(to, &format!("DELETE FROM {table}")).await;
    }
    let (name, place) = (from.rsplit('/').next().unwrap(), home("rows", None));
    let mut dump = sql.dump(from);
    if sql.is_postgres() {
        dump.args(["--data-only", "--column-inserts"]);
    } else {
        dump.args(["--no-create-info", "--complete-insert", "--skip-triggers"]);
    }
    let rows = dump.stdout(Stdio::piped()).output().unwrap();
    assert!(rows.status.success(), "{name}: {}", String::from_utf8_lossy(&rows.stderr));
    let file = place.join("rows.sql");
    fs::write(&file, rows.stdout).unwrap();
    sql.feed(to, &file);
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_start_on_the_schema_before_theirs_while_people_sign_in() {
    let count = Migrator::migrations().len();
    for sql in Sql::shared() {
        let (url, cache) = (sql.new_database(), redis::single());
        let fleet = Fleet::new(&url, &redis::url(&cache));
        let mut replica = fleet.replica().await;
        fleet.add_user("plain@example.com");
        let plain = replica.patient_local_auth("plain@example.com").await;
        let users = people(&fleet, std::slice::from_ref(&replica)).await;
        replica.process.stop("TERM");
        for statement in BACK {
            fleet.execute(statement).await;
        }
        // Which has told Redis nothing of the database.
        redis::cli(&cache, &["FLUSHALL"]);
        let old = migrated(sql, count - 1).await;
        assert_eq!(columns(sql, &url).await, columns(sql, &old).await, "it is as the release before has left it");

        let first = fleet.replica().await;
        let load = Load::start(users, std::slice::from_ref(&first));
        load.go_on().await;
        let others = [fleet.replica().await, fleet.replica().await];
        load.go_on().await;
        assert_eq!(reason(&others[1].refresh(&plain.refresh_token).await), "OK", "sessions of before go on");
        assert!(load.end().await >= 6 * USERS);
        assert_eq!(columns(sql, &url).await, columns(sql, &migrated(sql, count).await).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_release_before_says_to_its_tables_is_good_on_those_of_this_one() {
    let count = Migrator::migrations().len();
    for sql in Sql::shared() {
        let url = sql.new_database();
        let fleet = Fleet::new(&url, &redis::url(redis::shared()));
        let mut replica = fleet.replica().await;
        people(&fleet, std::slice::from_ref(&replica)).await;
        replica.process.stop("TERM");
        for statement in BACK {
            fleet.execute(statement).await;
        }
        let (before, new) = (columns(sql, &url).await, migrated(sql, count).await);
        let after = columns(sql, &new).await;
        let mut tables: Vec<String> = before.keys().map(|(table, _)| table.clone()).collect();
        tables.dedup();
        for (column, kind) in &before {
            assert_eq!(after.get(column), Some(kind), "{column:?} is as it was");
        }
        for (column, (_, is_optional)) in after.iter().filter(|(column, _)| !before.contains_key(*column)) {
            assert!(*is_optional || !tables.contains(&column.0), "{column:?} is one that old inserts leave out");
        }
        insert_all(sql, &url, &new, &tables).await;
        for table in &tables {
            let own = before.keys().filter(|(owner, _)| owner == table);
            let all: Vec<_> =
                own.map(|(_, column)| format!("{} = {}", sql.quoted(column), sql.quoted(column))).collect();
            peek::execute(&new, &format!("UPDATE {table} SET {}", all.join(", "))).await;
            let query = format!("SELECT COUNT(*) AS n FROM {table}");
            assert_eq!(peek::count(&new, &query).await, peek::count(&url, &query).await, "{table}");
        }
    }
}

/// Two binaries: that of the release before, which `tests/previous` builds, and this one.
#[cfg(feature = "previous-release")]
#[tokio::test(flavor = "multi_thread")]
async fn the_release_before_and_this_one_serve_side_by_side_while_one_takes_over() {
    #[allow(clippy::disallowed_methods, reason = "whoever has built it says where it is")]
    let previous = std::env::var("PREVIOUS_RELEASE").expect("PREVIOUS_RELEASE names the binary of the release before");
    for sql in Sql::shared() {
        let mut fleet = Fleet::of(previous.clone().into(), &sql.new_database(), &redis::url(redis::shared()));
        let mut replicas = vec![fleet.replica().await, fleet.replica().await];
        let users = people(&fleet, &replicas).await;
        fleet.upgrade();
        replicas.push(fleet.replica().await);
        // Each signs in at one release and has its token looked at by the other.
        let load = Load::start(users, &replicas);
        load.go_on().await;
        load.go_on().await;
        assert!(load.end().await >= 6 * USERS);
        let signed_in = replicas[0].patient_local_auth("user0@example.com").await;
        for old in &mut replicas[..2] {
            old.process.stop("TERM");
        }
        assert!(signed_in.two_fa_required);
        crate::servers::process::run(&mut fleet.command(&["audit", "verify"]));
    }
}
