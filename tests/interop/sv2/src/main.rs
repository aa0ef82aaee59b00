/* main.rs: real peers of Stratum v2 on the reference implementation's crates; see ../sv2.sh. */
mod channel;
mod client;
mod draw;
mod judge;
mod noise;
mod seat;
mod server;
mod template;
mod wire;

use std::collections::HashMap;
use wire::{fault, Outcome};

const HELP: &str = "owm-interop-sv2 server [--shares N] [--seconds N] [--silent] [--refused]
  client --peer PROGRAM\n  visit --address HOST:PORT --key KEY\n  judge [--seed N] [--lie N]
  noise --peer PROGRAM [--seed N]";

/** "--name value" and "--flag" behind the first word. */
fn options(words: &[String]) -> Outcome<HashMap<&str, &str>> {
    let mut found = HashMap::new();
    let mut at = 0;
    while at < words.len() {
        let Some(name) = words[at].strip_prefix("--") else {
            return fault(format!("'{}' belongs to no option", words[at]));
        };
        let value = words.get(at + 1).filter(|word| !word.starts_with("--"));
        found.insert(name, value.map_or("", String::as_str));
        at += 1 + usize::from(value.is_some());
    }
    Ok(found)
}

fn number(options: &HashMap<&str, &str>, name: &str, otherwise: u64) -> Outcome<u64> {
    match options.get(name) {
        Some(text) => Ok(text.parse().map_err(|_| format!("--{name} is a number"))?),
        None => Ok(otherwise),
    }
}

fn run(words: &[String]) -> Outcome<()> {
    let Some((mode, rest)) = words.split_first() else {
        return fault(HELP);
    };
    let options = options(rest)?;
    match mode.as_str() {
        "client" => client::run(options.get("peer").ok_or(HELP)?),
        "server" => server::run(&server::Options {
            shares: number(&options, "shares", 4)? as u32,
            seconds: number(&options, "seconds", 60)?,
            answers_extensions: !options.contains_key("silent"),
            refused: options.contains_key("refused"),
        }),
        "visit" => client::visit(
            options.get("address").ok_or(HELP)?,
            options.get("key").ok_or(HELP)?,
        ),
        "judge" => judge::run(number(&options, "seed", 1)?, number(&options, "lie", 0)?),
        "noise" => noise::run(
            options.get("peer").ok_or(HELP)?,
            number(&options, "seed", 1)?,
        ),
        _ => fault(HELP),
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Err(error) = run(&words) {
        eprintln!("owm-interop-sv2: {error}");
        std::process::exit(1);
    }
}
