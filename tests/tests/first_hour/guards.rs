//! Guards that cannot do their work stop the run.
