//! Where the stores are, read from their URLs. What a driver makes of the rest of a URL is told when it is opened.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use url::Url;

use crate::secret::Secret;

/// Where the database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseAddress {
    /// A file of this machine.
    Sqlite(PathBuf),
    /// A PostgreSQL server.
    Postgres(SecretUrl),
    /// A MySQL or MariaDB server.
    Mysql(SecretUrl),
}

/// Where the ephemeral store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisAddress {
    /// In this process.
    Embedded,
    /// One server, with the replicas that follow it unseen.
    Single(SecretUrl),
    /// Some nodes of a cluster, which know the others.
    Cluster(Vec<SecretUrl>),
    /// Sentinels, which know who is the master.
    Sentinel(Sentinel),
}

/// Sentinels, and what the servers that they name are opened with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentinel {
    /// Host and port of each.
    pub sentinels: Vec<String>,
    /// The name that they know the master by.
    pub master: String,
    /// `user:password@` for the servers; may be empty.
    pub login: SecretUrl,
    /// Whether all of them speak TLS.
    pub tls: bool,
}

/// A URL that may hold a password: it is shown to nobody.
#[derive(Clone)]
pub struct SecretUrl(Arc<Secret<String>>);

impl SecretUrl {
    /// Takes a URL into custody.
    pub fn new(url: String) -> Self {
        Self(Arc::new(Secret::new(url)))
    }

    /// The URL, to be used on the spot.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"***\"")
    }
}

impl PartialEq for SecretUrl {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for SecretUrl {}

const DATABASE_FORMS: &str =
    "write sqlite:path/to/file.db, postgres://user:password@host/database or mysql://user:password@host/database";
const REDIS_FORMS: &str = "write embedded, redis://host:6379, rediss://host:6379 for TLS, several of these with commas between \
                           them for a cluster, or redis+sentinel://host:26379,host:26379/master-name";

const POSTGRES_PARAMETERS: [&str; 5] = ["sslmode", "sslrootcert", "sslcert", "sslkey", "options"];
const MYSQL_PARAMETERS: [&str; 4] = ["ssl-mode", "ssl-ca", "ssl-cert", "ssl-key"];

pub(super) fn database(url: &str, data_dir: &Path) -> Result<DatabaseAddress, String> {
    if url.is_empty() {
        return Ok(DatabaseAddress::Sqlite(data_dir.join("countersign.db")));
    }
    let (scheme, rest) = url.split_once(':').ok_or_else(|| format!("has no scheme; {DATABASE_FORMS}"))?;
    match scheme {
        "sqlite" => sqlite(rest).map(DatabaseAddress::Sqlite),
        // The driver knows one name for each.
        "postgres" | "postgresql" => database_server("postgres", rest).map(DatabaseAddress::Postgres),
        "mysql" | "mariadb" => database_server("mysql", rest).map(DatabaseAddress::Mysql),
        _ => Err(format!("the scheme {scheme:?} is not known; {DATABASE_FORMS}")),
    }
}

fn sqlite(rest: &str) -> Result<PathBuf, String> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path.contains('?') {
        return Err("takes no parameters; write sqlite:path/to/file.db".to_owned());
    }
    if path.is_empty() || path == ":memory:" {
        return Err(
            "must name a file, so that nothing is lost with the process; write sqlite:path/to/file.db".to_owned()
        );
    }
    Ok(PathBuf::from(path))
}

fn database_server(scheme: &str, rest: &str) -> Result<SecretUrl, String> {
    let text = format!("{scheme}:{rest}");
    // What the parser says of a URL may quote it, and with it the password.
    let url = Url::parse(&text).map_err(|_| {
        format!("is no URL; percent-encode what is not a letter or a digit in user and password; {DATABASE_FORMS}")
    })?;
    if url.host_str().is_none_or(str::is_empty) || url.path().trim_start_matches('/').is_empty() {
        return Err(format!("must name a host and a database; {DATABASE_FORMS}"));
    }
    is_checked(scheme, &url)?;
    // The drivers pass over what they do not know: a misspelt demand for TLS would be none.
    let known: &[&str] = if scheme == "postgres" { &POSTGRES_PARAMETERS } else { &MYSQL_PARAMETERS };
    match url.query_pairs().find(|(name, _)| !known.contains(&name.as_ref())) {
        Some((name, _)) => Err(format!("has a parameter {name:?} that is not known; known are {}", known.join(", "))),
        None if url.fragment().is_some() => {
            Err("holds a #; percent-encode it (%23) where it belongs to the password".to_owned())
        }
        None => Ok(SecretUrl::new(text)),
    }
}

