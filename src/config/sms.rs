//! What is configured of text messages.

use phonenumber::country;
use url::Url;

use super::{
    Layers, Setting,
    sealed::{Sealed, unprintable},
};

/// Text messages.
#[derive(Clone, Debug)]
pub struct Sms {
    /// Who sends them.
    pub provider: Provider,
    /// Who sends them when the provider does not.
    pub fallback: Option<Provider>,
    /// The countries whose numbers are served; empty = all, on the console alone.
    pub countries: Vec<country::Id>,
    /// How many are sent in a day.
    pub daily_budget: u32,
    /// The host that codes are for; may be empty.
    pub origin_host: String,
    /// The language of messages.
    pub locale: String,
}

/// Who sends text messages.
#[derive(Clone, Debug)]
pub enum Provider {
    /// The terminal.
    Console,
    /// Twilio.
    Twilio(Twilio),
    /// Any gateway.
    Http(HttpGateway),
    /// Kannel.
    Kannel(Kannel),
}

/// Twilio's Messages API.
#[derive(Clone)]
pub struct Twilio {
    /// Where it is.
    pub base_url: String,
    /// The account.
    pub account_sid: String,
    /// Its token.
    pub auth_token: Sealed,
    /// The sender.
    pub from: String,
}

/// A gateway with an HTTP interface.
#[derive(Clone)]
pub struct HttpGateway {
    /// The method.
    pub method: String,
    /// Template of the address.
    pub url: Sealed,
    /// Templates of headers: name and value.
    pub headers: Vec<(String, Sealed)>,
    /// Template of the body.
    pub body: Sealed,
}

/// Kannel's smsbox.
#[derive(Clone)]
pub struct Kannel {
    /// Where it is.
    pub base_url: String,
    /// The user of its sendsms interface.
    pub user: String,
    /// The user's password.
    pub password: Sealed,
    /// The sender.
    pub from: String,
}

unprintable!(Twilio, HttpGateway, Kannel);

impl Layers {
    /// Text messages as they are configured.
    pub(super) fn sms(&mut self) -> Option<Sms> {
        let provider = self.provider("sms.provider");
        let fallback = self.provider("sms.fallback");
        let countries = self.countries();
        let locale = self.locale("sms.locale");
        let origin_host = self.parsed("sms.origin_host", String::new(), host);
        let daily_budget = self.number("sms.daily_budget", 1, 10_000_000);
        let Some(provider) = provider else {
            if fallback.is_some() {
                self.complain("sms.fallback", "needs sms.provider: set that first");
            }
            return None;
        };
        if countries.is_empty() && !matches!(provider, Provider::Console) {
            self.complain(
                "sms.allowed_countries",
                "must name the countries whose numbers are served, such as [\"GR\"]",
            );
        }
        Some(Sms { provider, fallback, countries, daily_budget, origin_host, locale })
    }

    fn provider(&mut self, key: &str) -> Option<Provider> {
        let name = self.text(key);
        match name.as_str() {
            "" => None,
            "twilio" => Some(Provider::Twilio(Twilio {
                base_url: self.url("sms.twilio.base_url"),
                account_sid: self.filled("sms.twilio.account_sid"),
                auth_token: self.sealed("sms.twilio.auth_token"),
                from: self.filled("sms.twilio.from"),
            })),
            "http" => Some(Provider::Http(self.http_gateway())),
            "kannel" => Some(Provider::Kannel(Kannel {
                base_url: self.url("sms.kannel.base_url"),
                user: self.filled("sms.kannel.user"),
                password: self.sealed("sms.kannel.password"),
                from: self.filled("sms.kannel.from"),
            })),
            "console" if !self.is_set(key) => Some(Provider::Console),
            "console" => {
                self.complain(key, "the console is for serve --dev alone; choose twilio, http or kannel");
                None
            }
            _ => {
                self.complain(key, "must be twilio, http or kannel");
                None
            }
        }
    }

    fn http_gateway(&mut self) -> HttpGateway {
        let method = self.parsed("sms.http.method", String::new(), |text| match text {
            "GET" | "POST" | "PUT" => Ok(text.to_owned()),
            _ => Err("must be GET, POST or PUT".to_owned()),
        });
        let url = self.sealed("sms.http.url");
        // The placeholders are no characters of an address.
        let filled = url.expose().replace(['{', '}'], "");
        if !url.expose().is_empty() && !Url::parse(&filled).is_ok_and(|url| is_http(&url)) {
            self.complain("sms.http.url", "must be an http or https address");
        }
        let mut headers = Vec::new();
        let text = Sealed::new(self.text("sms.http.headers"));
        for line in text.expose().lines().filter(|line| !line.trim().is_empty()) {
            match line.split_once(':') {
                Some((name, value)) => {
                    headers.push((name.trim().to_owned(), Sealed::new(value.trim().to_owned())));
                }
                None => self.complain("sms.http.headers", "must be lines such as Authorization: Bearer …"),
            }
        }
        let body = Sealed::new(self.text("sms.http.body"));
        let holds = |place: &str| [url.expose(), body.expose()].iter().any(|template| template.contains(place));
        if !holds("{to}") || !holds("{text}") {
            self.complain("sms.http.body", "must hold {to} and {text}, or sms.http.url must");
        }
        let is_name =
            |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        let is_value =
            |value: &str| value.bytes().all(|b| b.is_ascii_graphic() || b == b' ') && !value.contains("{text}");
        if headers.iter().any(|(name, value)| !is_name(name) || !is_value(value.expose())) {
            self.complain(
                "sms.http.headers",
                "must be lines such as Authorization: Bearer …, in ASCII and without {text}",
            );
        }
        HttpGateway { method, url, headers, body }
    }

    fn countries(&mut self) -> Vec<country::Id> {
        let Some(Setting { value, .. }) = self.get("sms.allowed_countries").cloned() else {
            return Vec::new();
        };
        let mut countries = Vec::new();
        for code in value.as_array().into_iter().flatten() {
            match code.as_str().and_then(|code| code.parse().ok()) {
                Some(country) => countries.push(country),
                None => {
                    self.complain("sms.allowed_countries", &format!("{code} is no ISO code of a country, such as GR"))
                }
            }
        }
        countries
    }

    fn url(&mut self, key: &str) -> String {
        let text = self.text(key);
        let is_plain = |url: &Url| is_http(url) && url.username().is_empty() && url.password().is_none();
        if !Url::parse(&text).is_ok_and(|url| is_plain(&url)) {
            self.complain(key, "must be an http or https address without a user in it");
        }
        text.trim_end_matches('/').to_owned()
    }

    fn sealed(&mut self, key: &str) -> Sealed {
        Sealed::new(self.filled(key))
    }
}

fn is_http(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https") && url.has_host()
}

pub(super) fn host(text: &str) -> Result<String, String> {
    let is_one =
        text.is_empty() || Url::parse(&format!("https://{text}")).is_ok_and(|url| url.host_str() == Some(text));
    if is_one { Ok(text.to_owned()) } else { Err("must be a host alone, such as login.example.com".to_owned()) }
}
