//! Keeps rules in a file, as a person's answers do, and says each one that is kept; for tests that
//! kill it. Arguments: the file, the name of the writer, the number of its first rule.

use std::{io, path::Path};
use troupe::policy::keep_rule;

fn main() -> io::Result<()> {
    let mut words = std::env::args().skip(1);
    let mut next = || words.next().ok_or_else(|| io::Error::other("an argument is missing"));
    let (file, writer, first) = (next()?, next()?, next()?);
    for number in first.parse::<u64>().map_err(io::Error::other)?.. {
        let program = format!("{writer}-{number}");
        let argv = ["sh", "-c", &program].map(str::to_owned);
        keep_rule(Path::new(&file), std::slice::from_ref(&program), &argv, Path::new("/"))?;
        println!("{number}");
    }
    Ok(())
}
