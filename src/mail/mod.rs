//! Mail to users: what it says, and how it is handed to the operator's mail server.

mod conversation;
mod words;

use std::time::Duration;

use anyhow::Context;
use lettre::{
    Address, Message,
    message::{
        Mailbox,
        header::{ContentType, HeaderName, HeaderValue, MIME_VERSION_1_0},
    },
    transport::smtp::authentication::Credentials,
};
use tokio::time::timeout;

use crate::{
    config::{self, MailSecurity},
    model::Mailing,
    telemetry,
    tls::ClientTls,
};
use conversation::Way;
use words::Words;

/// A mail is taken by then, or it is another time's. Servers that look into mail take their time for it.
const PATIENCE: Duration = Duration::from_secs(100);

/// What is needed to send mail.
pub struct Mail {
    way: Way,
    from: Mailbox,
    words: Words,
    patience: Duration,
}

/// Why a mail was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// In words without an address.
    pub text: String,
    /// Whether it is not to be tried again.
    pub is_final: bool,
}

impl Failure {
    /// It may be taken another time.
    fn now(text: &str) -> Self {
        Self { text: text.to_owned(), is_final: false }
    }

    /// It will never be taken.
    fn last(text: &str) -> Self {
        Self { text: text.to_owned(), is_final: true }
    }
}

/// Whether mail can be sent to an address at all.
pub fn is_mailable(address: &str) -> bool {
    address.parse::<Address>().is_ok()
}

impl Mail {
    /// What is configured, in the name of a service.
    pub fn new(config: &config::Mail, service: &str) -> anyhow::Result<Self> {
        let tls = match config.security {
            MailSecurity::Tls | MailSecurity::StartTls => {
                Some(ClientTls::new(config.ca_file.as_deref()).context("mail.ca_file cannot be used")?)
            }
            MailSecurity::None => None,
        };
        let credentials = config.login.as_ref();
        let way = Way {
            host: config.host.clone(),
            port: config.port,
            security: config.security,
            tls,
            credentials: credentials
                .map(|(user, password)| Credentials::new(user.clone(), password.expose().to_owned())),
        };
        Ok(Self {
            way,
            from: config.from.clone(),
            words: Words::new(&config.locale, service, &config.help),
            patience: PATIENCE,
        })
    }

