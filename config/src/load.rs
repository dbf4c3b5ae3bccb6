//! Reading all sources, in their order, and what comes of them together.

use crate::{
    Config, ConfigError, Places,
    error::Place,
    file::read_settings,
    near::did_you_mean,
    secrets::shown,
    source::{Leaf, Rules, Source, Warning, read_pair, read_text},
    toml_text::toml_key,
};
use figment::{Figment, providers::Serialized};
use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};
use toml::{Table, Value, de::DeTable};

/// Variables with our prefix that are no settings.
const NOT_SETTINGS: [&str; 8] = [
    "TROUPE_HOME",
    "TROUPE_SESSION_ID",
    "TROUPE_SANDBOX",
    "TROUPE_SANDBOX_NETWORK_DISABLED",
    "TROUPE_CA_CERTIFICATE",
    "TROUPE_LOG",
    "TROUPE_BIN",
    "TROUPE_SYSTEM_CONFIG",
];

/// What is read, and how.
pub struct LoadOptions<'a> {
    /// The working directory (absolute): where a project's settings are looked for.
    pub cwd: PathBuf,
    /// The environment.
    pub variables: Vec<(OsString, OsString)>,
    /// `-c key=value`, in order; flags of the command line come as such, too.
    pub overrides: Vec<String>,
    /// `-p`.
    pub profile: Option<String>,
    /// Leave the user's file out.
    pub ignore_user: bool,
    /// Unknown settings are errors.
    pub strict: bool,
    /// The system's file.
    pub system_file: &'a Path,
}

/// The system's file.
pub const SYSTEM_FILE: &str = "/etc/troupe/config.toml";

impl LoadOptions<'static> {
    /// As a program does that was started in `cwd`: the process's environment, no overrides.
    #[must_use]
    pub fn new(cwd: impl Into<PathBuf>) -> Self {
        Self {
            cwd: cwd.into(),
            variables: std::env::vars_os().collect(),
            overrides: Vec::new(),
            profile: None,
            ignore_user: false,
            strict: false,
            system_file: Path::new(SYSTEM_FILE),
        }
    }
}

/// What was read.
#[derive(Clone)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// Where things are.
    pub places: Places,
    /// What is odd, but stops nothing.
    pub warnings: Vec<Warning>,
    /// Whether the project's own settings are used; `None` if there are none.
    pub trusted: Option<bool>,
    pub(crate) leaves: Vec<Leaf>,
    variables: Vec<(OsString, OsString)>,
}

// The environment and the values may hold secrets.
impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded").field("places", &self.places).finish_non_exhaustive()
    }
}

impl Loaded {
    /// Looks up a variable of the environment it was read with.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<OsString> {
        find(&self.variables, name)
    }
}

fn find(variables: &[(OsString, OsString)], name: &str) -> Option<OsString> {
    variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
}

/// Reads everything: built-in values, the system's file, the user's, its profile, the project's,
/// the environment, overrides; what is later wins.
///
/// # Errors
/// The first setting that cannot be used, with its place.
pub fn load(options: &LoadOptions<'_>) -> Result<Loaded, ConfigError> {
    let env = |name: &str| find(&options.variables, name);
    let mut places = Places::find(&env).ok_or_else(|| {
        ConfigError::of("there is no home directory: set HOME, or TROUPE_HOME to a folder of yours")
    })?;
    places.system_dir = options.system_file.parent().map(Path::to_owned).unwrap_or_default();
    let rules = Rules { strict: options.strict, project: false, folder: &options.cwd };
    let mut all = Source::default();
    let mut take = |mut source: Source| {
        all.warnings.append(&mut source.warnings);
        all.leaves.append(&mut source.leaves);
    };
    take(read_file(options.system_file, rules)?);
    let user = if options.ignore_user {
        Source::default()
    } else {
        read_file(&places.config_file, rules)?
    };
    let trust = trust(&user, &options.cwd);
    let profiles: Vec<Leaf> =
        user.leaves.iter().filter(|leaf| leaf.path[0] == "profiles").cloned().collect();
    let variables = from_environment(options, rules)?;
    let overrides = options.overrides.iter().map(|text| read_override(text, rules));
    let overrides = overrides.collect::<Result<Vec<_>, _>>()?;
    // A profile stands below the sources that may name it.
    let naming = std::iter::once(&user).chain(&variables).chain(&overrides);
    let mut named =
        naming.flat_map(|source| &source.leaves).filter(|leaf| leaf.path == ["profile"]);
    let named = named.next_back().and_then(|leaf| leaf.value.as_str()).map(str::to_owned);
    take(user);
    if let Some(name) = options.profile.clone().or(named) {
        let folder = places.config_file.parent().unwrap_or(&options.cwd);
        take(profile(&name, &profiles, Rules { folder, ..rules })?);
    }
    let mut files = project_files(&options.cwd, &places);
    if !trust.is_trusted() {
        files.retain(|file| fs::symlink_metadata(file).is_ok());
    }
    let trusted = (!files.is_empty()).then_some(trust.is_trusted());
    if trust.is_trusted() {
        for file in &files {
            take(read_file(file, Rules { project: true, ..rules })?);
        }
    } else if let [file, more @ ..] = files.as_slice() {
        let warning = not_trusted(file, more.len(), &trust, &options.cwd, &places);
        take(Source { warnings: vec![warning], leaves: Vec::new() });
    }
    variables.into_iter().chain(overrides).for_each(&mut take);
    let Source { leaves, warnings } = all;
    let config = extract(&leaves)?;
    let variables = options.variables.clone();
    Ok(Loaded { config, places, warnings, trusted, leaves, variables })
}

