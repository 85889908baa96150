//! The REST gateway: an HTTP server whose calls are the rpcs, by the paths that the proto files give them.

mod codec;
mod console;
mod cookie;
mod events;
mod gateway;
mod json;
mod manual;
mod measure;
mod openapi;
mod pages;
mod problem;
mod reasons;
mod request;
mod routes;
mod schema;
mod server;
mod template;

pub use console::Console;
pub use cookie::Cookie;
pub use gateway::{Gateway, InProcess};
pub use openapi::{document, document_of};
pub use server::Server;
