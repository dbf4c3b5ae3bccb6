//! What commands must not reach, and what must go on working, measured by the effect outside:
//! `attacks/cases.toml`, as this user and, where this is root, as an ordinary one too.
//!
//! `ATTACK_PREFIX` runs the cases through another program: `MODE` in it is the mode
//! (`ATTACK_PREFIX="codex sandbox -c sandbox_mode=MODE --"`); `ATTACK_REPORT` names a file for the
//! outcome of each case; `ATTACK_ONLY` picks those whose name holds a text.

#![cfg(target_os = "linux")]

use serde::Deserialize;
use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt::Write as _,
    fs::{self, File},
    os::unix::{ffi::OsStringExt, fs::PermissionsExt, process::CommandExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use troupe_tests::{binary, machine, skip};

/// Nobody, on every distribution.
const ORDINARY: u32 = 65534;
/// How many cases run at once.
const WORKERS: usize = 4;
/// A case that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
struct Cases {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default)]
    everyday: bool,
    #[serde(default = "workspace_write")]
    modes: Vec<String>,
    /// `root` or `ordinary`: makes sense for that user alone.
    user: Option<String>,
    /// What it says nothing without: programs, or `user namespaces`.
    #[serde(default)]
    needs: Vec<String>,
    #[serde(default)]
    setup: String,
    #[serde(default)]
    run: String,
    /// Instead of `run`: a program; `<ff>` is a byte.
    #[serde(default)]
    argv: Vec<String>,
    #[serde(default)]
    during: String,
    check: String,
    #[serde(default)]
    input: String,
    /// The directory, if it is not the workspace.
    cwd: Option<String>,
    /// A file outside that descriptors 8 and 9 are open to.
    open: Option<String>,
    /// The signal that ends the sandbox once `up` is there.
    kill: Option<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
}

fn workspace_write() -> Vec<String> {
    vec!["workspace-write".to_owned()]
}

#[test]
fn commands_reach_what_they_may_and_nothing_else() {
    let text = fs::read_to_string(binary::workspace_root().join("tests/attacks/cases.toml"));
    let cases: Cases = toml::from_str(&text.unwrap()).unwrap();
    let root = machine::root();
    let users: &[Option<u32>] = if root { &[None, Some(ORDINARY)] } else { &[None] };
    // What keeps cases from being tried, each with their number.
    let mut left_out: BTreeMap<String, usize> = BTreeMap::new();
    if !root {
        let of_root = |case: &&Case| case.user.as_deref() == Some("root");
        left_out.insert("root".to_owned(), cases.case.iter().filter(of_root).count());
    }
    let only = std::env::var("ATTACK_ONLY").unwrap_or_default();
    let mut report = String::new();
    let (mut count, mut failed) = (0, Vec::new());
    for user in users {
        let name = if root && user.is_none() { "root" } else { "ordinary" };
        let stage = Stage::new(*user);
        let wanted = |case: &&Case| {
            case.name.contains(&only) && case.user.as_deref().is_none_or(|wanted| wanted == name)
        };
        let mut possible: Vec<&Case> = cases.case.iter().filter(wanted).collect();
        possible.retain(|case| {
            let missing = stage.missing(case);
            let first = missing.first().cloned();
            first.map(|what| *left_out.entry(what).or_default() += 1).is_none()
        });
        let jobs: Vec<(&Case, &String)> = possible
            .into_iter()
            .flat_map(|case| case.modes.iter().map(move |mode| (case, mode)))
            .collect();
        let next = AtomicUsize::new(0);
        let work = || {
            let mut done = Vec::new();
            while let Some((case, mode)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                let began = Instant::now();
                let found = stage.try_case(case, mode);
                if began.elapsed() > Duration::from_secs(2) {
                    println!("{} ({name}, {mode}) took {:?}", case.name, began.elapsed());
                }
                done.push((*case, *mode, found));
            }
            done
        };
        // Most of them wait for something.
        let done: Vec<_> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
            workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
        });
        for (case, mode, found) in done {
            count += 1;
            let kind = if case.everyday { "everyday" } else { "attack" };
            let verdict = if found.is_ok() { "ok" } else { "FAILED" };
            writeln!(report, "{verdict}\t{name}\t{mode}\t{kind}\t{}", case.name).unwrap();
            if let Err(why) = found {
                failed.push(format!("{} ({name}, {mode}): {why}", case.name));
            }
        }
    }
    if let Some(path) = std::env::var_os("ATTACK_REPORT") {
        fs::write(path, report).unwrap();
    }
    for (what, number) in left_out {
        skip::skipped(&format!("{number} cases"), &format!("need {what}"));
    }
    println!("{} of {count} cases as they should be", count - failed.len());
    assert!(count > 0 && failed.is_empty(), "{} of {count}:\n{}", failed.len(), failed.join("\n"));
}

