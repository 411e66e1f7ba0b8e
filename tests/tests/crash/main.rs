//! How things end: processes that are killed, told to stop or not answered, and disks that fail.

mod ends;
mod kills;
mod storage;
