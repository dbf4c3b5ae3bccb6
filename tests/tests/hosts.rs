//! The way out of a command's network, end to end: hosts that are allowed are reached, others are
//! refused, named to the model, recorded and shown.

#![cfg(target_os = "linux")]

use serde_json::json;
use std::{
    io::{Read, Write},
    net::TcpListener,
};
use troupe_tests::{binary, machine, model_server::*, skip, stage::Stage};

/// A server that answers one connection after the other.
fn upstream() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _request = stream.read(&mut [0; 4096]);
            let _gone = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nreached it");
        }
    });
    port
}

/// Without them there is no way out of a command's network.
const WAY_OUT: &str = "needs user namespaces";

/// A client that speaks to the proxy without any program: `/dev/tcp` is bash's own.
fn ask(target: &str) -> String {
    format!(
        "exec 3<>/dev/tcp/127.0.0.1/3128; printf 'GET http://{target}/ HTTP/1.1\\r\\n\\r\\n' >&3; cat <&3; echo"
    )
}

#[test]
fn allowed_hosts_are_reached_and_others_are_named() {
    if !machine::user_namespaces() {
        skip!(WAY_OUT);
    }
    let port = upstream();
    let script = format!("{}; {}", ask(&format!("127.0.0.1:{port}")), ask("example.com"));
    let other = upstream();
    let direct = format!("exec 3<>/dev/tcp/127.0.0.1/{other} && echo got out");
    let server = ModelServer::start(
        Script::new()
            .turn(call(
                "shell",
                json!({ "command": format!("bash -c '{}'", script.replace('\'', "'\\''")) }),
            ))
            .turn(call("shell", json!({ "command": format!("bash -c '{direct}'") })))
            .turn(say("done")),
    );
    let stage = Stage::new()
        .with_model(&server)
        .with_config(&format!("sandbox_allow_hosts = [\"127.0.0.1:{port}\"]"));
    let finished = stage.troupe(["exec", "-s", "workspace-write", "go"]).run();
    finished.assert_success();
    let output = server.requests()[1].outputs()[0].1.clone();
    assert!(output.contains("reached it"), "{output}");
    assert!(output.contains("403 Forbidden"), "{output}");
    assert!(output.contains("example.com:80 (no rule allows it)"), "the model is told: {output}");
    let direct = server.requests()[2].outputs().last().unwrap().1.clone();
    assert!(!direct.contains("got out"), "there is no other way: {direct}");
    let decided = stage.log().bodies("HostDecided");
    let seen: Vec<_> = decided
        .iter()
        .map(|body| (body["host"].as_str().unwrap(), body["allowed"].as_bool().unwrap()))
        .collect();
    assert_eq!(seen, [("127.0.0.1", true), ("example.com", false)]);
    let shown = finished.stderr();
    assert!(shown.contains("network example.com:80 refused: no rule allows it"), "{shown}");
    stage.assert_no_process_left();
    let ask_once = call("shell", json!({ "command": format!("bash -c {:?}", ask("example.com")) }));
    let server = ModelServer::start(Script::new().turn(ask_once).turn(say("done")));
    let stage =
        Stage::new().with_model(&server).with_config("sandbox_allow_hosts = [\"example.org\"]");
    let finished = stage.troupe(["exec", "--json", "go"]).run();
    let refused = "example.com:80 is refused: no rule allows it";
    let errors: Vec<_> =
        finished.json_lines().into_iter().filter(|line| line["item"]["type"] == "error").collect();
    assert_eq!(errors.len(), 1, "{}", finished.stdout());
    assert_eq!(errors[0]["item"]["message"], refused);
}

#[test]
fn the_sandbox_command_serves_its_own() {
    if !machine::user_namespaces() {
        skip!(WAY_OUT);
    }
    let port = upstream();
    let stage = Stage::new().with_config("sandbox_deny_hosts = [\"127.0.0.2\"]");
    let allow = format!("sandbox_allow_hosts=[\"127.0.0.0/8:{port}\"]");
    let run = |target: &str| {
        let target = format!("{target}:{port}");
        stage.troupe(["sandbox", "-c", &allow, "--", "bash", "-c", &ask(&target)]).run()
    };
    assert!(run("127.0.0.1").stdout().contains("reached it"));
    let refused = run("127.0.0.2");
    assert!(refused.stdout().contains("403 Forbidden"), "{}", refused.stdout());
    assert!(refused.stderr().contains("is refused: the rule `127.0.0.2` denies it"));
}

#[test]
fn a_rule_that_is_none_is_named() {
    let stage = Stage::new().with_config("sandbox_allow_hosts = [\"http://x\"]");
    let finished = stage.troupe(["sandbox", "--", "true"]).run();
    assert_ne!(finished.code(), Some(0));
    assert!(finished.stderr().contains("sandbox_allow_hosts"), "{}", finished.stderr());
}

