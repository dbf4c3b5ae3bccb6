//! Commands held by the real kernel: what they reach, how they end, what is left of them.
//!
//! The test program is its own launcher.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test program")]

#[allow(unreachable_pub, clippy::disallowed_methods)]
#[path = "../../tests/src/skip.rs"]
mod skip;

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    net::TcpListener,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use troupe_sandbox::{
    Command, EnvPolicy, Exit, LaunchError, Launcher, Profile, Started, Surveyor, child_env,
    resolve, run_if_launcher,
};
use troupe_types::{SandboxMode, SandboxSettings};

const PATIENCE: Duration = Duration::from_secs(20);

fn main() {
    run_if_launcher();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let tests: &[(&str, Make)] = &[
        ("modes_hold_what_they_say", |stage| Box::pin(modes_hold_what_they_say(stage))),
        ("protected_names_hold_and_leave_no_litter", |stage| Box::pin(protected_names(stage))),
        ("names_shared_by_two_hosts_stay_protected", |stage| Box::pin(shared_names(stage))),
        ("a_failed_set_up_weakens_nothing", |stage| Box::pin(failed_set_up(stage))),
        ("the_network_is_off_unless_asked_for", |stage| Box::pin(network(stage))),
        ("the_kernel_is_out_of_reach", |stage| Box::pin(kernel(stage))),
        ("everyday_work_works", |stage| Box::pin(everyday(stage))),
        ("exits_are_told", |stage| Box::pin(exits(stage))),
        ("failures_name_their_cause", |stage| Box::pin(failures(stage))),
        ("the_whole_tree_ends_when_it_is_let_go", |stage| Box::pin(trees(stage))),
        ("both_streams_are_one_pipe", |stage| Box::pin(streams(stage))),
        ("strays_are_counted", |stage| Box::pin(strays(stage))),
        ("a_dead_launcher_is_replaced", |stage| Box::pin(dead_launcher(stage))),
        ("terminals_are_real", |stage| Box::pin(terminals(stage))),
        ("an_interrupt_reaches_the_group", |stage| Box::pin(interrupts(stage))),
        ("commands_have_groups_where_they_are_delegated", |stage| Box::pin(groups(stage))),
        ("many_launches_leave_nothing", |stage| Box::pin(many(stage))),
    ];
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    for (name, test) in tests {
        if wanted.as_ref().is_none_or(|wanted| name.contains(wanted.as_str())) {
            if NAMESPACED.contains(name) && !skip::user_namespaces() {
                skip::skipped(name, "needs user namespaces");
                continue;
            }
            let stage = Stage::new();
            runtime.as_ref().unwrap().block_on(test(&stage));
            println!("test {name} ... ok");
        }
    }
}

/// What holds with user namespaces only.
const NAMESPACED: &[&str] = &[
    "a_failed_set_up_weakens_nothing",
    "the_kernel_is_out_of_reach",
    "everyday_work_works",
    // Elsewhere a command goes on, held by its own init and the host.
    "a_dead_launcher_is_replaced",
];

type Make = fn(&Stage) -> Test<'_>;
type Test<'a> = std::pin::Pin<Box<dyn Future<Output = ()> + 'a>>;

