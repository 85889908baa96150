//! The cookbook, as its reader pastes it: every block in one bash, from top to bottom, and what is shown below a block held against what it
//! printed.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

use crate::process::{Place, run_tool, text};

const COOKBOOK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/COOKBOOK.md");
/// Anything, in what is shown.
const ANYTHING: char = '…';

/// A block to paste.
pub struct Block {
    /// The heading that it stands under, and its line.
    place: String,
    pub code: String,
    shown: Option<Shown>,
}

/// What a block answers.
enum Shown {
    Json(String),
    Text(String),
}

/// The blocks of a cookbook.
pub fn blocks(cookbook: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut heading = "";
    let mut lines = cookbook.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        if line.starts_with('#') {
            heading = line.trim_start_matches('#').trim();
        }
        let Some(language) = line.strip_prefix("```") else { continue };
        let inside: Vec<_> = lines.by_ref().map(|(line, _)| line).take_while(|line| *line != "```").collect();
        let inside = inside.join("\n");
        let place = format!("{heading} (line {number})");
        let shown = match language {
            "sh" => {
                blocks.push(Block { place, code: inside, shown: None });
                continue;
            }
            "json" => Shown::Json(inside),
            "text" => Shown::Text(inside),
            _ => panic!("{place}: a block of {language:?}"),
        };
        let block = blocks.last_mut().filter(|block| block.shown.is_none());
        block.unwrap_or_else(|| panic!("{place}: the answer of no block")).shown = Some(shown);
    }
    blocks
}

/// Runs every block in one bash, and says which of them are not as the cookbook shows.
fn problems(blocks: &[Block], home: &Path, environment: &[(&str, String)]) -> Vec<String> {
    let work = home.join("blocks");
    fs::create_dir(&work).unwrap();
    for (number, block) in blocks.iter().enumerate() {
        fs::write(work.join(format!("{number}.sh")), &block.code).unwrap();
    }
    // Stricter than a reader's: no variable is unset, and a pipe fails with any of its commands.
    let driver = format!(
        "set -uo pipefail\ntrap 'printf \"%s\\n\" \"$BASH_COMMAND\" >> \"blocks/$BLOCK.failed\"' ERR\n\
         for BLOCK in {{0..{}}}; do source blocks/$BLOCK.sh < /dev/null > blocks/$BLOCK.out 2>&1; : > blocks/$BLOCK.done; done\n",
        blocks.len() - 1
    );
    let mut bash = Command::new("timeout");
    bash.args(["240", "bash", "-c", &driver]).current_dir(home).envs(environment.iter().cloned());
    let told = run_tool(&mut bash);
    let read = |name: String| fs::read_to_string(work.join(name)).unwrap_or_default();
    let problem = |(number, block): (usize, &Block)| {
        // A terminal does not show the carriage returns of HTTP.
        let printed = read(format!("{number}.out")).replace('\r', "");
        let failed = read(format!("{number}.failed"));
        let ended = work.join(format!("{number}.done")).exists();
        let fault = fault(block, &printed, &failed, ended)?;
        Some(format!("{}: {fault}\n--- it printed\n{printed}{}", block.place, text(&told.stderr)))
    };
    blocks.iter().enumerate().filter_map(problem).collect()
}

/// What is wrong with a block that printed something, and some of whose commands failed.
fn fault(block: &Block, printed: &str, failed: &str, ended: bool) -> Option<String> {
    // grpcurl fails with the call.
    let may_fail = matches!(&block.shown, Some(Shown::Text(shown)) if shown.lines().any(|line| line == "ERROR:"));
    if !ended {
        return Some("it ended the shell, or came too late".to_owned());
    }
    if may_fail == failed.is_empty() {
        return Some(if may_fail { "it should have failed".to_owned() } else { format!("this failed: {failed}") });
    }
    match block.shown.as_ref()? {
        Shown::Text(shown) => (!matches(shown, printed.trim_end())).then(|| format!("it should print\n{shown}")),
        Shown::Json(shown) => {
            let shown = values(shown).unwrap_or_else(|fault| panic!("{}: {fault}", block.place));
            let Ok(printed) = values(printed) else { return Some("it printed no JSON".to_owned()) };
            if printed.len() != shown.len() {
                return Some(format!("{} answers, not {}", printed.len(), shown.len()));
            }
            shown.iter().zip(&printed).find_map(|(shown, printed)| difference(shown, printed, "the answer"))
        }
    }
}