/// Refuses what looks like a check of the server's certificate and is none. The drivers believe public authorities beside the one that is
/// named, so a certificate without a look at its name could be anybody's.
fn is_checked(scheme: &str, url: &Url) -> Result<(), String> {
    let value = |wanted: &str| url.query_pairs().find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned());
    let (mode_name, ca_name, full, weak) = match scheme {
        "postgres" => ("sslmode", "sslrootcert", "verify-full", ["allow", "verify-ca"]),
        _ => ("ssl-mode", "ssl-ca", "verify_identity", ["", "verify_ca"]),
    };
    let mode = value(mode_name).map(|mode| mode.to_ascii_lowercase());
    let full_text = if scheme == "postgres" { full.to_owned() } else { full.to_ascii_uppercase() };
    match mode.as_deref() {
        Some(mode) if weak.contains(&mode) => {
            Err(format!("{mode_name} does not look at whose certificate it is; write {mode_name}={full_text}"))
        }
        mode if value(ca_name).is_some() && mode != Some(full) => {
            Err(format!("{ca_name} is not looked at without {mode_name}={full_text}; write that too"))
        }
        _ => Ok(()),
    }
}

pub(super) fn redis(url: &str) -> Result<RedisAddress, String> {
    if url == "embedded" {
        return Ok(RedisAddress::Embedded);
    }
    for (scheme, tls) in [("redis+sentinel://", false), ("rediss+sentinel://", true)] {
        if let Some(rest) = url.strip_prefix(scheme) {
            return sentinel(rest, tls).map(RedisAddress::Sentinel);
        }
    }
    let nodes = url.split(',').map(|node| redis_server(node.trim())).collect::<Result<Vec<_>, _>>()?;
    match nodes.as_slice() {
        [node] => Ok(RedisAddress::Single(node.clone())),
        _ => Ok(RedisAddress::Cluster(nodes)),
    }
}

fn redis_server(text: &str) -> Result<SecretUrl, String> {
    // What stands before the colon may be a password by mistake: nothing of the text is quoted.
    if !text.starts_with("redis://") && !text.starts_with("rediss://") {
        return Err(format!("has no scheme that is known; {REDIS_FORMS}"));
    }
    match Url::parse(text) {
        Ok(url) if url.host_str().is_some_and(|host| !host.is_empty()) => Ok(SecretUrl::new(text.to_owned())),
        Ok(_) => Err(format!("must name a host; {REDIS_FORMS}")),
        Err(_) => Err(format!(
            "is no URL; percent-encode what is not a letter or a digit in user and password; {REDIS_FORMS}"
        )),
    }
}

