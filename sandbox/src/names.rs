//! Names that mean something to programs which people run outside: a command must not write them.

/// Folders and files that stay read-only wherever they are found below a writable root.
pub(crate) const PROTECTED: [&str; 10] = [
    ".git",
    ".troupe",
    ".codex",
    ".agents",
    ".claude",
    ".cursor",
    ".vscode",
    ".zed",
    ".idea",
    ".devcontainer",
];
/// Those of them that cannot be made at the top of a writable root either.
pub(crate) const NOT_MADE: [&str; 6] =
    [".git", ".troupe", ".codex", ".agents", ".claude", ".vscode"];

/// Folders that hold what machines make: thousands of files, and no work of the user's.
pub(crate) const NOT_SEARCHED: [&str; 6] =
    ["node_modules", "target", "__pycache__", ".venv", ".tox", ".mypy_cache"];

/// Caches below the home directory that compilers and package managers cannot do without, and the
/// variable that names another place where there is none.
pub(crate) const CACHES: [(&str, Option<&str>); 9] = [
    (".cache", Some("XDG_CACHE_HOME")),
    (".npm", Some("npm_config_cache")),
    (".cargo/registry", None),
    (".cargo/git", None),
    ("go/pkg", Some("GOMODCACHE")),
    (".gradle", Some("GRADLE_USER_HOME")),
    (".m2", None),
    (".bun/install/cache", Some("BUN_INSTALL_CACHE_DIR")),
    (".nuget/packages", Some("NUGET_PACKAGES")),
];

/// Whether a name is protected, in whatever case: some file systems do not tell them apart.
#[must_use]
pub fn is_protected_name(name: &str) -> bool {
    PROTECTED.iter().any(|protected| name.eq_ignore_ascii_case(protected))
}
