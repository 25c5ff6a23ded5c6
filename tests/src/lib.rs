//! What the flows and faults share.