struct Stage {
    folder: tempfile::TempDir,
    launcher: Arc<Launcher>,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("held-").tempdir_in("/var/tmp").unwrap();
        fs::create_dir_all(folder.path().join("work/.git")).unwrap();
        fs::create_dir_all(folder.path().join("bare")).unwrap();
        fs::write(folder.path().join("work/file"), "old").unwrap();
        fs::write(folder.path().join("outside"), "old").unwrap();
        Self { folder, launcher: Arc::new(Launcher::default()) }
    }

    fn work(&self) -> std::path::PathBuf {
        self.folder.path().join("work")
    }

    fn profile(&self, mode: SandboxMode, cwd: &Path) -> Profile {
        let settings = SandboxSettings {
            mode,
            exclude_slash_tmp: true,
            exclude_tmpdir_env_var: true,
            ..SandboxSettings::default()
        };
        resolve(&settings, cwd, &Surveyor::default()).unwrap()
    }

    async fn run_in(&self, mode: SandboxMode, cwd: &Path, script: &str) -> (Exit, String) {
        self.run_with(&self.profile(mode, cwd), cwd, script).await
    }

    async fn run(&self, mode: SandboxMode, script: &str) -> (Exit, String) {
        self.run_in(mode, &self.work(), script).await
    }

    async fn run_with(&self, profile: &Profile, cwd: &Path, script: &str) -> (Exit, String) {
        let started = self.launcher.launch(&shell(cwd, script), profile).await.unwrap();
        let Started { output, notes, exit, kill, .. } = started;
        let (exit, out, notes) =
            tokio::time::timeout(PATIENCE, async { tokio::join!(exit, read(output), read(notes)) })
                .await
                .unwrap();
        kill();
        (exit.exit, out + &notes)
    }
}

fn shell(cwd: &Path, script: &str) -> Command {
    let argv = ["/bin/sh", "-c", script].map(OsString::from).to_vec();
    let env = child_env(&EnvPolicy::default(), std::env::vars_os(), &[]);
    Command { argv, env, cwd: cwd.to_owned(), script: true, terminal: false }
}

async fn read(mut from: impl AsyncRead + Unpin) -> String {
    let mut text = Vec::new();
    from.read_to_end(&mut text).await.unwrap();
    String::from_utf8_lossy(&text).into_owned()
}

/// Waits for a condition that nobody reports.
fn until(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        std::thread::yield_now();
    }
}

fn running(marker: &str) -> BTreeSet<u32> {
    let pids = fs::read_dir("/proc").unwrap().flatten();
    pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.windows(marker.len()).any(|part| part == marker.as_bytes())
        })
        .collect()
}

async fn modes_hold_what_they_say(stage: &Stage) {
    let outside = stage.folder.path().join("outside");
    let script = "echo new > file; echo new > made; echo new > ../outside; cat /etc/hostname > /dev/null && echo read";
    let (_, out) = stage.run(SandboxMode::ReadOnly, script).await;
    assert!(out.contains("read"), "{out}");
    assert_eq!(fs::read_to_string(stage.work().join("file")).unwrap(), "old");
    assert!(!stage.work().join("made").exists());
    let (_, out) = stage.run(SandboxMode::WorkspaceWrite, script).await;
    assert!(out.contains("read"), "{out}");
    assert_eq!(fs::read_to_string(stage.work().join("file")).unwrap(), "new\n");
    // Where names cannot be protected, nothing new is made beside them.
    assert_eq!(stage.work().join("made").exists(), skip::user_namespaces());
    assert_eq!(fs::read_to_string(&outside).unwrap(), "old");
    stage.run(SandboxMode::DangerFullAccess, script).await;
    assert_eq!(fs::read_to_string(&outside).unwrap(), "new\n");
}

async fn protected_names(stage: &Stage) {
    let script = "echo x > .git/config; rm -rf .git; mv .git .other; mkdir .troupe; echo x > .troupe/config.toml; echo done";
    let (_, out) = stage.run(SandboxMode::WorkspaceWrite, script).await;
    assert!(out.contains("done"), "{out}");
    assert!(stage.work().join(".git").is_dir());
    assert_eq!(fs::read_dir(stage.work().join(".git")).unwrap().count(), 0);
    until("no litter", || !stage.work().join(".troupe").exists());
    // Nothing there yet: it cannot be made, and nothing is left.
    let bare = stage.folder.path().join("bare");
    let (exit, _) =
        stage.run_in(SandboxMode::WorkspaceWrite, &bare, "mkdir .git && touch .git/config").await;
    assert_ne!(exit, Exit::Code(0));
    until("no litter", || fs::read_dir(&bare).unwrap().count() == 0);
}