/// A folder that one user's cases run in, outside of what is writable for all.
struct Stage {
    folder: tempfile::TempDir,
    user: Option<u32>,
    /// What was looked for, and whether it is there.
    known: Mutex<BTreeMap<String, bool>>,
}

impl Stage {
    fn new(user: Option<u32>) -> Self {
        let folder = tempfile::Builder::new().prefix("troupe-attacks-").tempdir_in("/var/tmp");
        let folder = folder.unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::copy(binary::troupe(), folder.path().join("troupe")).unwrap();
        let probe = binary::workspace_root().join("tests/attacks/probe.py");
        fs::copy(probe, folder.path().join("probe.py")).unwrap();
        Self { folder, user, known: Mutex::default() }
    }

    fn path(&self) -> OsString {
        // What is in root's own folders is of no use to others.
        let own = std::env::var_os("PATH").unwrap_or_default();
        if self.user.is_some() {
            "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin".into()
        } else {
            own
        }
    }

    /// What a case needs and this machine does not have.
    fn missing(&self, case: &Case) -> Vec<String> {
        let scripts = [&case.setup, &case.run, &case.during, &case.check];
        let python = scripts.iter().any(|text| text.contains("$P") || text.contains("python3"));
        let python = python.then_some("/usr/bin/python3");
        let needs = case.needs.iter().map(String::as_str).chain(python);
        needs.filter(|what| !self.has(what)).map(str::to_owned).collect()
    }

    fn has(&self, program: &str) -> bool {
        let mut known = self.known.lock().unwrap();
        *known.entry(program.to_owned()).or_insert_with(|| self.looks_for(program))
    }

