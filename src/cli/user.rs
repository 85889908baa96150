//! `user`: makes accounts, sets passwords, and helps those who are locked out. A password comes from standard input or a prompt,
//! never from the command line, where others could read it.

use std::{
    io::{self, BufRead, IsTerminal},
    sync::Arc,
};

use anyhow::{Context, anyhow, bail, ensure};
use clap::{Args, Subcommand};

use super::{say, table};
use crate::{
    app::{self, Schema},
    clock::{Clock, SystemClock},
    config::Config,
    error::Error,
    factor::password::{Names, Password},
    flow::{self, Call, NewUser, Page},
    hash::Hasher,
    mail,
    model::{Account, Email, Method, Origin, Role},
    seal::KeyRing,
    secret::Secret,
    sms,
    store::{AccountFilter, Store},
    telemetry,
};

#[derive(Subcommand)]
pub(super) enum Action {
    /// Makes an account
    Add {
        #[command(flatten)]
        whom: Whom,
        /// With the role admin
        #[arg(long)]
        admin: bool,
        /// With a phone number, such as +306912345678, to enrol for codes by text message
        #[arg(long, value_name = "NUMBER")]
        phone: Option<String>,
        /// With a second address, which is told too what happens to the account
        #[arg(long, value_name = "ADDRESS")]
        notice_email: Option<String>,
    },
    /// Lists the accounts, the newest first
    List,
    /// Sets a password; ends every session of the account
    SetPassword(Whom),
    /// Issues a one-time token, with which the user sets a password within 24 h (rpc SetPassword)
    IssuePasswordToken(Whom),
    /// Takes every second factor and every session away, for a user who has lost them
    #[command(name = "reset-2fa")]
    ResetSecondFactor(Whom),
    /// Ends the waits after wrong passwords and wrong codes
    Unlock(Whom),
}

#[derive(Args)]
pub(super) struct Whom {
    /// The e-mail address
    #[arg(long)]
    email: String,
}

/// What the actions work with.
struct Desk {
    store: Store,
    ring: Arc<KeyRing>,
    call: Call,
}

pub(super) async fn run(config: &Config, action: Action) -> anyhow::Result<()> {
    telemetry::start(config)?;
    match action {
        Action::Add { whom, admin, phone, notice_email } => {
            let role = if admin { Role::Admin } else { Role::User };
            add(config, &whom, role, phone.as_deref(), notice_email.as_deref()).await
        }
        Action::List => list(config).await,
        Action::SetPassword(whom) => set_password(config, &whom).await,
        Action::IssuePasswordToken(whom) => {
            let (desk, account) = Desk::open_for(config, &whom).await?;
            let token = flow::issue_password_token(&desk.store, account.id, "", &desk.call).await;
            let token = token.map_err(Error::into_anyhow)?;
            desk.store.close().await?;
            say(token.expose())
        }
        Action::ResetSecondFactor(whom) => {
            let (desk, account) = Desk::open_for(config, &whom).await?;
            let reset = flow::reset_second_factor(&desk.store, account.id, "", &desk.call).await;
            reset.map_err(Error::into_anyhow)?;
            desk.store.close().await?;
            say("Every second factor and every session of the account is gone. The password is as it was.")
        }
        Action::Unlock(whom) => {
            let (desk, account) = Desk::open_for(config, &whom).await?;
            let unlocked = flow::unlock_user(&desk.store, &desk.ring, &account, "", &desk.call).await;
            unlocked.map_err(Error::into_anyhow)?;
            desk.store.close().await?;
            say("The waits of the account have ended.")
        }
    }
}

impl Whom {
    fn email(&self) -> anyhow::Result<Email> {
        Email::parse(&self.email).map_err(|problem| anyhow!("--email: {problem}"))
    }
}

impl Desk {
    async fn open(config: &Config) -> anyhow::Result<Self> {
        let call = Call { now: SystemClock.now(), origin: Origin::command_line() };
        let (store, ring) = app::open_store(config, Schema::AsConfigured, call.now).await?;
        Ok(Self { store, ring, call })
    }

