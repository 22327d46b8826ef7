//! Clocks, the local zone, adjtimex(2), uname(2).