/// Two hosts need the same name kept free: the end of the one's command leaves the other's held.
async fn shared_names(stage: &Stage) {
    let other = Launcher::default();
    let bare = stage.folder.path().join("bare");
    let profile = stage.profile(SandboxMode::WorkspaceWrite, &bare);
    let script = "echo up; read line < ../go; mkdir .git/x && echo made";
    let fifo = stage.folder.path().join("go");
    assert!(stage.run(SandboxMode::DangerFullAccess, "mkfifo ../go").await.0 == Exit::Code(0));
    let started = other.launch(&shell(&bare, script), &profile).await.unwrap();
    let Started { mut output, exit, kill, .. } = started;
    output.read_exact(&mut [0; 3]).await.unwrap();
    // Resolved while the name is there; it is gone from that launcher's view when it has ended.
    let profile = stage.profile(SandboxMode::WorkspaceWrite, &bare);
    let (exit_here, out) = stage.run_with(&profile, &bare, "touch .git/config").await;
    assert_ne!(exit_here, Exit::Code(0), "{out}");
    fs::write(&fifo, "go\n").unwrap();
    assert_ne!(exit.await.exit, Exit::Code(0));
    assert!(!read(output).await.contains("made"));
    drop(kill);
    until("no litter", || fs::read_dir(&bare).unwrap().count() == 0);
}

/// A set-up that fails for a reason of its own fails that command, and weakens no other.
async fn failed_set_up(stage: &Stage) {
    let mut profile = stage.profile(SandboxMode::WorkspaceWrite, &stage.work());
    profile.roots[0].protected.push(stage.work().join("gone"));
    let command = shell(&stage.work(), "echo ran > ran");
    let Err(error) = stage.launcher.launch(&command, &profile).await else {
        panic!("it ran without what was to be protected");
    };
    assert!(matches!(error, LaunchError::Unenforceable(_)), "{error}");
    assert!(!stage.work().join("ran").exists());
    // The next one has namespaces of its own again: something new can be made beside `.git`.
    let (exit, out) =
        stage.run(SandboxMode::WorkspaceWrite, "echo x > new && ! touch .git/x").await;
    assert_eq!(exit, Exit::Code(0), "{out}");
}

async fn network(stage: &Stage) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let script = format!("exec 3<>/dev/tcp/127.0.0.1/{port} && echo reached");
    let command = |script: &str| format!("bash -c '{script}'");
    let (_, out) = stage.run(SandboxMode::WorkspaceWrite, &command(&script)).await;
    assert!(!out.contains("reached"), "{out}");
    let mut open = stage.profile(SandboxMode::WorkspaceWrite, &stage.work());
    open.network = true;
    let (_, out) = stage.run_with(&open, &stage.work(), &command(&script)).await;
    assert!(out.contains("reached"), "{out}");
}

async fn kernel(stage: &Stage) {
    let script = "unshare -Ur true 2>/dev/null && echo unshare; mount -t tmpfs x /mnt 2>/dev/null && echo mount; \
        kill -0 $PPID_OUT 2>/dev/null && echo kill; [ $(ls /proc | grep -c '^[0-9]') -lt 10 ] && echo few; \
        dd if=/dev/vda of=/dev/null count=1 2>/dev/null && echo disk; ls /proc/self/fd | wc -l";
    let script = script.replace("$PPID_OUT", &std::process::id().to_string());
    let (_, out) = stage.run(SandboxMode::WorkspaceWrite, &script).await;
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines[0], "few", "{out}");
    assert_eq!(lines.len(), 2, "{out}");
    assert!(lines[1].trim().parse::<u32>().unwrap() <= 4, "inherited descriptors: {out}");
}

