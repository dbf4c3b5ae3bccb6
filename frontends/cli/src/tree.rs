//! The live tree: as JSON, as a table, and over a socket that only the user can open.

#[cfg_attr(unix, path = "tree/socket.rs")]
#[cfg_attr(not(unix), path = "tree/no_socket.rs")]
mod socket;

use crate::output;
use serde_json::{Value, json};
use std::{fmt::Write, time::Duration};
use troupe::{NodeView, Troupe};

pub(crate) use socket::TreeSocket;
#[cfg(unix)]
pub(crate) use socket::address;

#[cfg_attr(not(unix), expect(dead_code, reason = "there is no socket to send it through"))]
fn document(troupe: &Troupe) -> Value {
    json!({
        "pid": std::process::id(),
        "version": env!("CARGO_PKG_VERSION"),
        "command": std::env::args().nth(1).unwrap_or_default(),
        "uptime_ms": millis(troupe.uptime()),
        "tree": node(&troupe.tree()),
    })
}

/// One node and those below it.
pub(crate) fn node(view: &NodeView) -> Value {
    let lane = |lane: &troupe::LaneView| {
        json!({
            "depth": lane.depth,
            "high_water": lane.high_water,
            "oldest_ms": lane.oldest.map(millis),
        })
    };
    json!({
        "name": view.name,
        "state": format!("{:?}", view.phase).to_lowercase(),
        "incarnation": view.incarnation,
        "restarts": view.restarts,
        "last_error": view.last_error,
        "control": lane(&view.control),
        "bulk": lane(&view.bulk),
        "handled": view.handled,
        "wait_us": micros(view.wait),
        "handling_us": micros(view.handling),
        "handling_max_us": micros(view.handling_max),
        "tasks": view.tasks,
        "children": view.children.iter().map(node).collect::<Vec<_>>(),
    })
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// A tree as a table for people, from its JSON.
pub(crate) fn table(tree: &Value) -> String {
    let mut rows = Vec::new();
    collect(tree, "", "", &mut rows);
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).max(5);
    let mut out = format!(
        "{:width$}  {:<10} {:>3} {:>8} {:>5} {:>5} {:>8} {:>9} {:>9}  last error\n",
        "ACTOR", "STATE", "INC", "RESTARTS", "QUEUE", "PEAK", "HANDLED", "WAIT", "HANDLING"
    );
    for (name, node) in rows {
        let number = |key: &str| node[key].as_u64().unwrap_or(0);
        let lanes = |key: &str| {
            let of = |lane: &str| node[lane][key].as_u64().unwrap_or(0);
            of("control") + of("bulk")
        };
        let span = |key: &str| output::span(Duration::from_micros(number(key)));
        let row = writeln!(
            out,
            "{name:width$}  {:<10} {:>3} {:>8} {:>5} {:>5} {:>8} {:>9} {:>9}  {}",
            node["state"].as_str().unwrap_or("?"),
            number("incarnation"),
            number("restarts"),
            lanes("depth"),
            lanes("high_water"),
            number("handled"),
            span("wait_us"),
            span("handling_us"),
            node["last_error"].as_str().unwrap_or(""),
        );
        debug_assert!(row.is_ok(), "a string takes all");
    }
    out.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn collect<'a>(node: &'a Value, lead: &str, below: &str, rows: &mut Vec<(String, &'a Value)>) {
    let name = node["name"].as_str().unwrap_or("?");
    // The end of an id tells it from others, and names a session to other commands.
    let shown = match name.split_once(':') {
        Some((kind, id)) if id.len() == 36 => format!("{kind}:{}", id.get(30..).unwrap_or(id)),
        _ => name.to_owned(),
    };
    rows.push((format!("{lead}{shown}"), node));
    let children: Vec<&Value> = node["children"].as_array().into_iter().flatten().collect();
    for (place, child) in children.iter().enumerate() {
        let last = place + 1 == children.len();
        let (lead, more) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        collect(child, &format!("{below}{lead}"), &format!("{below}{more}"), rows);
    }
}
