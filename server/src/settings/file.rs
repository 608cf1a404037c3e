//! The configuration file: TOML, a flat table of settings by the names of their flags. What it says is
//! handed on as text, so that one and the same parser judges it as judges flags; here only its form counts.

use std::collections::BTreeMap;
use std::path::Path;
use toml::Value;

/// What the file says: each setting's values as text.
pub(super) type File = BTreeMap<String, Vec<String>>;

/// Reads a file. `known` says which settings there are.
///
/// # Errors
///
/// In words: it cannot be read, is no TOML, or has a key or a type that no setting has.
pub(super) fn read(path: &Path, known: &[String]) -> Result<File, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    parse(&text, known)
}

fn parse(text: &str, known: &[String]) -> Result<File, String> {
    let table: BTreeMap<String, Value> = toml::from_str(text).map_err(|error| error.to_string())?;
    table.into_iter().map(|(key, value)| entry(key, value, known)).collect()
}

fn entry(key: String, value: Value, known: &[String]) -> Result<(String, Vec<String>), String> {
    if !known.contains(&key) {
        return Err(format!("`{key}` is no setting; there are: {}", known.join(", ")));
    }
    let values = match value {
        Value::Array(values) => values.into_iter().map(|value| scalar(&key, value)).collect(),
        value => scalar(&key, value).map(|value| vec![value]),
    };
    values.map(|values| (key, values))
}

fn scalar(key: &str, value: Value) -> Result<String, String> {
    match value {
        // TOML has octal numbers of its own: 0o660 would arrive as 432, and be read as octal again.
        Value::Integer(_) if key == "unix-mode" => {
            Err("`unix-mode` is octal: put it in quotes, such as \"660\"".to_owned())
        }
        Value::String(text) => Ok(text),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Boolean(switch) => Ok(switch.to_string()),
        other => {
            Err(format!("`{key}` is a {}; give a string, a whole number, true or false", other.type_str()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<File, String> {
        parse(text, &["listen", "port", "dump", "unix-mode", "idle-timeout"].map(str::to_owned))
    }

    #[test]
    fn values_of_every_type_are_handed_on_as_text() {
        let file =
            read("listen = ['::1', '127.0.0.1:1']\nport = 7 # seven\ndump = false\nunix-mode = '600'\n");
        let file = file.unwrap();
        assert_eq!(file["listen"], ["::1", "127.0.0.1:1"]);
        assert_eq!((&*file["port"][0], &*file["dump"][0], &*file["unix-mode"][0]), ("7", "false", "600"));
        assert_eq!(read(""), Ok(File::new()));
    }

    #[test]
    fn what_is_no_setting_is_refused_by_name() {
        assert!(read("prot = 1").unwrap_err().contains("`prot` is no setting; there are: listen, port"));
        assert!(read("[port]\nx = 1").unwrap_err().contains("`port` is a table"));
        assert!(read("idle-timeout = 1.5").unwrap_err().contains("`idle-timeout` is a float"));
        assert!(read("unix-mode = 0o660").unwrap_err().contains("in quotes"));
        assert!(read("port = 1\nport = 2").unwrap_err().contains("duplicate"));
        assert!(read("port").is_err());
    }
}