async fn everyday(stage: &Stage) {
    let script = "set -e; echo a > /dev/null; head -c 4 /dev/urandom > r; cat <(echo sub) ; \
        echo x > /dev/shm/s; (echo bg; sleep 0.01) & wait; ln -s r l; mv r q; mkdir -p d/e; rm -r d; \
        python3 -c 'import socket; s=socket.socket(); s.bind((\"127.0.0.1\",0)); s.listen(); c=socket.create_connection(s.getsockname()); print(\"loopback\")' 2>/dev/null || true; echo fine";
    let (exit, out) = stage
        .run(SandboxMode::WorkspaceWrite, &format!("bash -c '{}'", script.replace('\'', "'\\''")))
        .await;
    assert_eq!(exit, Exit::Code(0), "{out}");
    assert!(out.contains("sub") && out.contains("fine"), "{out}");
}

async fn exits(stage: &Stage) {
    for mode in [SandboxMode::WorkspaceWrite, SandboxMode::DangerFullAccess] {
        assert_eq!(stage.run(mode, "exit 7").await.0, Exit::Code(7));
        assert_eq!(stage.run(mode, "kill -9 $$").await.0, Exit::Signal(9));
        assert_eq!(stage.run(mode, "cat").await.0, Exit::Code(0), "no input");
        let (_, out) = stage.run(mode, "ps -o sid= -p $$ | tr -d ' '; echo $$").await;
        let lines: Vec<_> = out.lines().collect();
        assert_eq!(lines[0], lines[1], "a session of its own");
    }
}

async fn failures(stage: &Stage) {
    let profile = stage.profile(SandboxMode::WorkspaceWrite, &stage.work());
    let mut command = shell(&stage.work(), "true");
    command.argv = vec!["no-such-program".into()];
    let error = stage.launcher.launch(&command, &profile).await.err().unwrap();
    assert!(
        matches!(&error, LaunchError::Program(text) if text.contains("no-such-program")),
        "{error}"
    );
    let gone = stage.folder.path().join("gone");
    let error = stage.launcher.launch(&shell(&gone, "true"), &profile).await.err().unwrap();
    assert!(error.to_string().contains("cannot be entered"), "{error}");
}

async fn trees(stage: &Stage) {
    for (number, mode) in
        [SandboxMode::WorkspaceWrite, SandboxMode::DangerFullAccess].into_iter().enumerate()
    {
        let marker = format!("31{number}7{}", std::process::id());
        let script = format!(
            "trap '' TERM HUP; (setsid sleep {marker} &) ; setsid sh -c 'sleep {marker} & sleep {marker}' & echo up; sleep {marker}"
        );
        let profile = stage.profile(mode, &stage.work());
        let started =
            stage.launcher.launch(&shell(&stage.work(), &script), &profile).await.unwrap();
        let Started { mut output, exit, kill, .. } = started;
        output.read_exact(&mut [0; 3]).await.unwrap();
        until("they run", || running(&marker).len() >= 5);
        drop((exit, kill));
        until("they are gone", || running(&marker).is_empty());
    }
}

/// Both streams are one pipe, in the order of the writes, and not one description: what is set on one
/// is not set on the other.
async fn streams(stage: &Stage) {
    for mode in [SandboxMode::WorkspaceWrite, SandboxMode::DangerFullAccess] {
        let script =
            "for i in 1 2 3 4 5; do echo o$i; echo e$i >&2; (echo c$i > /dev/stderr); done";
        let expected: String = (1..=5).map(|n| format!("o{n}\ne{n}\nc{n}\n")).collect();
        assert_eq!(stage.run(mode, script).await, (Exit::Code(0), expected), "{mode:?}");
        let script = "dd if=/dev/null oflag=nonblock >&2 2>/dev/null
            for fd in 1 2; do (grep flags < /proc/self/fdinfo/$fd); done";
        let (_, said) = stage.run(mode, script).await;
        let flags: Vec<_> =
            said.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
        let nonblocking = |flags: &str| {
            i32::from_str_radix(flags, 8).unwrap() & libc::O_NONBLOCK == libc::O_NONBLOCK
        };
        assert_eq!(flags.iter().map(|flags| nonblocking(flags)).collect::<Vec<_>>(), [false, true]);
    }
}

