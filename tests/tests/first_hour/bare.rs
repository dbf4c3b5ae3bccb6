//! Machines that lack something: user namespaces, a home, tools.
