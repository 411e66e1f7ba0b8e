;; WASI preview 1 without a system. `plugin wrap` joins a core module with it, inside the component, so that the component
;; imports our world and nothing else. It gives the same answers everywhere, always:
;;
;;   standard output and error   to the logger, under the levels `stdout` and `stderr`, piece by piece as they are written
;;   exit                        to the logger under the level `exit`, with the status; then a trap
;;   the time of day             1970-01-01T00:00:00Z; the monotonic clock starts at a second and advances by a microsecond
;;                               each time it is read, and by what a pause was to take
;;   randomness                  splitmix64 from a fixed seed
;;   arguments, environment      none
;;   files, directories          none: "bad file descriptor"
;;   sockets                     not here, so that `plugin wrap` refuses what imports them
;;
;; It has no memory of its own, and does not grow the module's: the allocator of Go takes it for granted that nobody else
;; does. What it passes to the logger and does not find in the module's memory, it writes there and puts back what was there:
;; the logger calls nobody in the component.
;;
;; preview1.wasm is this file, assembled; a test compares the two (UNSPOOL_UPDATE=1 writes it).
(module
  (import "env" "memory" (memory 0))
  (import "unspool:projection/logger@1.0.0" "log" (func $logger (param i32 i32 i32 i32)))

  ;; The seed of randomness. `plugin verify` looks for this number in a component, to put another one in its place.
  (global $random (mut i64) (i64.const 0x756e73706f6f6c21))
  (global $clock (mut i64) (i64.const 1000000000))

  ;; Logs `len` bytes at `ptr`, or, where `ptr` is 0, of `low` and `high`. `level` holds the level's `level_len` letters.
  (func $log (param $level i64) (param $level_len i32) (param $ptr i32) (param $len i32) (param $low i64) (param $high i64)
    (local $at i32) (local $was0 i64) (local $was1 i64) (local $was2 i64)
    ;; 24 bytes that are no part of the message: a message has at most 4096.
    (local.set $at (i32.const 16))
    (if (i32.lt_u (local.get $ptr) (i32.const 64)) (then (local.set $at (i32.const 32768))))
    (local.set $was0 (i64.load (local.get $at)))
    (local.set $was1 (i64.load offset=8 (local.get $at)))
    (local.set $was2 (i64.load offset=16 (local.get $at)))
    (i64.store (local.get $at) (local.get $level))
    (if (i32.eqz (local.get $ptr)) (then
      (i64.store offset=8 (local.get $at) (local.get $low))
      (i64.store offset=16 (local.get $at) (local.get $high))
      (local.set $ptr (i32.add (local.get $at) (i32.const 8)))))
    (call $logger (local.get $at) (local.get $level_len) (local.get $ptr) (local.get $len))
    (i64.store (local.get $at) (local.get $was0))
    (i64.store offset=8 (local.get $at) (local.get $was1))
    (i64.store offset=16 (local.get $at) (local.get $was2)))

  ;; Logs bytes of a standard stream. A message is text, and a piece may end within a character or be no text at all: bytes
  ;; from 0x80 on are passed one by one, as the characters U+0080 to U+00FF.
  (func $stream (param $level i64) (param $ptr i32) (param $end i32)
    (local $to i32) (local $byte i64)
    (loop $next
      (if (i32.ge_u (local.get $ptr) (local.get $end)) (then (return)))
      (local.set $to (local.get $ptr))
      (block $done (loop $ascii
        (br_if $done (i32.ge_u (local.get $to) (local.get $end)))
        (br_if $done (i32.ge_u (i32.sub (local.get $to) (local.get $ptr)) (i32.const 4096)))
        (br_if $done (i32.ge_u (i32.load8_u (local.get $to)) (i32.const 0x80)))
        (local.set $to (i32.add (local.get $to) (i32.const 1)))
        (br $ascii)))
      (if (i32.gt_u (local.get $to) (local.get $ptr))
        (then
          (call $log (local.get $level) (i32.const 6) (local.get $ptr) (i32.sub (local.get $to) (local.get $ptr))
            (i64.const 0) (i64.const 0))
          (local.set $ptr (local.get $to)))
        (else
          (local.set $byte (i64.load8_u (local.get $ptr)))
          (call $log (local.get $level) (i32.const 6) (i32.const 0) (i32.const 2)
            (i64.or
              (i64.or (i64.const 0xc0) (i64.shr_u (local.get $byte) (i64.const 6)))
              (i64.shl (i64.or (i64.const 0x80) (i64.and (local.get $byte) (i64.const 0x3f))) (i64.const 8)))
            (i64.const 0))
          (local.set $ptr (i32.add (local.get $ptr) (i32.const 1)))))
      (br $next)))

  (func (export "fd_write") (param $fd i32) (param $iovs i32) (param $n i32) (param $written i32) (result i32)
    (local $level i64) (local $len i32) (local $sum i32)
    (if (i32.eq (local.get $fd) (i32.const 1)) (then (local.set $level (i64.const 0x74756f647473)))) ;; stdout
    (if (i32.eq (local.get $fd) (i32.const 2)) (then (local.set $level (i64.const 0x727265647473)))) ;; stderr
    (if (i64.eqz (local.get $level)) (then (return (i32.const 8))))
    (block $done (loop $next
      (br_if $done (i32.eqz (local.get $n)))
      (local.set $len (i32.load offset=4 (local.get $iovs)))
      (call $stream (local.get $level) (i32.load (local.get $iovs))
        (i32.add (i32.load (local.get $iovs)) (local.get $len)))
      (local.set $sum (i32.add (local.get $sum) (local.get $len)))
      (local.set $iovs (i32.add (local.get $iovs) (i32.const 8)))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br $next)))
    (i32.store (local.get $written) (local.get $sum))
    (i32.const 0))

  ;; The digits of the status, the last first, each moving those before it one byte on.
  (func $exit (param $status i32)
    (local $low i64) (local $high i64) (local $len i32)
    (loop $next
      (local.set $high (i64.or (i64.shl (local.get $high) (i64.const 8)) (i64.shr_u (local.get $low) (i64.const 56))))
      (local.set $low (i64.or (i64.shl (local.get $low) (i64.const 8))
        (i64.extend_i32_u (i32.add (i32.const 48) (i32.rem_u (local.get $status) (i32.const 10))))))
      (local.set $len (i32.add (local.get $len) (i32.const 1)))
      (local.set $status (i32.div_u (local.get $status) (i32.const 10)))
      (br_if $next (local.get $status)))
    (call $log (i64.const 0x74697865) (i32.const 4) (i32.const 0) (local.get $len) (local.get $low) (local.get $high))
    unreachable)
  (func (export "proc_exit") (param $status i32) (call $exit (local.get $status)))
  ;; As a shell shows it: 128 and the signal.
  (func (export "proc_raise") (param $signal i32) (result i32)
    (call $exit (i32.add (i32.const 128) (local.get $signal))) unreachable)

  (func $monotonic (result i64)
    (global.set $clock (i64.add (global.get $clock) (i64.const 1000)))
    (global.get $clock))
  (func (export "clock_time_get") (param $id i32) (param i64) (param $out i32) (result i32)
    (if (i32.gt_u (local.get $id) (i32.const 3)) (then (return (i32.const 28))))
    (i64.store (local.get $out) (if (result i64) (local.get $id) (then (call $monotonic)) (else (i64.const 0))))
    (i32.const 0))
  (func (export "clock_res_get") (param $id i32) (param $out i32) (result i32)
    (if (i32.gt_u (local.get $id) (i32.const 3)) (then (return (i32.const 28))))
    (i64.store (local.get $out) (i64.const 1000))
    (i32.const 0))

  ;; Whatever is waited for has happened: a pause is over at once, and the clock shows it.
  (func (export "poll_oneoff") (param $in i32) (param $out i32) (param $n i32) (param $got i32) (result i32)
    (local $until i64)
    (if (i32.eqz (local.get $n)) (then (return (i32.const 28))))
    (i32.store (local.get $got) (local.get $n))
    (block $done (loop $next
      (br_if $done (i32.eqz (local.get $n)))
      (i64.store (local.get $out) (i64.load (local.get $in)))
      (i64.store offset=8 (local.get $out) (i64.const 0))
      (i64.store offset=16 (local.get $out) (i64.const 0))
      (i64.store offset=24 (local.get $out) (i64.const 0))
      (i32.store8 offset=10 (local.get $out) (i32.load8_u offset=8 (local.get $in)))
      (if (i32.eqz (i32.load8_u offset=8 (local.get $in))) (then
        (local.set $until (i64.load offset=24 (local.get $in)))
        (if (i32.eqz (i32.and (i32.load16_u offset=40 (local.get $in)) (i32.const 1)))
          (then (local.set $until (i64.add (local.get $until) (global.get $clock)))))
        (if (i64.gt_u (local.get $until) (global.get $clock)) (then (global.set $clock (local.get $until))))))
      (local.set $in (i32.add (local.get $in) (i32.const 48)))
      (local.set $out (i32.add (local.get $out) (i32.const 32)))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br $next)))
    (i32.const 0))
  (func (export "sched_yield") (result i32) (i32.const 0))

  (func $splitmix (result i64)
    (local $z i64)
    (global.set $random (i64.add (global.get $random) (i64.const 0x9e3779b97f4a7c15)))
    (local.set $z (global.get $random))
    (local.set $z (i64.mul (i64.xor (local.get $z) (i64.shr_u (local.get $z) (i64.const 30))) (i64.const 0xbf58476d1ce4e5b9)))
    (local.set $z (i64.mul (i64.xor (local.get $z) (i64.shr_u (local.get $z) (i64.const 27))) (i64.const 0x94d049bb133111eb)))
    (i64.xor (local.get $z) (i64.shr_u (local.get $z) (i64.const 31))))
  (func (export "random_get") (param $ptr i32) (param $len i32) (result i32)
    (block $done (loop $next
      (br_if $done (i32.eqz (local.get $len)))
      (i64.store8 (local.get $ptr) (call $splitmix))
      (local.set $ptr (i32.add (local.get $ptr) (i32.const 1)))
      (local.set $len (i32.sub (local.get $len) (i32.const 1)))
      (br $next)))
    (i32.const 0))

  ;; No argument, no variable: counts and sizes of 0.
  (func $none (param $count i32) (param $size i32) (result i32)
    (i32.store (local.get $count) (i32.const 0))
    (i32.store (local.get $size) (i32.const 0))
    (i32.const 0))
  (func (export "args_sizes_get") (param i32 i32) (result i32) (call $none (local.get 0) (local.get 1)))
  (func (export "environ_sizes_get") (param i32 i32) (result i32) (call $none (local.get 0) (local.get 1)))
  (func (export "args_get") (param i32 i32) (result i32) (i32.const 0))
  (func (export "environ_get") (param i32 i32) (result i32) (i32.const 0))

  ;; The three standard streams: devices without a position. 0 for them, 8 (bad file descriptor) for any other.
  (func $standard (param $fd i32) (result i32)
    (if (result i32) (i32.gt_u (local.get $fd) (i32.const 2)) (then (i32.const 8)) (else (i32.const 0))))
  (func $no_seek (param $fd i32) (result i32)
    (if (result i32) (i32.gt_u (local.get $fd) (i32.const 2)) (then (i32.const 8)) (else (i32.const 70))))
  (func (export "fd_close") (param i32) (result i32) (call $standard (local.get 0)))
  (func (export "fd_fdstat_set_flags") (param i32 i32) (result i32) (call $standard (local.get 0)))
  (func (export "fd_seek") (param i32 i64 i32 i32) (result i32) (call $no_seek (local.get 0)))
  (func (export "fd_tell") (param i32 i32) (result i32) (call $no_seek (local.get 0)))
  ;; Standard input is empty.
  (func (export "fd_read") (param $fd i32) (param i32 i32) (param $n i32) (result i32)
    (if (local.get $fd) (then (return (i32.const 8))))
    (i32.store (local.get $n) (i32.const 0))
    (i32.const 0))
  (func (export "fd_fdstat_get") (param $fd i32) (param $out i32) (result i32)
    (if (i32.gt_u (local.get $fd) (i32.const 2)) (then (return (i32.const 8))))
    ;; A character device; the right to read, or to write.
    (i64.store (local.get $out) (i64.const 2))
    (i64.store offset=8 (local.get $out) (if (result i64) (local.get $fd) (then (i64.const 64)) (else (i64.const 2))))
    (i64.store offset=16 (local.get $out) (i64.const 0))
    (i32.const 0))
  (func (export "fd_filestat_get") (param $fd i32) (param $out i32) (result i32)
    (if (i32.gt_u (local.get $fd) (i32.const 2)) (then (return (i32.const 8))))
    (memory.fill (local.get $out) (i32.const 0) (i32.const 64))
    (i32.store8 offset=16 (local.get $out) (i32.const 2))
    (i32.const 0))

  ;; There are no others, and no directories.
  (func (export "fd_advise") (param i32 i64 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_allocate") (param i32 i64 i64) (result i32) (i32.const 8))
  (func (export "fd_datasync") (param i32) (result i32) (i32.const 8))
  (func (export "fd_fdstat_set_rights") (param i32 i64 i64) (result i32) (i32.const 8))
  (func (export "fd_filestat_set_size") (param i32 i64) (result i32) (i32.const 8))
  (func (export "fd_filestat_set_times") (param i32 i64 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_pread") (param i32 i32 i32 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_prestat_get") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_prestat_dir_name") (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "fd_pwrite") (param i32 i32 i32 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_readdir") (param i32 i32 i32 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_renumber") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_sync") (param i32) (result i32) (i32.const 8))
  (func (export "path_create_directory") (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_filestat_get") (param i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_filestat_set_times") (param i32 i32 i32 i32 i64 i64 i32) (result i32) (i32.const 8))
  (func (export "path_link") (param i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_open") (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32) (i32.const 8))
  (func (export "path_readlink") (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_remove_directory") (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_rename") (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_symlink") (param i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_unlink_file") (param i32 i32 i32) (result i32) (i32.const 8)))
