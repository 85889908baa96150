//! What is configured of mail to users.

use std::{net::IpAddr, path::PathBuf};

use lettre::message::Mailbox;

use super::{Layers, sealed::Sealed, sms::host};
use crate::file;

/// Mail to users.
#[derive(Clone, Debug)]
pub struct Mail {
    /// The mail server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub security: MailSecurity,
    /// A file with the certificates (PEM) that its certificate must come from; None = those of the system.
    pub ca_file: Option<PathBuf>,
    /// Who signs in there, and the password; None = nobody need.
    pub login: Option<(String, Sealed)>,
    /// Whom mail is from.
    pub from: Mailbox,
    /// The language of mail.
    pub locale: String,
    /// A sentence for whoever did not do what the mail tells; may be empty.
    pub help: String,
}

/// How the connection to a mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailSecurity {
    /// By TLS from the first byte (RFC 8314).
    Tls,
    /// By TLS that is begun with STARTTLS, and must be.
    StartTls,
    /// Not at all.
    None,
}

impl Layers {
    /// Mail to users as it is configured.
    pub(super) fn mail(&mut self) -> Option<Mail> {
        let host = self.parsed("mail.host", String::new(), |text| {
            let is_address = text.parse::<IpAddr>().is_ok();
            if is_address { Ok(text.to_owned()) } else { host(text) }
        });
        let port = self.number("mail.port", 0, u32::from(u16::MAX));
        let security = self.parsed("mail.security", MailSecurity::Tls, |word| match word {
            "tls" => Ok(MailSecurity::Tls),
            "starttls" => Ok(MailSecurity::StartTls),
            "none" => Ok(MailSecurity::None),
            _ => Err("must be tls, starttls or none".to_owned()),
        });
        let locale = self.locale("mail.locale");
        let help = self.parsed("mail.help", String::new(), |text| {
            let fits = text.chars().count() <= 300 && !text.contains(char::is_control);
            if fits { Ok(text.to_owned()) } else { Err("must be one line of at most 300 characters".to_owned()) }
        });
        if host.is_empty() {
            for key in ["mail.from", "mail.user", "mail.password"] {
                if !self.text(key).is_empty() {
                    self.complain(key, "needs mail.host: set that too, or take this away");
                }
            }
            return None;
        }
        let port = if port == 0 { usual_port(security) } else { port };
        if (port, security) == (465, MailSecurity::StartTls) || (port, security) == (587, MailSecurity::Tls) {
            self.warn(format!("mail.port {port} is mostly that of the other way: 465 for tls, 587 for starttls"));
        }
        let ca_file = self.mail_ca_file(security);
        let nobody = Mailbox::new(None, lettre::Address::new("nobody", "localhost").ok()?);
        let from = self.parsed("mail.from", nobody, |text| {
            let problem = "must be an address such as Countersign <no-reply@example.com>, its domain in ASCII (xn--…)";
            text.parse::<Mailbox>().ok().filter(|from| from.email.domain().is_ascii()).ok_or_else(|| problem.to_owned())
        });
        let (user, password) = (self.text("mail.user"), Sealed::new(self.text("mail.password")));
        if user.is_empty() != password.expose().is_empty() {
            let key = if user.is_empty() { "mail.user" } else { "mail.password" };
            self.complain(key, "must be set too: a mail server wants both, or neither");
        }
        let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        if security == MailSecurity::None && !is_here {
            if user.is_empty() {
                self.warn("mail.security is \"none\": whoever is on the way reads mail to users".to_owned());
            } else {
                self.complain("mail.security", "must be tls or starttls: the password would travel in clear");
            }
        }
        Some(Mail {
            host,
            port: u16::try_from(port).unwrap_or(465),
            security,
            ca_file,
            login: Some((user, password)).filter(|(user, _)| !user.is_empty()),
            from,
            locale,
            help,
        })
    }

    fn mail_ca_file(&mut self, security: MailSecurity) -> Option<PathBuf> {
        let ca_file = Some(self.text("mail.ca_file")).filter(|path| !path.is_empty()).map(PathBuf::from);
        if let Some(Err(problem)) = ca_file.as_deref().map(file::read_public) {
            self.complain("mail.ca_file", &format!("cannot be used: {problem:#}"));
        }
        if ca_file.is_some() && security == MailSecurity::None {
            self.complain("mail.ca_file", "is of no use with mail.security = \"none\"");
        }
        ca_file
    }
}

const fn usual_port(security: MailSecurity) -> u32 {
    match security {
        MailSecurity::Tls => 465,
        MailSecurity::StartTls => 587,
        MailSecurity::None => 25,
    }
}