    /// Sends a notice to one address; its id is the same at every try.
    pub async fn send(&self, id: &str, mailing: &Mailing) -> Result<(), Failure> {
        let to: Address = mailing.to.parse().map_err(|_| Failure::last("mail cannot be sent to such an address"))?;
        let (subject, text) = self.words.notice(&mailing.notice);
        let message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to.clone()))
            .subject(subject)
            .message_id(Some(format!("<{id}@{}>", self.from.email.domain())))
            .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned()))
            .header(MIME_VERSION_1_0)
            .header(ContentType::TEXT_PLAIN)
            .body(text)
            .map_err(|_| Failure::last("the mail cannot be written"))?;
        let text = message.formatted();
        telemetry::provider("mail", async {
            // Cut off, it closes its connection: no answer of this mail is ever taken for one of the next.
            match timeout(self.patience, self.way.send(&self.from.email, &to, &text)).await {
                Ok(sent) => sent,
                Err(_) => Err(Failure::now("the mail server did not answer in time")),
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
        net::{TcpListener, TcpStream},
        task::JoinSet,
    };

    use super::*;
    use crate::{
        clock::Timestamp,
        model::{Notice, NoticeKind},
    };

    /// Mail by way of a server, with little patience.
    async fn mail(security: MailSecurity) -> anyhow::Result<(Mail, TcpListener)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let config = config::Mail {
            host: "127.0.0.1".to_owned(),
            port: listener.local_addr()?.port(),
            security,
            ca_file: None,
            login: None,
            from: "no-reply@example.com".parse()?,
            locale: "en".to_owned(),
            help: String::new(),
        };
        Ok((Mail { patience: Duration::from_millis(700), ..Mail::new(&config, "Example")? }, listener))
    }

    fn mailing() -> Mailing {
        let time = Timestamp::from_seconds(1_800_000_000);
        let notice =
            Notice { kind: NoticeKind::PasswordChanged, time, source: "192.0.2.1".to_owned(), by_admin: false };
        Mailing { to: "alice@example.com".to_owned(), notice }
    }

    /// Answers each line as it is told; None = not at all.
    async fn serve(stream: TcpStream, answer: impl Fn(&str) -> Option<&'static str>) -> anyhow::Result<()> {
        let mut stream = BufReader::new(stream);
        stream.write_all(b"220 here\r\n").await?;
        let mut line = String::new();
        while stream.read_line(&mut line).await? > 0 {
            if let Some(answer) = answer(line.trim()) {
                stream.write_all(answer.as_bytes()).await?;
            }
            line.clear();
        }
        Ok(())
    }

    fn plain(line: &str) -> Option<&'static str> {
        match line {
            line if line.starts_with("EHLO") => Some("250 here\r\n"),
            line if line.starts_with("MAIL") || line.starts_with("RCPT") => Some("250 ok\r\n"),
            "DATA" => Some("354 go on\r\n"),
            "QUIT" => Some("221 bye\r\n"),
            _ => None,
        }
    }

    #[tokio::test]
    async fn a_server_that_does_not_say_that_it_has_taken_a_mail_has_not_and_the_next_one_has_its_own_connection()
    -> anyhow::Result<()> {
        let (mail, listener) = mail(MailSecurity::None).await?;
        let mut server = JoinSet::<anyhow::Result<()>>::new();
        server.spawn(async move {
            let (first, _) = listener.accept().await?;
            let mut silent = JoinSet::new();
            silent.spawn(serve(first, plain));
            let (second, _) = listener.accept().await?;
            serve(second, |line| if line == "." { Some("250 taken\r\n") } else { plain(line) }).await
        });
        let late = mail.send("dlv_1", &mailing()).await;
        assert_eq!(late, Err(Failure::now("the mail server did not answer in time")));
        assert_eq!(mail.send("dlv_2", &mailing()).await, Ok(()));
        Ok(())
    }

    #[tokio::test]
    async fn what_is_said_before_tls_is_never_taken_for_what_is_said_after_it() -> anyhow::Result<()> {
        let (mail, listener) = mail(MailSecurity::StartTls).await?;
        let mut server = JoinSet::<anyhow::Result<()>>::new();
        server.spawn(async move {
            let (stream, _) = listener.accept().await?;
            // Everything that a whole conversation would answer, behind the word that begins TLS.
            serve(stream, |line| match line {
                line if line.starts_with("EHLO") => Some("250-here\r\n250 STARTTLS\r\n"),
                "STARTTLS" => Some("220 go\r\n250 here\r\n250 ok\r\n250 ok\r\n354 go on\r\n250 taken\r\n221 bye\r\n"),
                _ => None,
            })
            .await
        });
        let sent = mail.send("dlv_1", &mailing()).await;
        assert!(sent.is_err_and(|failure| !failure.is_final));
        Ok(())
    }

    #[tokio::test]
    async fn a_server_that_offers_no_tls_gets_no_mail_that_is_to_have_it() -> anyhow::Result<()> {
        let (mail, listener) = mail(MailSecurity::StartTls).await?;
        let mut server = JoinSet::<anyhow::Result<()>>::new();
        server.spawn(async move { serve(listener.accept().await?.0, plain).await });
        let sent = mail.send("dlv_1", &mailing()).await;
        assert_eq!(sent, Err(Failure::now("the mail server offers no STARTTLS")));
        Ok(())
    }

    #[tokio::test]
    async fn only_a_mailbox_that_is_refused_for_good_is_given_up() -> anyhow::Result<()> {
        for (word, answer, is_final) in [
            ("RCPT", "550 nobody\r\n", true),
            ("RCPT", "552 full\r\n", false),
            ("RCPT", "451 later\r\n", false),
            ("MAIL", "553 not you\r\n", false),
            ("DATA", "554 no\r\n", false),
        ] {
            let (mail, listener) = mail(MailSecurity::None).await?;
            let mut server = JoinSet::<anyhow::Result<()>>::new();
            server.spawn(async move {
                let (stream, _) = listener.accept().await?;
                serve(stream, move |line| if line.starts_with(word) { Some(answer) } else { plain(line) }).await
            });
            let sent = mail.send("dlv_1", &mailing()).await;
            assert_eq!(sent.map_err(|failure| failure.is_final), Err(is_final), "{word} {answer}");
        }
        Ok(())
    }
}
