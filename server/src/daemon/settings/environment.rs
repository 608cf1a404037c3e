//! The environment: the name of a setting's variable, and which variables look like settings and are not. clap reads
//! the variables. Only their names are read here, and the value of one.

/// The environment variable of a setting.
pub(super) fn variable(name: &str) -> String {
    format!("{PREFIX}{}", name.to_uppercase().replace('-', "_"))
}

const PREFIX: &str = "ELOCKD_";

/// Whether a variable counts as a setting that is made: others are set by programs that do not mean it.
pub(super) fn counts(variable: &str) -> bool {
    !is_empty(variable) && !is_address_of_a_service(variable)
}

/// Whether a variable is there and empty. Programs that start others cannot always leave a variable out, and write it
/// so if it has no value.
fn is_empty(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| value.is_empty())
}

/// Whether a variable is not a setting but the address of a service named `elockd`, as a URL. Kubernetes sets it, and
/// Docker for a link.
fn is_address_of_a_service(variable: &str) -> bool {
    variable == "ELOCKD_PORT" && is_address(variable)
}

/// Whether the value of a variable is the address of a service.
fn is_address(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| {
        let value = value.as_encoded_bytes();
        ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme.as_bytes()))
    })
}

/// Whether a variable is one that they set for a service that is called `elockd` or `elockd-…`. The name of the service
/// comes first, so only the end tells.
fn is_of_a_service(variable: &str) -> bool {
    let after = |part: &str| variable.split_once(part).map(|(_, rest)| rest);
    let is_port = |rest: &str| {
        let mut parts = rest.splitn(3, '_');
        let number = parts.next().unwrap_or_default();
        !number.is_empty()
            && number.bytes().all(|digit| digit.is_ascii_digit())
            && matches!(parts.next(), Some("TCP" | "UDP" | "SCTP"))
            && matches!(parts.next(), None | Some("ADDR" | "PORT" | "PROTO"))
    };
    variable.ends_with("_SERVICE_HOST")
        || after("_SERVICE_PORT").is_some_and(|name| name.is_empty() || name.starts_with('_'))
        || after("_PORT_").is_some_and(is_port)
        || variable.ends_with("_PORT") && is_address(variable)
}

/// A warning for each variable with our prefix that is not a setting. Most likely it is misspelt.
pub(super) fn warnings(settings: &[String]) -> Vec<String> {
    let known: Vec<String> =
        settings.iter().map(String::as_str).chain(["config", "connect"]).map(variable).collect();
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let warning = |name: String| {
        if is_address_of_a_service(&name) {
            Some(format!(
                "the environment variable {name} counts as not set: it is the address of a service, as Kubernetes and \
                 Docker set it for one that is called elockd"
            ))
        } else if known.contains(&name) || is_of_a_service(&name) {
            None
        } else {
            Some(format!("the environment variable {name} is no setting of elockd"))
        }
    };
    names.filter(|name| name.starts_with(PREFIX)).filter_map(warning).collect()
}