fn sentinel(rest: &str, tls: bool) -> Result<Sentinel, String> {
    let missing = || format!("must name the sentinels and the master; {REDIS_FORMS}");
    let (authority, master) = rest.split_once('/').ok_or_else(missing)?;
    let (login, hosts) = authority.rsplit_once('@').map_or(("", authority), |(login, hosts)| (login, hosts));
    let login = if login.is_empty() { String::new() } else { format!("{login}@") };
    let sentinels: Vec<_> = hosts.split(',').map(|host| host.trim().to_owned()).collect();
    if master.is_empty() || master.contains(['/', '?']) || sentinels.iter().any(String::is_empty) {
        return Err(missing());
    }
    Ok(Sentinel { sentinels, master: master.to_owned(), login: SecretUrl::new(login), tls })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_of_a_redis_url_is_read_as_what_it_is() {
        let url = |text: &str| SecretUrl::new(text.to_owned());
        assert_eq!(redis("embedded"), Ok(RedisAddress::Embedded));
        assert_eq!(redis("rediss://u:p@h:1/0"), Ok(RedisAddress::Single(url("rediss://u:p@h:1/0"))));
        let cluster = RedisAddress::Cluster(vec![url("redis://a:1"), url("redis://b:2")]);
        assert_eq!(redis("redis://a:1, redis://b:2"), Ok(cluster));
        let sentinel = Sentinel {
            sentinels: vec!["a:1".to_owned(), "b:2".to_owned()],
            master: "main".to_owned(),
            login: url("u:p@w@"),
            tls: true,
        };
        assert_eq!(redis("rediss+sentinel://u:p@w@a:1,b:2/main"), Ok(RedisAddress::Sentinel(sentinel)));
        for wrong in ["", "localhost", "http://a", "redis://", "redis+sentinel://a:1", "redis://a,b", "redis://:x@a:b"]
        {
            assert!(redis(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_database_server_is_named_with_its_database() {
        let here = Path::new("data");
        let url = |text: &str| SecretUrl::new(text.to_owned());
        assert_eq!(
            database("postgresql://u:p@h:1/d?sslmode=require", here),
            Ok(DatabaseAddress::Postgres(url("postgres://u:p@h:1/d?sslmode=require")))
        );
        assert_eq!(database("mariadb://u@h/d", here), Ok(DatabaseAddress::Mysql(url("mysql://u@h/d"))));
        for wrong in ["postgres://h", "postgres://h/", "mysql:///d", "oracle://h/d", "postgres", "sqlite::memory:"] {
            assert!(database(wrong, here).is_err(), "{wrong}");
        }
        for misspelt in ["mysql://h/d?ssl_mode=VERIFY_CA", "postgres://h/d?ssl-mode=require", "mysql://h/d?tls=true"] {
            assert!(database(misspelt, here).is_err_and(|told| told.contains("not known")), "{misspelt}");
        }
    }

    #[test]
    fn what_looks_like_a_check_of_a_certificate_is_one() {
        let opens = |url: &str| database(url, Path::new("data")).is_ok();
        for weak in [
            "postgres://h/d?sslmode=allow",
            "postgres://h/d?sslmode=verify-ca&sslrootcert=ca.pem",
            "postgres://h/d?sslrootcert=ca.pem",
            "postgres://h/d?sslmode=require&sslrootcert=ca.pem",
            "mysql://h/d?ssl-mode=VERIFY_CA",
            "mysql://h/d?ssl-ca=ca.pem",
            "mysql://h/d?ssl-mode=REQUIRED&ssl-ca=ca.pem",
        ] {
            assert!(!opens(weak), "{weak}");
        }
        for good in [
            "postgres://h/d?sslmode=verify-full&sslrootcert=ca.pem",
            "postgres://h/d?sslmode=require",
            "mysql://h/d?ssl-mode=VERIFY_IDENTITY&ssl-ca=ca.pem",
            "mysql://h/d?ssl-mode=verify_identity",
            "mysql://h/d",
        ] {
            assert!(opens(good), "{good}");
        }
    }

    #[test]
    fn a_password_that_breaks_its_url_is_not_quoted() {
        for broken in [
            "postgres://u:hunter#2@h/d",
            "postgres://u:hunter/2@h/d",
            "mysql://u:hunter?2@h/d",
            "mysql://u:hunter2@h:x/d",
        ] {
            let told = database(broken, Path::new("")).err();
            assert!(told.as_ref().is_some_and(|told| !told.contains("hunter")), "{told:?}");
        }
    }

    #[test]
    fn a_url_is_shown_to_nobody() {
        let address = database("postgres://u:hunter2@h/d", Path::new("")).unwrap_or(DatabaseAddress::Sqlite("".into()));
        assert_eq!(format!("{address:?}"), "Postgres(\"***\")");
    }
}
