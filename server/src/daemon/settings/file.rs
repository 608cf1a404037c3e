//! The configuration file: TOML, a flat table of settings by the names of their flags, and a table for each account.
//! The values of settings are passed on as text, so that the parser of the flags checks them too. Only the form of the
//! file is checked here.

use super::Occasion;
use super::accounts::{self, AccountError, AccountTables};
use rustix::fs::OFlags;
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use thiserror::Error;
use toml::Value;

/// The most bytes that are read of a file. All settings with comments take a few thousand. Without a limit, a path that
/// names a device or a wrong file would take memory until there is none.
const MOST_BYTES: u64 = 1 << 20;

/// The content of the file: each setting's values as text.
pub(super) type File = BTreeMap<String, Vec<String>>;

/// What is wrong with a file.
#[derive(Debug, Error)]
pub(crate) enum FileError {
    #[error("{0}")]
    Read(#[from] std::io::Error),
    #[error("it is not a regular file: SIGHUP reads no pipe and no device; restart the daemon to read it")]
    NotRegular,
    #[error("it is not UTF-8, as TOML must be")]
    NotText,
    #[error("it has more than {MOST_BYTES} bytes; is it the right file?")]
    TooLarge,
    #[error("{0}")]
    Syntax(#[from] toml::de::Error),
    #[error("`{key}` is not a setting; the settings are: {known}")]
    Unknown { key: String, known: String },
    #[error("`{key}` is a {found}; give a string, a whole number, true or false")]
    Type { key: String, found: &'static str },
    // TOML has octal numbers of its own: 0o660 would arrive as 432, and be read as octal again.
    #[error("`{key}` is octal: put it in quotes, such as \"660\"")]
    BareMode { key: String },
    #[error("`{key}` takes one value")]
    Several { key: String },
    #[error("{0}")]
    Value(String),
    #[error("{0}")]
    Account(#[from] AccountError),
}

/// Reads a file. `known` has the name of each setting, and whether it may have several values. At the start it may be a
/// pipe, as shells make them. Later it may not: what the pipe had is gone.
///
/// # Errors
///
/// If the file cannot be read, is too large, is not TOML, or has a key or a type that no setting has.
pub(super) fn read(
    path: &Path,
    known: &[(String, bool)],
    occasion: Occasion,
) -> Result<(File, AccountTables), FileError> {
    let mut options = OpenOptions::new();
    if occasion == Occasion::Reload {
        // It does not wait for somebody to write.
        options.custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    }
    let file = options.read(true).open(path)?;
    if occasion == Occasion::Reload && !file.metadata()?.is_file() {
        return Err(FileError::NotRegular);
    }
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(FileError::TooLarge);
    }
    let text = String::from_utf8(bytes).map_err(|_| FileError::NotText)?;
    parse(&text, known)
}

fn parse(text: &str, known: &[(String, bool)]) -> Result<(File, AccountTables), FileError> {
    let mut table: BTreeMap<String, Value> = toml::from_str(text)?;
    let accounts = table.remove("accounts").map(accounts::read).transpose()?.unwrap_or_default();
    let settings: Result<_, _> = table.into_iter().map(|(key, value)| entry(key, value, known)).collect();
    Ok((settings?, accounts))
}

fn entry(key: String, value: Value, known: &[(String, bool)]) -> Result<(String, Vec<String>), FileError> {
    let Some((_, is_list)) = known.iter().find(|(name, _)| *name == key) else {
        let known: Vec<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
        return Err(FileError::Unknown { key, known: known.join(", ") });
    };
    let values = match value {
        Value::Array(values) if *is_list => values,
        Value::Array(_) => return Err(FileError::Several { key }),
        value => vec![value],
    };
    let values: Result<_, _> = values.into_iter().map(|value| scalar(&key, value)).collect();
    values.map(|values| (key, values))
}

fn scalar(key: &str, value: Value) -> Result<String, FileError> {
    match value {
        Value::Integer(_) if is_mode(key) => Err(FileError::BareMode { key: key.to_owned() }),
        Value::String(text) => Ok(text),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Boolean(switch) => Ok(switch.to_string()),
        other => Err(FileError::Type { key: key.to_owned(), found: other.type_str() }),
    }
}

/// Whether a setting is a file's permissions. Those are octal.
pub(super) fn is_mode(name: &str) -> bool {
    name.ends_with("-mode")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<File, String> {
        let known = ["listen", "port", "dump", "unix-mode", "admin-unix-mode", "idle-timeout"];
        let known = known.map(|name| (name.to_owned(), name == "listen"));
        parse(text, &known).map(|(settings, _)| settings).map_err(|error| error.to_string())
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
    fn a_file_that_is_too_large_or_no_text_is_refused() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("elockd.toml");
        let known = [("port".to_owned(), false)];
        let most = usize::try_from(MOST_BYTES).unwrap();
        for occasion in [Occasion::Start, Occasion::Reload] {
            let read = |bytes: &[u8]| {
                std::fs::write(&path, bytes).unwrap();
                super::read(&path, &known, occasion).map_err(|error| error.to_string())
            };
            let setting = b"port = 7 # ";
            let comment = |length: usize| [&setting[..], &vec![b'x'; length - setting.len()]].concat();
            assert_eq!(read(&comment(most)).unwrap().0["port"], ["7"]);
            let refusal = "it has more than 1048576 bytes; is it the right file?";
            assert_eq!(read(&comment(most + 1)).unwrap_err(), refusal);
            assert_eq!(read(b"port = 7 # \xff").unwrap_err(), "it is not UTF-8, as TOML must be");
        }
        // It has no end.
        let refusal = super::read(Path::new("/dev/zero"), &known, Occasion::Start).unwrap_err();
        assert!(matches!(refusal, FileError::TooLarge), "{refusal}");
    }

    #[test]
    fn what_is_no_setting_is_refused_by_name() {
        assert!(
            read("prot = 1").unwrap_err().contains("`prot` is not a setting; the settings are: listen, port")
        );
        assert!(read("[port]\nx = 1").unwrap_err().contains("`port` is a table"));
        assert!(read("idle-timeout = 1.5").unwrap_err().contains("`idle-timeout` is a float"));
        for mode in ["unix-mode", "admin-unix-mode"] {
            let refusal = read(&format!("{mode} = 0o660")).unwrap_err();
            assert!(refusal.contains(&format!("`{mode}` is octal: put it in quotes")), "{refusal}");
        }
        assert!(read("port = [1]").unwrap_err().contains("`port` takes one value"));
        assert!(read("port = 1\nport = 2").unwrap_err().contains("duplicate"));
        assert!(read("port").is_err());
    }
}