    fn looks_for(&self, program: &str) -> bool {
        let script = match program {
            "user namespaces" => "unshare -Urm true".to_owned(),
            program => format!("command -v {program} && {program} --version"),
        };
        let mut command = self.command("sh", Path::new("/"), &BTreeMap::new());
        command.args(["-c", &script]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.status().unwrap().success()
    }

    /// A program of the stage's user, with nothing in its environment but what is given.
    fn command(&self, program: &str, cwd: &Path, env: &BTreeMap<String, String>) -> Command {
        let mut command = match self.user {
            None => Command::new(program),
            Some(user) => {
                let mut command = Command::new("setpriv");
                let user = user.to_string();
                command.args(["--reuid", &user, "--regid", &user, "--clear-groups", program]);
                command
            }
        };
        command.env_clear().env("PATH", self.path()).envs(env).current_dir(cwd).process_group(0);
        for name in ["CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
    }

    fn try_case(&self, case: &Case, mode: &str) -> Result<(), String> {
        let folder = tempfile::Builder::new().prefix("case-").tempdir_in(self.folder.path());
        let folder =
            fs::canonicalize(folder.as_ref().unwrap().path()).map(|p| (p, folder)).unwrap();
        let (base, _folder) = folder;
        let place = |name: &str| base.join(name);
        for name in ["work", "out", "home"] {
            fs::create_dir(place(name)).unwrap();
        }
        if let Some(user) = self.user {
            for path in [base.clone(), place("work"), place("out"), place("home")] {
                std::os::unix::fs::chown(path, Some(user), Some(user)).unwrap();
            }
        }
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        let probe = format!("/usr/bin/python3 {}", text(self.folder.path().join("probe.py")));
        let mut env = BTreeMap::from([
            ("W".to_owned(), text(place("work"))),
            ("O".to_owned(), text(place("out"))),
            ("HOME".to_owned(), text(place("home"))),
            ("TROUPE_HOME".to_owned(), text(place("home/troupe"))),
            ("TH".to_owned(), text(place("home/troupe"))),
            ("CODEX_HOME".to_owned(), text(place("home/codex"))),
            ("P".to_owned(), probe),
            ("N".to_owned(), number().to_string()),
            ("RUSTUP_HOME".to_owned(), rustup_home()),
            ("OUT".to_owned(), text(place("stdout"))),
            ("ERR".to_owned(), text(place("stderr"))),
        ]);
        fs::create_dir_all(place("home/codex")).unwrap();
        let work = place("work");
        self.script(&format!("set -e\n{}", case.setup), &work, &env)
            .map_err(|why| format!("the setup failed: {why}"))?;
        let cwd = case.cwd.as_ref().map_or(work.clone(), |cwd| {
            bytes(&cwd.replace("$O", &env["O"]).replace("$W", &env["W"])).into()
        });
        let status = self.inside(case, mode, &cwd, &env, &base)?;
        let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
        env.insert("RC".to_owned(), code.unwrap_or(-1).to_string());
        self.script(&case.check, &work, &env).map_err(|why| {
            let read = |name: &str| {
                let bytes = fs::read(place(name)).unwrap_or_default();
                String::from_utf8_lossy(&bytes[..bytes.len().min(1500)]).into_owned()
            };
            format!(
                "{why}; it ended with {code:?}, out {:?}, err {:?}",
                read("stdout"),
                read("stderr")
            )
        })
    }

    fn script(
        &self,
        script: &str,
        cwd: &Path,
        env: &BTreeMap<String, String>,
    ) -> Result<(), String> {
        let mut command = self.command("sh", cwd, env);
        let output = self.folder.path().join(format!("script-{}.out", number()));
        let file = File::create(&output).unwrap();
        command.args(["-c", script]).stdin(Stdio::null());
        command.stdout(file.try_clone().unwrap()).stderr(file);
        let status = wait(command.spawn().unwrap())?;
        if status.success() {
            return Ok(());
        }
        Err(format!("{status}: {}", fs::read_to_string(output).unwrap_or_default()))
    }

    fn inside(
        &self,
        case: &Case,
        mode: &str,
        cwd: &Path,
        env: &BTreeMap<String, String>,
        base: &Path,
    ) -> Result<std::process::ExitStatus, String> {
        let prefix = std::env::var("ATTACK_PREFIX").unwrap_or_else(|_| {
            format!("{}/troupe sandbox -s MODE --", self.folder.path().display())
        });
        let prefix = prefix.replace("MODE", mode);
        let mut words = prefix.split_whitespace();
        let program = words.next().unwrap();
        // The command's own environment is the sandbox's business, but for what the case needs.
        let mut own = env.clone();
        own.retain(|name, _| !["W", "O", "P", "N", "TH", "OUT", "ERR"].contains(&name.as_str()));
        own.extend(case.env.clone());
        let names = ["W", "O", "P", "N", "TH"];
        let assigned: String =
            names.iter().map(|name| format!("{name}='{}'; export {name}\n", env[*name])).collect();
        let mut inner: Vec<OsString> = vec!["sh".into(), "-c".into()];
        inner.push(format!("{assigned}{}", case.run).into());
        if !case.argv.is_empty() {
            inner = case.argv.iter().map(|word| bytes(word)).collect();
        }
        let mut command = match &case.open {
            None => self.command(program, cwd, &own),
            Some(file) => {
                let mut command = self.command("sh", cwd, &own);
                let open = format!("exec 8>>\"$1/{file}\" 9>>\"$1/{file}\"; shift; exec \"$@\"");
                command.args(["-c", &open, "sh", &env["O"], program]);
                command
            }
        };
        command.args(words).args(inner);
        let input = base.join("stdin");
        fs::write(&input, &case.input).unwrap();
        command.stdin(File::open(input).unwrap());
        command.stdout(File::create(base.join("stdout")).unwrap());
        command.stderr(File::create(base.join("stderr")).unwrap());
        if let Some(user) = self.user {
            for name in ["stdout", "stderr"] {
                std::os::unix::fs::chown(base.join(name), Some(user), Some(user)).unwrap();
            }
        }
        let child = command.spawn().map_err(|error| error.to_string())?;
        if case.kill.is_some() || !case.during.is_empty() {
            let began = Instant::now();
            while !cwd.join("up").exists() && began.elapsed() < Duration::from_secs(10) {
                std::thread::yield_now();
            }
        }
        if !case.during.is_empty() {
            let _reached_or_not = self.script(&case.during, cwd, env);
        }
        if let Some(signal) = &case.kill {
            // The program itself, not its group: that is the harder case.
            let kill = Command::new("kill")
                .args([&format!("-{signal}"), &child.id().to_string()])
                .status();
            assert!(kill.unwrap().success());
        }
        wait(child)
    }
}

/// A number that no other case has, also of another run.
fn number() -> u32 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    std::process::id() % 100_000 * 1000 + COUNT.fetch_add(1, Ordering::Relaxed)
}

fn rustup_home() -> String {
    std::env::var("RUSTUP_HOME")
        .or_else(|_| std::env::var("HOME").map(|home| format!("{home}/.rustup")))
        .unwrap_or_default()
}

/// A word in which `<ff>` stands for a byte.
fn bytes(word: &str) -> OsString {
    let mut bytes = Vec::new();
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('<') {
        bytes.extend_from_slice(before.as_bytes());
        let (digits, after) = after.split_once('>').unwrap();
        bytes.push(u8::from_str_radix(digits, 16).unwrap());
        rest = after;
    }
    bytes.extend_from_slice(rest.as_bytes());
    OsString::from_vec(bytes)
}

fn wait(mut child: Child) -> Result<std::process::ExitStatus, String> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            return Ok(status);
        }
        if began.elapsed() > PATIENCE {
            let group = format!("-{}", child.id());
            let _gone = Command::new("kill").args(["-KILL", "--", &group]).status();
            let _ended = child.wait();
            return Err("it hangs".to_owned());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
