//! Database servers that are reached by TLS, with an authority of one's own.

use countersign::store::Look;

use crate::{
    home::server_config,
    servers::{certificates::client_certificate, sql::Sql},
};

/// Whether the database can be looked at by a URL with these parameters.
async fn opens(url: &str, parameters: &str) -> bool {
    let home = tempfile::tempdir().unwrap();
    let config = server_config(&home, &format!("{url}?{parameters}"));
    let Ok(Some(look)) = Look::at(&config.database.address).await else { return false };
    let answers = look.schema_status().await.is_ok();
    look.close().await.unwrap();
    answers
}

#[tokio::test]
async fn a_server_shows_a_certificate_of_the_authority_that_is_named_or_is_not_believed() {
    let (postgres, ca) = Sql::postgres_with_tls();
    let url = postgres.new_database();
    assert!(opens(&url, &format!("sslmode=verify-full&sslrootcert={}", ca.display())).await);
    assert!(opens(&url, "sslmode=require").await, "encrypted, by whomever");
    assert!(!opens(&url, "sslmode=verify-full").await, "an authority that nobody has named");
    let (mariadb, ca) = Sql::mariadb_with_tls();
    let url = mariadb.new_database();
    assert!(opens(&url, &format!("ssl-mode=VERIFY_IDENTITY&ssl-ca={}", ca.display())).await);
    assert!(opens(&url, "ssl-mode=REQUIRED").await);
    assert!(!opens(&url, "ssl-mode=VERIFY_IDENTITY").await);
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_asked_for() {
    assert!(!opens(&Sql::shared_postgres().new_database(), "sslmode=require").await);
    assert!(opens(&Sql::shared_postgres().new_database(), "sslmode=prefer").await);
    assert!(!opens(&Sql::shared_mariadb().new_database(), "ssl-mode=REQUIRED").await);
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_of_its_client_gets_it_and_lets_nobody_in_without() {
    let (postgres, ca) = Sql::postgres_with_tls();
    let (certificate, key) = client_certificate(ca.parent().unwrap(), "client", "DNS:countersign", "2");
    let url = postgres.certified_database();
    let verified = format!("sslmode=verify-full&sslrootcert={}", ca.display());
    let pair = format!("&sslcert={}&sslkey={}", certificate.display(), key.display());
    assert!(!opens(&url, &verified).await, "nobody without one");
    assert!(opens(&url, &(verified + &pair)).await);
    let (mariadb, ca) = Sql::mariadb_with_tls();
    let (certificate, key) = client_certificate(ca.parent().unwrap(), "client", "DNS:countersign", "2");
    let url = mariadb.certified_database();
    let verified = format!("ssl-mode=VERIFY_IDENTITY&ssl-ca={}", ca.display());
    let pair = format!("&ssl-cert={}&ssl-key={}", certificate.display(), key.display());
    assert!(!opens(&url, &verified).await, "nobody without one");
    assert!(opens(&url, &(verified + &pair)).await);
}
