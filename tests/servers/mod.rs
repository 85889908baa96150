//! Private servers for the suites, from the programs that Debian ships: on free loopback ports, each with a directory of its own,
//! ended with the process that started them.

pub mod binary;
pub mod certificates;
pub mod process;
pub mod proxy;
pub mod redis;
pub mod sql;
