//! What a certificate says.

use std::net::IpAddr;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// The names of whoever a certificate is for: the alternative names, or the common name if there are none. Each as
/// text: a DNS name, an address of mail, a URI, an IP address.
pub(super) fn names(der: &[u8]) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return Vec::new() };
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let alternative = alternative.map_or(&[][..], |extension| &extension.value.general_names);
    let names: Vec<_> = alternative.iter().filter_map(name).collect();
    if names.is_empty() {
        let common = certificate.subject().iter_common_name();
        return common.filter_map(|name| name.as_str().ok()).map(str::to_owned).collect();
    }
    names
}

fn name(of: &GeneralName<'_>) -> Option<String> {
    match of {
        GeneralName::DNSName(name) | GeneralName::RFC822Name(name) | GeneralName::URI(name) => {
            Some((*name).to_owned())
        }
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
            16 => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
            _ => None,
        },
        _ => None,
    }
}

/// The seconds of Unix time from which on and until which a certificate is valid. `None` if it is no certificate.
pub(super) fn validity(der: &[u8]) -> Option<(i64, i64)> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let validity = certificate.validity();
    Some((validity.not_before.timestamp(), validity.not_after.timestamp()))
}
