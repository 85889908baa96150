//! `user`: makes accounts and sets passwords. A password comes from standard input or a prompt, never from the command line,
//! where others could read it.

use std::io::{self, BufRead, IsTerminal};

use anyhow::{anyhow, bail};
use clap::Subcommand;

use super::say;
use crate::{
    app::{self, Schema},
    clock::{Clock, SystemClock},
    config::Config,
    error::Error,
    factor::password::Password,
    flow::{self, Call, NewUser},
    hash::Hasher,
    model::{Email, Origin, Role},
    secret::Secret,
    telemetry,
};

#[derive(Subcommand)]
pub(super) enum Action {
    /// Makes an account
    Add {
        /// The e-mail address
        #[arg(long)]
        email: String,
        /// With the role admin
        #[arg(long)]
        admin: bool,
    },
    /// Sets a password; ends every session of the account
    SetPassword {
        /// The e-mail address
        #[arg(long)]
        email: String,
    },
}

pub(super) async fn run(config: &Config, action: Action) -> anyhow::Result<()> {
    telemetry::start(config)?;
    let (Action::Add { email, .. } | Action::SetPassword { email }) = &action;
    // Before anything is made, for what is told of them is for the person who types.
    Email::parse(email).map_err(|problem| anyhow!("--email: {problem}"))?;
    let password = ask_password()?;
    Password::parse_new(&password).map_err(|refusal| anyhow!("{}", refusal.text()))?;
    let call = Call { now: SystemClock.now(), origin: Origin::command_line() };
    let (store, _) = app::open_store(config, Schema::AsConfigured, call.now).await?;
    let hasher = Hasher::start(1)?;
    match action {
        Action::Add { email, admin } => {
            let role = if admin { Role::Admin } else { Role::User };
            let new = NewUser { email: &email, password: &password, role };
            let id = flow::add_user(&store, &hasher, new, &call).await.map_err(Error::into_anyhow)?;
            say(&format!("Made {id}."))?;
        }
        Action::SetPassword { email } => {
            flow::set_password(&store, &hasher, &email, &password, &call).await.map_err(Error::into_anyhow)?;
            say("The password is set. Every session of the account has ended.")?;
        }
    }
    store.close().await
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