fn values(text: &str) -> Result<Vec<Value>, serde_json::Error> {
    serde_json::Deserializer::from_str(text).into_iter().collect()
}

/// Where an answer is not what is shown; it may hold more fields.
fn difference(shown: &Value, printed: &Value, at: &str) -> Option<String> {
    match (shown, printed) {
        (Value::Object(fields), Value::Object(_)) => fields.iter().find_map(|(name, shown)| {
            difference(shown, printed.get(name).unwrap_or(&Value::Null), &format!("{at}.{name}"))
        }),
        (Value::Array(shown), Value::Array(printed)) if shown.len() == printed.len() => {
            let mut pairs = shown.iter().zip(printed).enumerate();
            pairs.find_map(|(index, (shown, printed))| difference(shown, printed, &format!("{at}[{index}]")))
        }
        (Value::String(shown), Value::String(printed)) if matches(shown, printed) => None,
        _ => (shown != printed).then(|| format!("{at} should be {shown}, and is {printed}")),
    }
}

/// Whether a text is what is shown, with something in place of each `…`.
fn matches(shown: &str, text: &str) -> bool {
    let Some((first, rest)) = shown.split_once(ANYTHING) else { return shown == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let mut pieces: Vec<_> = rest.split(ANYTHING).collect();
    let last = pieces.pop().unwrap_or_default();
    for piece in pieces {
        let Some((_, after)) = text.split_once(piece) else { return false };
        text = after;
    }
    text.ends_with(last)
}

#[test]
fn every_block_of_the_cookbook_works_and_answers_as_it_says() {
    let place = Place::new();
    let service = place.serve(&["--dev"]);
    let blocks = blocks(&fs::read_to_string(COOKBOOK).unwrap());
    assert!(blocks.len() > 30 && blocks.iter().filter(|block| block.shown.is_some()).count() > 30);
    #[allow(clippy::disallowed_methods, reason = "the binary is put before the other tools")]
    let path = std::env::var("PATH").unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_countersign")).parent().unwrap();
    let environment = [
        ("GRPC", service.address.to_string()),
        ("REST", format!("http://{}", service.http)),
        ("PATH", format!("{}:{path}", binary.display())),
    ];
    let problems = problems(&blocks, place.home.path(), &environment);
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
    assert!(!fs::read_to_string(&service.log).unwrap().contains("ERROR"), "a fault was logged");
}

#[test]
fn a_block_that_is_not_as_it_says_is_named_by_its_heading() {
    let good = "# One\n```sh\nA=1\n```\n# Two\n```sh\necho \"{\\\"a\\\": \\\"x$A\\\", \\\"b\\\": [1]}\"\n```\nso:\n```json\n{\"a\": \"x…\"}\n```\n";
    let tried = |cookbook: &str| {
        let home = tempfile::tempdir().unwrap();
        problems(&blocks(cookbook), home.path(), &[]).join("\n")
    };
    assert_eq!(tried(good), "");
    for (there, instead, told) in [
        ("x…", "y…", "Two (line 6): the answer.a should be \"y…\", and is \"x1\""),
        ("{\"a\": \"x…\"}", "{\"b\": [1, 2]}", "Two (line 6): the answer.b should be [1,2], and is [1]"),
        ("{\"a\": \"x…\"}", "{\"c\": 1}", "Two (line 6): the answer.c should be 1, and is null"),
        ("{\"a\": \"x…\"}", "{}\n{}", "Two (line 6): 1 answers, not 2"),
        ("A=1", "A=$(false)", "One (line 2): this failed: A=$(false)"),
        ("A=1", "false | true", "One (line 2): this failed: true"),
        ("A=1", "B=1", "Two (line 6): it ended the shell"),
        ("A=1", "exit", "One (line 2): it ended the shell"),
        ("```json\n{\"a\": \"x…\"}", "```text\nERROR:\n…", "Two (line 6): it should have failed"),
        ("```json\n{\"a\": \"x…\"}", "```text\n{…}, and more", "Two (line 6): it should print"),
    ] {
        let problems = tried(&good.replace(there, instead));
        assert!(problems.contains(told), "{there} {instead}: {problems}");
    }
}
