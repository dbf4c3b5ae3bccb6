//! What a run inherits from its parent process does not change what it does.
