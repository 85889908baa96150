//! Mail to users: what it says, and how it is handed to the operator's mail server.

mod words;

use std::{fs, time::Duration};

use anyhow::Context;
use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{
        Mailbox,
        header::{ContentType, HeaderName, HeaderValue, MIME_VERSION_1_0},
    },
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, CertificateStore, Tls, TlsParameters},
        response::{Category, Code, Severity},
    },
};

use crate::{
    config::{self, MailSecurity},
    model::Mailing,
};
use words::Words;

/// A mail server answers each command in so long a time, or it is another time's.
const ANSWER: Duration = Duration::from_secs(10);

/// What is needed to send mail.
pub struct Mail {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    words: Words,
}

/// Why a mail was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// In words without an address.
    pub text: String,
    /// Whether it is not to be tried again.
    pub is_final: bool,
}

impl Mail {
    /// What is configured, in the name of a service.
    pub fn new(config: &config::Mail, service: &str) -> anyhow::Result<Self> {
        let tls = || -> anyhow::Result<TlsParameters> {
            let mut builder = TlsParameters::builder(config.host.clone());
            if let Some(file) = &config.ca_file {
                let pem = fs::read(file).with_context(|| format!("cannot read mail.ca_file = {}", file.display()))?;
                builder = builder.certificate_store(CertificateStore::None);
                for certificate in certificates(&pem).with_context(|| format!("mail.ca_file = {}", file.display()))? {
                    builder = builder.add_root_certificate(certificate);
                }
            }
            builder.build_rustls().context("cannot prepare TLS to mail.host")
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&config.host)
            .port(config.port)
            .timeout(Some(ANSWER))
            .tls(match config.security {
                MailSecurity::Tls => Tls::Wrapper(tls()?),
                MailSecurity::StartTls => Tls::Required(tls()?),
                MailSecurity::None => Tls::None,
            });
        if let Some((user, password)) = &config.login {
            builder = builder.credentials(Credentials::new(user.clone(), password.expose().to_owned()));
        }
        let words = Words::new(&config.locale, service, &config.help);
        Ok(Self { transport: builder.build(), from: config.from.clone(), words })
    }

    /// Sends a notice to one address; its id is the same at every try.
    pub async fn send(&self, id: &str, mailing: &Mailing) -> Result<(), Failure> {
        let never = |text: &str| Failure { text: text.to_owned(), is_final: true };
        let to: Address = mailing.to.parse().map_err(|_| never("mail cannot be sent to such an address"))?;
        let (subject, text) = self.words.notice(&mailing.notice);
        let message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(subject)
            .message_id(Some(format!("<{id}@{}>", self.from.email.domain())))
            .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned()))
            .header(MIME_VERSION_1_0)
            .header(ContentType::TEXT_PLAIN)
            .body(text)
            .map_err(|_| never("the mail cannot be written"))?;
        match self.transport.send(message).await {
            Ok(_) => Ok(()),
            Err(fault) => Err(failure(fault.status(), fault.is_timeout())),
        }
    }
}

/// What a server says itself is not kept: it likes to quote the address.
fn failure(code: Option<Code>, is_late: bool) -> Failure {
    match code {
        Some(code) => {
            Failure { text: format!("the mail server answered {code}"), is_final: is_about_the_mailbox(code) }
        }
        None if is_late => Failure { text: "the mail server did not answer in time".to_owned(), is_final: false },
        None => Failure { text: "the mail server cannot be reached".to_owned(), is_final: false },
    }
}

/// 550 to 559: there is no such mailbox, or it takes no mail from us, and will not tomorrow. What is wrong with our own login may be
/// put right.
fn is_about_the_mailbox(code: Code) -> bool {
    code.severity == Severity::PermanentNegativeCompletion && code.category == Category::MailSystem
}

fn certificates(pem: &[u8]) -> anyhow::Result<Vec<Certificate>> {
    const END: &str = "-----END CERTIFICATE-----";
    let text = std::str::from_utf8(pem).context("is not PEM")?;
    let mut certificates = Vec::new();
    for part in text.split_inclusive(END).filter(|part| part.contains(END)) {
        certificates.push(Certificate::from_pem(part.as_bytes()).context("holds what is no certificate")?);
    }
    anyhow::ensure!(!certificates.is_empty(), "holds no certificate");
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use lettre::transport::smtp::response::Detail;

    use super::*;

    #[test]
    fn a_mailbox_that_is_not_there_is_not_tried_again_and_a_login_that_fails_is() {
        let mailbox = Code::new(Severity::PermanentNegativeCompletion, Category::MailSystem, Detail::Zero);
        let login = Code::new(Severity::PermanentNegativeCompletion, Category::Unspecified3, Detail::Five);
        let greylisted = Code::new(Severity::TransientNegativeCompletion, Category::MailSystem, Detail::One);
        for (code, is_final) in [(mailbox, true), (login, false), (greylisted, false)] {
            assert_eq!(failure(Some(code), false).is_final, is_final, "{code}");
        }
        assert!(!failure(None, true).is_final && !failure(None, false).is_final);
    }
}
