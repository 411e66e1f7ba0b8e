//! Seeded randomness against the whole: any bytes, and any schedule of operators and crashes.
//!
//! A process of their own: the schedules crash thousands of disks, and what failed first of a file is remembered by its name for
//! the whole process.

mod bytes;
mod schedules;
