//! The console in a real browser: Debian's Chromium, driven by Playwright, looked at by axe.

use std::process::Command;

use crate::process::{Place, demo_password, run_tool, text};

/// A width of the window in pixels, and colours.
type Look = (&'static str, &'static str);

/// One of them; with the variable, all of them.
fn looks() -> Vec<Look> {
    #[allow(clippy::disallowed_methods, reason = "whoever runs the suite chooses how much is looked at")]
    match std::env::var("CONSOLE_LOOKS").as_deref() {
        Ok("all") => vec![("1280", "light"), ("1280", "dark"), ("360", "light"), ("360", "dark")],
        Ok(_) | Err(_) => vec![("1280", "light")],
    }
}

/// Where pictures of every page go; None = there are none.
fn shots() -> Option<String> {
    #[allow(clippy::disallowed_methods, reason = "whoever runs the suite may want pictures")]
    std::env::var("CONSOLE_SHOTS").ok()
}

#[test]
fn the_story_of_the_console() {
    for (width, scheme) in looks() {
        let place = Place::new();
        let service = place.serve(&["--dev"]);
        let (user, admin) = (demo_password(&service, "user@example.com"), demo_password(&service, "admin@example.com"));
        let mut command = Command::new("node");
        command.current_dir(env!("CARGO_MANIFEST_DIR")).arg("tests/console/story.mjs");
        command.arg(format!("http://{}", service.http)).arg(&service.out).args([&user, &admin]).args([width, scheme]);
        let output = run_tool(command.args(shots()));
        assert!(output.status.success(), "{width} {scheme}: {}", text(&output.stderr));
        assert!(!std::fs::read_to_string(&service.log).unwrap().contains("ERROR"), "a fault was logged");
    }
}