async fn strays(stage: &Stage) {
    for mode in [SandboxMode::WorkspaceWrite, SandboxMode::DangerFullAccess] {
        let profile = stage.profile(mode, &stage.work());
        let script = "sleep 300 & setsid sleep 300 & sleep 0.05";
        let started = stage.launcher.launch(&shell(&stage.work(), script), &profile).await.unwrap();
        let Started { output: _output, exit, kill, .. } = started;
        assert_eq!(exit.await.exit, Exit::Code(0));
        assert_eq!(kill(), 2, "{mode:?}");
    }
}

async fn dead_launcher(stage: &Stage) {
    assert_eq!(stage.run(SandboxMode::WorkspaceWrite, "true").await.0, Exit::Code(0));
    let first = stage.launcher.pid().unwrap();
    let profile = stage.profile(SandboxMode::WorkspaceWrite, &stage.work());
    let started =
        stage.launcher.launch(&shell(&stage.work(), "sleep 300"), &profile).await.unwrap();
    let Started { output: _output, exit, kill: _kill, .. } = started;
    let killed = stage.run(SandboxMode::DangerFullAccess, &format!("kill -9 {first}")).await;
    let exit = tokio::time::timeout(PATIENCE, exit).await;
    assert_eq!(exit.map(|end| end.exit), Ok(Exit::Lost), "the kill ended with {killed:?}");
    assert_eq!(stage.run(SandboxMode::WorkspaceWrite, "true").await.0, Exit::Code(0));
    assert_ne!(stage.launcher.pid().unwrap(), first);
}

async fn terminals(stage: &Stage) {
    for mode in [SandboxMode::WorkspaceWrite, SandboxMode::DangerFullAccess] {
        let profile = stage.profile(mode, &stage.work());
        let script = "test -t 0 && test -t 1 && test -t 2 && test -c \"$(tty)\" && stty size
            read line && echo \"got $line\"; trap 'echo caught; exit 7' INT
            echo ready >/dev/tty; while :; do sleep 0.01; done";
        let mut command = shell(&stage.work(), script);
        command.terminal = true;
        let started = stage.launcher.launch(&command, &profile).await.unwrap();
        let Started { mut output, input, exit, kill, .. } = started;
        let mut input = input.unwrap();
        let talk = async {
            let mut seen = read_until(&mut output, "24 80\r\n").await;
            input.write_all(b"hello\n").await.unwrap();
            seen += &read_until(&mut output, "ready\r\n").await;
            // What is typed is an interrupt for the terminal.
            input.write_all(b"\x03").await.unwrap();
            let end = exit.await;
            (seen + &read(output).await, end.exit)
        };
        let (seen, end) = tokio::time::timeout(PATIENCE, talk).await.unwrap();
        assert!(seen.contains("got hello\r\n") && seen.contains("caught"), "{mode:?}: {seen}");
        assert_eq!(end, Exit::Code(7), "{mode:?}: {seen}");
        kill();
    }
}

async fn read_until(from: &mut (impl AsyncRead + Unpin), end: &str) -> String {
    let mut text = String::new();
    let mut chunk = [0; 256];
    while !text.ends_with(end) {
        let count = from.read(&mut chunk).await.unwrap();
        assert!(count > 0, "it ended with {text:?}");
        text += &String::from_utf8_lossy(&chunk[..count]);
    }
    text
}

