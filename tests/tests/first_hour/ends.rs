//! How runs begin and end: input, signals, resume, the last words.