    async fn open_for(config: &Config, whom: &Whom) -> anyhow::Result<(Self, Account)> {
        let email = whom.email()?;
        let desk = Self::open(config).await?;
        let account = desk.store.find_account_by_email(&email).await.map_err(Error::into_anyhow)?;
        Ok((desk, account.context("there is no account with this e-mail address")?))
    }
}

async fn add(
    config: &Config,
    whom: &Whom,
    role: Role,
    phone: Option<&str>,
    notice_email: Option<&str>,
) -> anyhow::Result<()> {
    let notice_email = notice_email.map(Email::parse).transpose();
    let notice_email = notice_email.map_err(|problem| anyhow!("--notice-email: {problem}"))?;
    let own = whom.email()?;
    let is_good = |second: &Email| mail::is_mailable(&second.mailable()) && second.canonical() != own.canonical();
    ensure!(
        notice_email.as_ref().is_none_or(is_good),
        "--notice-email: must be an address that mail can be sent to, and another one than --email"
    );
    let phone = phone.map(sms::parse).transpose().map_err(|problem| anyhow!("--phone: {}", problem.text()))?;
    let phone = phone.map(|(number, _)| number);
    let (email, password) = ask(config, whom)?;
    let desk = Desk::open(config).await?;
    let hasher = Hasher::with_cost(1, config.password)?;
    let new = NewUser { service: &config.totp_issuer, email, password: &password, role, phone, notice_email };
    let id = flow::add_user(&desk.store, &hasher, new, &desk.call).await.map_err(Error::into_anyhow)?;
    desk.store.close().await?;
    say(&format!("Made {id}."))
}

async fn set_password(config: &Config, whom: &Whom) -> anyhow::Result<()> {
    let (email, password) = ask(config, whom)?;
    let desk = Desk::open(config).await?;
    let hasher = Hasher::with_cost(1, config.password)?;
    let set =
        flow::replace_password(&desk.store, &desk.ring, &hasher, &config.totp_issuer, &email, &password, &desk.call)
            .await;
    set.map_err(Error::into_anyhow)?;
    desk.store.close().await?;
    say("The password is set. Every session of the account has ended.")
}

async fn list(config: &Config) -> anyhow::Result<()> {
    let desk = Desk::open(config).await?;
    let mut rows = vec![["ID", "E-MAIL", "ROLE", "STATE", "FACTORS", "BACKUP CODES"].map(str::to_owned).to_vec()];
    let mut after = None;
    loop {
        let all = AccountFilter::default();
        let page = flow::list_users(&desk.store, &all, Page::largest(after)).await.map_err(Error::into_anyhow)?;
        for user in &page.users {
            let factors = user.factors.iter().filter(|factor| factor.method != Method::BackupCode).count();
            rows.push(vec![
                user.account.id.to_string(),
                user.account.email.typed().to_owned(),
                user.account.role.as_str().to_owned(),
                if user.account.blocked { "blocked" } else { "active" }.to_owned(),
                factors.to_string(),
                user.backup_codes_remaining.to_string(),
            ]);
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    desk.store.close().await?;
    say(&table(&rows))
}

/// Address and password, judged before anything is opened or made: what is told of them is for the person who types.
fn ask(config: &Config, whom: &Whom) -> anyhow::Result<(Email, Secret<String>)> {
    let email = whom.email()?;
    let password = ask_password()?;
    let names = Names { service: &config.totp_issuer, email: &email };
    Password::parse_new("password", &password, &names).map_err(|refusal| anyhow!("{}", refusal.text()))?;
    Ok((email, password))
}

fn ask_password() -> anyhow::Result<Secret<String>> {
    if !io::stdin().is_terminal() {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line)?;
        let password = Secret::new(line.trim_end_matches(['\n', '\r']).to_owned());
        drop(Secret::new(line));
        return Ok(password);
    }
    let password = Secret::new(rpassword::prompt_password("Password: ")?);
    let again = Secret::new(rpassword::prompt_password("The same again: ")?);
    if password.expose() != again.expose() {
        bail!("the two passwords are different; nothing was changed");
    }
    Ok(password)
}
