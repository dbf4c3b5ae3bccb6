//! What holds a command, in words.

/// What holds a command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Enforcement {
    /// The layers, from the outside in.
    pub layers: Vec<String>,
    /// What is weaker than the mode promises.
    pub weaker: Vec<String>,
}