#[test]
fn an_egress_that_fails_closes_the_way_and_the_next_command_has_one() {
    if !machine::user_namespaces() {
        skip!(WAY_OUT);
    }
    let port = upstream();
    let script = format!("timeout 20 bash -c {:?}", ask(&format!("127.0.0.1:{port}")));
    let command = || call("shell", json!({ "command": script }));
    for moment in ["before", "within", "kill"] {
        let server =
            ModelServer::start(Script::new().turn(command()).turn(command()).turn(say("done")));
        let stage = Stage::new();
        let settings = [
            "model=\"m\"".to_owned(),
            "model_provider=\"test\"".to_owned(),
            format!("model_providers.test.base_url=\"{}\"", server.url()),
            "sandbox_mode=\"workspace-write\"".to_owned(),
            format!("sandbox_allow_hosts=[\"127.0.0.1:{port}\"]"),
        ];
        let run = stage.program(binary::example("troupe-tests", "fault_host")).args(settings);
        let crash = format!("troupe/egress:1:{moment}");
        let finished = run.args(["--crash", &crash, "--", "go"]).run();
        finished.assert_success();
        let requests = server.requests();
        let outputs = requests[2].outputs();
        let first = &outputs[0].1;
        assert!(!first.contains("reached it"), "{moment}: {first}");
        assert!(outputs[1].1.contains("reached it"), "{moment}: {}", outputs[1].1);
        stage.assert_no_process_left();
    }
}

/// Asks without a proxy, as programs do whatever they find in their environment.
fn ask_directly(port: u16) -> String {
    format!(
        "exec 3<>/dev/tcp/localhost/{port} && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3"
    )
}

#[test]
fn an_allowed_port_of_this_machine_is_reached_by_every_program() {
    if !machine::user_namespaces() {
        skip!(WAY_OUT);
    }
    let (port, other) = (upstream(), upstream());
    let rules = [
        format!("\"127.0.0.1:{port}\""),
        format!("\"localhost:{port}\""),
        format!("\"127.0.0.0/8:{port}\", \"[::1]:{port}\""),
        // Of many ports those that something listens at: the other one is denied.
        "\"localhost:*\"".to_owned(),
    ];
    for rule in rules {
        let config = format!(
            "sandbox_allow_hosts = [{rule}]\nsandbox_deny_hosts = [\"127.0.0.0/8:{other}\"]\n"
        );
        let both = format!("{}; {}", ask_directly(port), ask_directly(other));
        let stage = Stage::new().with_config(&config);
        let finished = stage.troupe(["sandbox", "--", "bash", "-c", &both]).run();
        assert!(finished.stdout().ends_with("reached it"), "{rule}: {}", finished.stderr());
        assert_eq!(finished.stdout().matches("reached it").count(), 1, "{rule}");
        // In a session the same, and it is recorded.
        let commands = call("shell", json!({ "command": format!("bash -c {both:?}") }));
        let server = ModelServer::start(Script::new().turn(commands).turn(say("done")));
        let stage = Stage::new().with_model(&server).with_config(&config);
        stage.troupe(["exec", "go"]).run().assert_success();
        let output = server.requests()[1].outputs()[0].1.clone();
        assert_eq!(output.matches("reached it").count(), 1, "{rule}: {output}");
        let decided = stage.log().bodies("HostDecided");
        let ports: Vec<_> = decided.iter().map(|body| body["port"].as_u64()).collect();
        assert_eq!(ports, [Some(u64::from(port))], "{rule}: {decided:?}");
        stage.assert_no_process_left();
    }
}

#[test]
fn a_server_that_a_command_starts_itself_is_reached_as_without_rules() {
    if !machine::user_namespaces() {
        skip!(WAY_OUT);
    }
    let (port, program) = (upstream(), "/usr/bin/python3");
    if !std::path::Path::new(program).exists() {
        skip!(format!("needs {program}"));
    }
    // Started and asked in one command, by a client that heeds the proxy's variables.
    let script = "import http.server, threading, urllib.request, os\n\
        class H(http.server.BaseHTTPRequestHandler):\n    \
            def do_GET(self):\n        \
                self.send_response(200); self.end_headers(); self.wfile.write(b'its own')\n    \
            def log_message(self, *a): pass\n\
        server = http.server.HTTPServer(('127.0.0.1', 0), H)\n\
        threading.Thread(target=server.serve_forever, daemon=True).start()\n\
        get = lambda port: urllib.request.urlopen(f'http://localhost:{port}/').read().decode()\n\
        print(get(server.server_port), get(int(os.environ['PORT'])))\n";
    let allow = format!("sandbox_allow_hosts=[\"localhost:{port}\"]");
    let set = format!("shell_environment_policy.set.PORT=\"{port}\"");
    let arguments = ["sandbox", "-c", &allow, "-c", &set, "--", program, "-c", script];
    let finished = Stage::new().troupe(arguments).run();
    assert_eq!(finished.stdout(), "its own reached it\n", "{}", finished.stderr());
}
