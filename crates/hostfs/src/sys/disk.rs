//! Mounted filesystems and block devices: statfs(2) and ioctls.
