//! Who may ask.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

/// Turns away browsers that were lured here: a page of another site whose name was made to resolve to this machine
/// still names that site (DNS rebinding). Only where we listen for this machine alone; elsewhere names are not ours
/// to know.
pub async fn host(State(listen): State<SocketAddr>, request: Request, next: Next) -> Response {
    let named = request.headers().get(header::HOST).map(|host| host.to_str().unwrap_or("?").to_owned());
    let asked = request.uri().authority().map(ToString::to_string);
    let foreign = listen.ip().is_loopback() && named.into_iter().chain(asked).any(|host| !is_loopback(&host));
    if foreign {
        let why = "this address serves its own machine only, and the request names another host\n";
        return (StatusCode::FORBIDDEN, why).into_response();
    }
    next.run(request).await
}

/// `localhost`, `127.0.0.1:7474`, `[::1]:7474`…
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or(rest, |(address, _)| address),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Whether the request bears the token, if one is asked for.
pub fn bears(token: Option<&SecretString>, headers: &HeaderMap) -> bool {
    let Some(token) = token else { return true };
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given =
        given.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    // Digests are compared, so that how long it takes says nothing about the token.
    given.is_some_and(|(_, given)| Sha256::digest(given.trim()) == Sha256::digest(token.expose_secret()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_machine_are_told_from_others() {
        for ours in ["localhost", "LOCALHOST:7474", "127.0.0.1", "127.0.0.1:7474", "[::1]:7474", "[::1]", "127.9.9.9"] {
            assert!(is_loopback(ours), "{ours}");
        }
        for foreign in ["evil.example", "evil.example:7474", "localhost.evil.example", "10.0.0.1", "[::2]:1", "", "?"] {
            assert!(!is_loopback(foreign), "{foreign}");
        }
    }

    #[test]
    fn a_token_must_be_borne_when_there_is_one() {
        let token = SecretString::from("s3cret");
        let with = |value: &str| HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().expect("a header"))]);
        assert!(bears(None, &HeaderMap::new()));
        assert!(bears(Some(&token), &with("Bearer s3cret")));
        for wrong in ["Bearer other", "Basic s3cret", "s3cret", "Bearer "] {
            assert!(!bears(Some(&token), &with(wrong)), "{wrong}");
        }
        assert!(!bears(Some(&token), &HeaderMap::new()));
    }
}
