//! What a connection's settings mean to the client: servers, credentials, TLS.

use std::path::Path;
use std::time::Duration;

use async_nats::{ConnectOptions, ServerAddr};
use secrecy::ExposeSecret as _;

use crate::bus::BusError;
use crate::spec::program::{NatsAuth, NatsConnection, NatsTls};

/// Where to connect, and how; enough to connect again with.
#[derive(Clone)]
pub struct Settings {
    pub servers: Vec<ServerAddr>,
    pub options: ConnectOptions,
    /// Whether we ask for TLS; a server may ask for it too.
    pub tls: bool,
}

impl Settings {
    /// Refused: what can never work.
    pub async fn read(name: &str, role: &str, settings: &NatsConnection) -> Result<Self, BusError> {
        let (servers, in_url) = servers(name, settings.url.expose_secret())?;
        let mut options = ConnectOptions::new()
            .name(format!("sluice {name}{role}"))
            .retry_on_initial_connect()
            .connection_timeout(Duration::from_secs(5))
            // A server that hangs without closing is noticed after three of these.
            .ping_interval(Duration::from_secs(10))
            .request_timeout(Some(super::PATIENCE))
            .reconnect_delay_callback(|attempts| {
                Duration::from_millis(50).saturating_mul(u32::try_from(attempts).unwrap_or(20).min(20))
            });
        options = authenticate(name, options, &settings.auth, in_url).await?;
        options = secure(name, options, &settings.tls)?;
        let over_tls = |server: &ServerAddr| matches!(server.scheme(), "tls" | "wss");
        let tls = settings.tls.required || settings.tls.ca.is_some() || servers.iter().any(over_tls);
        Ok(Self { servers, options, tls })
    }
}

/// What a URL says before the `@`.
struct UserInfo {
    user: String,
    password: Option<String>,
}

/// Several servers are separated by commas. Credentials are taken out of the addresses, which the client logs.
fn servers(name: &str, urls: &str) -> Result<(Vec<ServerAddr>, Option<UserInfo>), BusError> {
    // The text may hold a password, so it is not quoted.
    let refused =
        || BusError::Refused(format!("the URL of connection `{name}` is not one; it looks like `nats://host:4222`"));
    let mut found = None;
    let mut servers = Vec::new();
    for text in urls.split(',').map(str::trim).filter(|text| !text.is_empty()) {
        let mut url = text.parse::<ServerAddr>().map_err(|_| refused())?.into_inner();
        if !url.username().is_empty() {
            found = Some(UserInfo { user: unescape(url.username()), password: url.password().map(unescape) });
            url.set_username("").and_then(|()| url.set_password(None)).map_err(|()| refused())?;
        }
        servers.push(ServerAddr::from_url(url).map_err(|_| refused())?);
    }
    if servers.is_empty() { Err(refused()) } else { Ok((servers, found)) }
}

/// Undoes percent-encoding; a broken escape stays as it is.
fn unescape(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let code =
            after.get(..2).and_then(|d| std::str::from_utf8(d).ok()).and_then(|d| u8::from_str_radix(d, 16).ok());
        match code {
            Some(code) if byte == b'%' => {
                out.push(code);
                rest = &after[2..];
            }
            _ => {
                out.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

async fn authenticate(
    name: &str,
    options: ConnectOptions,
    auth: &NatsAuth,
    in_url: Option<UserInfo>,
) -> Result<ConnectOptions, BusError> {
    Ok(match auth {
        NatsAuth::None => match in_url {
            Some(UserInfo { user, password: Some(password) }) => options.user_and_password(user, password),
            Some(UserInfo { user: token, password: None }) => options.token(token),
            None => options,
        },
        NatsAuth::Token(token) => options.token(token.expose_secret().to_owned()),
        NatsAuth::User { user, password } => {
            options.user_and_password(user.clone(), password.expose_secret().to_owned())
        }
        NatsAuth::NKey(seed) => options.nkey(seed.expose_secret().trim().to_owned()),
        NatsAuth::Creds(path) => options.credentials_file(path).await.map_err(|e| {
            BusError::Refused(format!("the credentials file `{}` of connection `{name}`: {e}", path.display()))
        })?,
    })
}

fn secure(name: &str, mut options: ConnectOptions, tls: &NatsTls) -> Result<ConnectOptions, BusError> {
    // The client reads these files at every attempt, and then says no more than that it failed.
    for path in [&tls.ca, &tls.cert, &tls.key].into_iter().flatten() {
        readable(path).map_err(|e| {
            BusError::Refused(format!("`{}` in `tls` of connection `{name}` cannot be read: {e}", path.display()))
        })?;
    }
    if let Some(ca) = &tls.ca {
        options = options.add_root_certificates(ca.clone());
    }
    options = match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => options.add_client_certificate(cert.clone(), key.clone()),
        (None, None) => options,
        _ => {
            return Err(BusError::Refused(format!(
                "`tls` of connection `{name}` needs both `cert` and `key`, or none"
            )));
        }
    };
    Ok(options.require_tls(tls.required))
}

fn readable(path: &Path) -> std::io::Result<()> {
    std::fs::File::open(path).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_leave_the_address() {
        let (servers, user) = servers("c", "nats://me:p%40ss@one:4222, two").expect("servers");
        assert_eq!(servers.iter().map(ServerAddr::as_url_str).collect::<Vec<_>>(), ["nats://one:4222", "nats://two"]);
        let user = user.expect("user");
        assert_eq!((user.user.as_str(), user.password.as_deref()), ("me", Some("p@ss")));
    }

    #[test]
    fn a_bad_url_is_refused_without_being_quoted() {
        for bad in ["", "http://u:secret@h", "nats://u:secret@:x"] {
            let error = servers("c", bad).map(drop).expect_err("refused").to_string();
            assert!(error.contains("`c`") && !error.contains("secret"), "{error}");
        }
    }
}