fn read_file(path: &Path, rules: Rules<'_>) -> Result<Source, ConfigError> {
    let name = path.display().to_string();
    let rules = Rules { folder: path.parent().unwrap_or(path), ..rules };
    match read_settings(path) {
        Ok(Some(text)) => read_text(&name, &text, rules),
        Ok(None) => Ok(Source::default()),
        Err(error) => {
            let place = error.line().map_or_else(|| name.clone(), |line| format!("{name}:{line}"));
            Err(ConfigError::at(Place::named(place), format!("the file cannot be used: {error}")))
        }
    }
}

/// The settings below `profiles.<name>`, checked as those at the top.
fn profile(name: &str, leaves: &[Leaf], rules: Rules<'_>) -> Result<Source, ConfigError> {
    let mut source = Source::default();
    let mut found = false;
    for leaf in leaves.iter().filter(|leaf| leaf.path.get(1).is_some_and(|known| known == name)) {
        found = true;
        let path: Vec<&str> = leaf.path[2..].iter().map(String::as_str).collect();
        let text = leaf.value.to_string();
        let mut one = read_pair(&leaf.place, &path, &text, rules)?;
        source.warnings.append(&mut one.warnings);
        source.leaves.append(&mut one.leaves);
    }
    if found { Ok(source) } else { Err(no_profile(name, leaves)) }
}

fn no_profile(name: &str, leaves: &[Leaf]) -> ConfigError {
    let mut names: Vec<&str> =
        leaves.iter().filter_map(|leaf| leaf.path.get(1)).map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    let near = did_you_mean(name, names.iter().copied());
    let near = if near.is_empty() { "." } else { &near };
    let name = shown(name);
    let list = if names.is_empty() {
        format!("There are none: add the table [{}]", toml_key(&["profiles", &name]))
    } else {
        format!("There are: {}", names.join(", "))
    };
    ConfigError::of(format!("there is no profile `{name}`{near} {list}"))
}

/// Whether the project's settings are used, and where that is said.
enum Trust {
    Trusted,
    /// Here it is said that they are not.
    Untrusted(Place),
    /// Nothing is said.
    Unknown,
}

impl Trust {
    fn is_trusted(&self) -> bool {
        matches!(self, Self::Trusted)
    }
}

/// Whether the user trusts the folder, or one it is in up to the root of its project: a clone inside
/// a trusted folder is a project of its own.
fn trust(user: &Source, cwd: &Path) -> Trust {
    let level = |folder: &Path| {
        let name = folder.to_str()?;
        let wanted = ["projects", name, "trust_level"];
        let leaf = user.leaves.iter().rev().find(|leaf| leaf.path == wanted)?;
        Some(match leaf.value.as_str() {
            Some("trusted") => Trust::Trusted,
            _ => Trust::Untrusted(leaf.place.clone()),
        })
    };
    let own = project_folders(cwd).find_map(level);
    own.or_else(|| level(&repository_of_worktree(project_root(cwd))?)).unwrap_or(Trust::Unknown)
}

/// Whether lines can stand at the end of a file: below an inline table of that name they cannot.
fn can_be_added(file: &Path, lines: &str) -> bool {
    let text = text_of(file).unwrap_or_default();
    DeTable::parse(&format!("{text}\n{lines}")).is_ok()
}

/// Says that a project's settings are not used, and what would have them used: lines that can be
/// pasted as they stand.
fn not_trusted(
    file: &Path,
    more: usize,
    trust: &Trust,
    cwd: &Path,
    places: &Places,
) -> ConfigError {
    let more = if more == 0 { String::new() } else { format!(" (nor those of {more} more files)") };
    let root = project_root(cwd);
    let help = match (trust, root.to_str()) {
        (Trust::Untrusted(place), _) => format!("{place} says `untrusted`"),
        (_, None) => "its path is not UTF-8, so it cannot be named as trusted".to_owned(),
        (_, Some(root)) => {
            let lines = format!("[{}]\ntrust_level = \"trusted\"\n", toml_key(&["projects", root]));
            let file = places.config_file.display();
            let (what, lines) = if can_be_added(&places.config_file, &lines) {
                (format!("add these lines to the end of {file}"), lines)
            } else {
                let entry = format!("{} = {{ trust_level = \"trusted\" }}\n", toml_key(&[root]));
                (format!("add this entry to `projects` in {file}"), entry)
            };
            format!("the project is not trusted. If you trust it, {what}:\n\n{lines}")
        }
    };
    let message = format!("these settings are not used{more}: {help}");
    ConfigError::at(Place::named(file.display().to_string()), message)
}

