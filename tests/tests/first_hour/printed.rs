//! What a command printed is what everyone reads.
