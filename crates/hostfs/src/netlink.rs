//! Netlink dumps.