/// The text of a file that is of use if it can be read; a pipe in its place is not waited for.
fn text_of(file: &Path) -> Option<String> {
    read_settings(file).ok().flatten()
}

/// The repository that a git work tree belongs to, if both say so: a folder alone could name any.
fn repository_of_worktree(root: &Path) -> Option<PathBuf> {
    let link = root.join(".git");
    let text = text_of(&link)?;
    let entry = Path::new(text.trim().strip_prefix("gitdir: ")?);
    let back = text_of(&entry.join("gitdir"))?;
    if Path::new(back.trim()) != link {
        return None;
    }
    let folder = entry.parent().filter(|folder| folder.ends_with(".git/worktrees"))?;
    folder.parent()?.parent().map(Path::to_owned)
}

fn project_root(cwd: &Path) -> &Path {
    cwd.ancestors().find(|folder| folder.join(".git").exists()).unwrap_or(cwd)
}

/// The folders from `cwd` up to the root of its project.
fn project_folders(cwd: &Path) -> impl Iterator<Item = &Path> {
    let root = project_root(cwd);
    cwd.ancestors().take_while(move |folder| folder.starts_with(root))
}

/// The project's files, from its root down to `cwd`.
fn project_files(cwd: &Path, places: &Places) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = project_folders(cwd)
        .map(|folder| folder.join(".troupe/config.toml"))
        .filter(|file| *file != places.config_file && may_be_there(file))
        .collect();
    files.reverse();
    files
}

/// Whether something may be there, be it of use or not: what a trusted project has must be readable.
fn may_be_there(file: &Path) -> bool {
    let nothing = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];
    fs::symlink_metadata(file).map_or_else(|error| !nothing.contains(&error.kind()), |_| true)
}

fn from_environment(
    options: &LoadOptions<'_>,
    rules: Rules<'_>,
) -> Result<Vec<Source>, ConfigError> {
    let mut sources = Vec::new();
    for (name, value) in &options.variables {
        let Some(name) = name.to_str() else { continue };
        let Some(rest) = name.strip_prefix("TROUPE_") else { continue };
        if NOT_SETTINGS.contains(&name) || rest.starts_with("TEST_") {
            continue;
        }
        let place = Place::named(format!("environment variable {name}"));
        let Some(value) = value.to_str() else {
            return Err(ConfigError::at(place, "its value is not UTF-8"));
        };
        let path = rest.to_ascii_lowercase();
        let path: Vec<&str> = path.split("__").collect();
        sources.push(read_pair(&place, &path, value, rules)?);
    }
    Ok(sources)
}

fn read_override(text: &str, rules: Rules<'_>) -> Result<Source, ConfigError> {
    let place = Place::named(format!("-c {}", shown(text.split('=').next().unwrap_or(text))));
    let Some((key, value)) = text.split_once('=') else {
        let message = "expected KEY=VALUE, for instance -c model=gpt-5.5";
        return Err(ConfigError::at(Place::named(format!("-c {}", shown(text))), message));
    };
    let path = split_key(key.trim()).ok_or_else(|| {
        let message = "the key has an empty name, or a quote that is not closed; expected \
                       KEY=VALUE, for instance -c model=gpt-5.5";
        ConfigError::at(place.clone(), message)
    })?;
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    read_pair(&place, &path, value.trim(), rules)
}

/// The names of a dotted key; quotes keep dots together. None if one is empty or a quote stays open.
fn split_key(key: &str) -> Option<Vec<String>> {
    let mut names = vec![String::new()];
    let mut quote = None;
    for character in key.chars() {
        match (character, quote) {
            ('"' | '\'', None) => quote = Some(character),
            (end, Some(open)) if end == open => quote = None,
            ('.', None) => names.push(String::new()),
            (other, _) => {
                if let Some(name) = names.last_mut() {
                    name.push(other);
                }
            }
        }
    }
    let whole = quote.is_none() && names.iter().all(|name| !name.trim().is_empty());
    whole.then_some(names)
}

fn extract(leaves: &[Leaf]) -> Result<Config, ConfigError> {
    let mut figment = Figment::new();
    for source in leaves.chunk_by(|one, next| one.place.source == next.place.source) {
        let mut table = Table::new();
        for leaf in source {
            insert(&mut table, &leaf.path, leaf.value.clone());
        }
        figment = figment.merge(Serialized::defaults(table));
    }
    figment.extract().map_err(|error| {
        // Everything was checked against the table before.
        ConfigError::of(format!("the settings do not fit together: {error}"))
    })
}

fn insert(table: &mut Table, path: &[String], value: Value) {
    match path {
        [] => {}
        [name] => {
            table.insert(name.clone(), value);
        }
        [name, below @ ..] => {
            let inner = table.entry(name.clone()).or_insert_with(|| Value::Table(Table::new()));
            if !inner.is_table() {
                *inner = Value::Table(Table::new());
            }
            if let Value::Table(inner) = inner {
                insert(inner, below, value);
            }
        }
    }
}