async fn interrupts(stage: &Stage) {
    for mode in [SandboxMode::WorkspaceWrite, SandboxMode::DangerFullAccess] {
        let profile = stage.profile(mode, &stage.work());
        let script = "trap 'exit 9' INT; echo up; while :; do sleep 0.01; done";
        let command = shell(&stage.work(), script);
        let Started { mut output, exit, kill: _kill, interrupt, .. } =
            stage.launcher.launch(&command, &profile).await.unwrap();
        output.read_exact(&mut [0; 3]).await.unwrap();
        interrupt();
        let end = tokio::time::timeout(PATIENCE, exit).await.unwrap();
        assert_eq!(end.exit, Exit::Code(9), "{mode:?}");
    }
}

/// Needs root and a control group file system to write to; elsewhere there is nothing to see.
async fn groups(stage: &Stage) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "));
    let skipped = || skip::skipped("groups", "needs root and a cgroup2 file system to write to");
    let Some(mount) = mount.and_then(|line| line.split(' ').nth(4)) else { return skipped() };
    let home = fs::read_to_string("/proc/self/cgroup").unwrap();
    let home = home.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or("").to_owned();
    let base = Path::new(mount).join(format!("delegated-{}", std::process::id()));
    if fs::create_dir(&base).is_err() {
        return skipped();
    }
    let mark = format!(
        "python3 -c 'import os; os.setxattr(\"{}\", \"user.delegate\", b\"1\")'",
        base.display()
    );
    let (marked, text) = stage.run(SandboxMode::DangerFullAccess, &mark).await;
    assert_eq!(marked, Exit::Code(0), "{text}");
    let move_to = |group: &Path| {
        fs::write(group.join("cgroup.procs"), std::process::id().to_string()).unwrap();
    };
    let below = || {
        let entries = fs::read_dir(&base).unwrap().flatten();
        entries.filter(|entry| entry.file_type().unwrap().is_dir()).count()
    };
    move_to(&base);
    let launcher = Launcher::default();
    for mode in [SandboxMode::WorkspaceWrite, SandboxMode::DangerFullAccess] {
        let profile = stage.profile(mode, &stage.work());
        let script = "setsid sleep 300 & echo up; cat; sleep 300";
        let command = shell(&stage.work(), script);
        let started = launcher.launch(&command, &profile).await.unwrap();
        let Started { mut output, exit, kill, .. } = started;
        output.read_exact(&mut [0; 3]).await.unwrap();
        assert_eq!(below(), 1, "{mode:?}: it has a group of its own");
        kill();
        drop(exit);
        until("its group is gone", || below() == 0);
    }
    move_to(&Path::new(mount).join(home));
    drop(launcher);
    fs::remove_dir(&base).unwrap();
}

async fn many(stage: &Stage) {
    let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
    let mut took = [Vec::new(), Vec::new()];
    stage.launcher.warm().unwrap();
    let before = descriptors();
    for _ in 0..100 {
        for (place, mode) in
            [SandboxMode::WorkspaceWrite, SandboxMode::DangerFullAccess].into_iter().enumerate()
        {
            let began = Instant::now();
            assert_eq!(stage.run(mode, "true").await.0, Exit::Code(0));
            took[place].push(began.elapsed());
        }
    }
    assert!(descriptors() <= before + 2, "{} descriptors, {before} before", descriptors());
    let launcher = stage.launcher.pid().unwrap();
    let children = || {
        let path = format!("/proc/{launcher}/task/{launcher}/children");
        let pids = fs::read_to_string(path).unwrap();
        let is_guard = |pid: &&str| {
            fs::read_to_string(format!("/proc/{pid}/comm"))
                .is_ok_and(|name| name == "troupe-guard\n")
        };
        pids.split_whitespace().filter(|pid| !is_guard(pid)).count()
    };
    until("nothing is left below the launcher", || children() == 0);
    for (times, mode) in took.iter_mut().zip(["workspace-write", "full access"]) {
        times.sort();
        println!(
            "{mode}: sh -c true in {:?} at the median, {:?} at best",
            times[times.len() / 2],
            times[0]
        );
    }
}
