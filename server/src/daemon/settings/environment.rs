//! The environment: the name of a setting's variable, and which variables look like settings and are not. clap reads
//! the variables. Only their names are read here, and the value of one.

/// The environment variable of a setting.
pub(super) fn variable(name: &str) -> String {
    format!("{PREFIX}{}", name.to_uppercase().replace('-', "_"))
}

const PREFIX: &str = "ELOCKD_";

/// Whether a variable is not a setting but the address of a service named `elockd`, as a URL. Kubernetes sets it, and
/// Docker for a link.
pub(super) fn is_address_of_a_service(variable: &str) -> bool {
    variable == "ELOCKD_PORT"
        && std::env::var_os(variable).is_some_and(|value| {
            let value = value.as_encoded_bytes();
            value.starts_with(b"tcp://") || value.starts_with(b"udp://")
        })
}

/// Whether a variable is another one of those that Kubernetes and Docker set.
fn is_of_a_service(variable: &str) -> bool {
    variable == "ELOCKD_SERVICE_HOST"
        || ["ELOCKD_SERVICE_PORT", "ELOCKD_PORT_"].iter().any(|prefix| variable.starts_with(prefix))
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
