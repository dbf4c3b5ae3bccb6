//! Files that the model is told about.
