//! The origins of pages. A browser says of which origin the page is that connects. It is the only thing that keeps any
//! page on the web from using a daemon that its reader's machine can reach.

use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// Pages that may connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// All.
    Any,
    /// Those of one origin: a scheme, a host, and a port if it is not the scheme's own. In lower case.
    Page(String),
}

/// A text is no origin.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "give an origin as browsers do: `https://app.example`, `http://localhost:8080`, `null`, or `*` for all"
)]
pub struct ParseOriginError;

impl Origin {
    /// Whether a page that says this of itself is meant.
    #[must_use]
    pub fn is_of(&self, page: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Page(origin) => page.eq_ignore_ascii_case(origin.as_bytes()),
        }
    }
}

impl FromStr for Origin {
    type Err = ParseOriginError;

    fn from_str(text: &str) -> Result<Self, ParseOriginError> {
        match text {
            "*" => return Ok(Self::Any),
            // A page from a file, or in a sandbox.
            "null" => return Ok(Self::Page(text.to_owned())),
            _ => {}
        }
        let text = text.to_ascii_lowercase();
        let (scheme, rest) = text.split_once("://").ok_or(ParseOriginError)?;
        let is_scheme = !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let is_host = |host: &str| {
            !host.is_empty()
                && host.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#@*\"'".contains(&byte))
        };
        if !is_scheme || !is_host(rest) {
            return Err(ParseOriginError);
        }
        // Browsers leave the scheme's own port out.
        let own_port = match scheme {
            "http" => ":80",
            "https" => ":443",
            _ => return Ok(Self::Page(text)),
        };
        Ok(Self::Page(text.strip_suffix(own_port).unwrap_or(&text).to_owned()))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "*",
            Self::Page(origin) => origin,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_browsers_say() {
        for (text, pages, others) in [
            (
                "https://app.example",
                &["https://app.example", "https://APP.example"][..],
                &["http://app.example"][..],
            ),
            ("https://app.example:443", &["https://app.example"], &["https://app.example:443"]),
            (
                "http://localhost:8080",
                &["http://localhost:8080"],
                &["http://localhost", "http://localhost:80800"],
            ),
            ("http://[::1]:80", &["http://[::1]"], &["null"]),
            ("null", &["null"], &["", "https://app.example"]),
            ("*", &["null", "https://any.example", ""], &[]),
        ] {
            let origin: Origin = text.parse().unwrap();
            assert!(pages.iter().all(|page| origin.is_of(page.as_bytes())), "{text}");
            assert!(!others.iter().any(|page| origin.is_of(page.as_bytes())), "{text}");
        }
    }

    #[test]
    fn what_no_browser_says_is_refused() {
        for text in [
            "",
            "app.example",
            "https://",
            "https://a/",
            "https://a/b",
            "https://*.a",
            "://a",
            "https://a b",
            "https://u@a",
        ] {
            assert_eq!(text.parse::<Origin>(), Err(ParseOriginError), "{text}");
        }
    }
}
