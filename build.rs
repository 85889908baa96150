//! Compiles `proto/` in pure Rust: descriptor bytes with every option kept, messages, server and client.

use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    #[allow(clippy::disallowed_methods, reason = "cargo tells build scripts by the environment")]
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true).open_files([
        "countersign/v1/access.proto",
        "countersign/v1/admin.proto",
        "countersign/v1/session.proto",
        "countersign/v1/twofa.proto",
    ])?;

    // These bytes keep the custom options (google.api.http, access); the prost types below would drop them.
    fs::write(out.join("descriptor.bin"), compiler.encode_file_descriptor_set())?;

    // Rust is made of our own files only; google.protobuf stays because prost-build needs it to resolve types.
    let mut files = compiler.file_descriptor_set();
    files.file.retain(|f| matches!(f.package(), "countersign.v1" | "google.protobuf"));
    tonic_prost_build::configure().emit_rerun_if_changed(false).skip_debug(WITH_SECRETS).compile_fds(files)?;
    Ok(())
}

/// Messages that hold a password, a code, a token, a key or a phone number: `wire/pb.rs` gives them a `Debug` that shows nothing.
const WITH_SECRETS: [&str; 21] = [
    ".countersign.v1.LocalAuthRequest",
    ".countersign.v1.LocalAuthResponse",
    ".countersign.v1.EnableRequest",
    ".countersign.v1.EnableResponse",
    ".countersign.v1.VerifyRequest",
    ".countersign.v1.VerifyResponse",
    ".countersign.v1.RefreshSessionRequest",
    ".countersign.v1.RefreshSessionResponse",
    ".countersign.v1.ValidateAccessTokenRequest",
    ".countersign.v1.GenerateBackupCodesRequest",
    ".countersign.v1.GenerateBackupCodesResponse",
    ".countersign.v1.DisableRequest",
    ".countersign.v1.CreateChallengeResponse",
    ".countersign.v1.SendCodeRequest",
    ".countersign.v1.ChangePasswordRequest",
    ".countersign.v1.SetPasswordRequest",
    ".countersign.v1.SetPasswordResponse",
    ".countersign.v1.CreateUserRequest",
    ".countersign.v1.CreateUserResponse",
    ".countersign.v1.IssuePasswordResetResponse",
    ".countersign.v1.User",
];
