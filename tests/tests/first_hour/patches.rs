//! Patches change what they name and nothing else.
