//! Events in, lines out.
