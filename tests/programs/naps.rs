// SPDX-License-Identifier: Apache-2.0
// Blocks in three threads, each in its own way: a sleep, a lock (futex), a read from a socket.
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex};
use std::{thread, time::Duration};

#[inline(never)]
fn nap_asleep(bell: Arc<(Mutex<u64>, Condvar)>, mut into: UnixStream) {
    loop {
        thread::sleep(Duration::from_millis(5));
        *bell.0.lock().unwrap() += 1;
        bell.1.notify_all();
        into.write_all(b"x").unwrap();
    }
}

#[inline(never)]
fn nap_on_lock(bell: Arc<(Mutex<u64>, Condvar)>) {
    let mut count = bell.0.lock().unwrap();
    loop {
        count = bell.1.wait(count).unwrap();
    }
}

#[inline(never)]
fn nap_on_socket(mut out_of: UnixStream) {
    let mut byte = [0];
    loop {
        out_of.read_exact(&mut byte).unwrap();
    }
}

fn main() {
    let bell = Arc::new((Mutex::new(0), Condvar::new()));
    let (out_of, into) = UnixStream::pair().unwrap();
    let heard = bell.clone();
    thread::spawn(move || nap_on_lock(heard));
    thread::spawn(move || nap_on_socket(out_of));
    nap_asleep(bell, into);
}
