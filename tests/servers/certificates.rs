//! Certificates of an authority of the tests' own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::process::run;

/// An authority, and a certificate for localhost with its key.
pub fn certificates(home: &Path) -> (PathBuf, PathBuf, PathBuf) {
    let file = |name: &str| home.join(name);
    let openssl = |words: &[&str]| run(Command::new("openssl").args(words).current_dir(home));
    let new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let ca = ["req", "-x509", "-days", "2", "-subj", "/CN=Test authority", "-keyout", "ca.key", "-out", "ca.pem"];
    openssl(&[&ca[..], &new_key[..]].concat());
    let request = ["req", "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr"];
    openssl(&[&request[..], &new_key[..]].concat());
    fs::write(file("extensions"), "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n").unwrap();
    let sign = ["x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
    openssl(&[&sign[..], &["-days", "2", "-extfile", "extensions", "-out", "server.pem"]].concat());
    (file("ca.pem"), file("server.pem"), file("server.key"))
}

/// A certificate for a client, from the authority of a place: with a name ("URI:spiffe://…", "DNS:…"), for so many days.
pub fn client_certificate(home: &Path, who: &str, name: &str, days: &str) -> (PathBuf, PathBuf) {
    let file = |ending: &str| home.join(format!("{who}.{ending}"));
    let openssl = |words: &[&str]| run(Command::new("openssl").args(words).current_dir(home));
    let [key, request, certificate, extensions] = ["key", "csr", "pem", "ext"].map(file);
    let text = |path: &PathBuf| path.display().to_string();
    let subject = format!("/CN={who}");
    let made = ["req", "-subj", &subject, "-keyout", &text(&key), "-out", &text(&request)].map(str::to_owned);
    let made: Vec<_> = made.iter().map(String::as_str).collect();
    openssl(&[&made[..], &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]].concat());
    fs::write(
        &extensions,
        format!("subjectAltName={name}\nextendedKeyUsage=clientAuth,serverAuth\nbasicConstraints=CA:FALSE\n"),
    )
    .unwrap();
    let (request, extensions, out) = (text(&request), text(&extensions), text(&certificate));
    let sign = ["x509", "-req", "-in", &request, "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
    openssl(&[&sign[..], &["-days", days, "-extfile", &extensions, "-out", &out]].concat());
    (certificate, key)
}
