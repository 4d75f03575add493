// SPDX-License-Identifier: Apache-2.0
// A payment connector: signs each payment (JSON, HMAC-SHA-256, hardened by 200 rounds) and sends it to the bank, from four
// threads that share one ledger. It prints how many it did every second. `connector PORT [short]`: with `short` the ledger is
// locked only while it is written to, not while the bank thinks.
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::{env, mem, thread, time::Duration};

const ROUNDS: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
];
const START: [u32; 8] = [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];

#[inline(never)]
fn mix_block(state: &mut [u32; 8], block: &[u8]) {
    let mut w = [0u32; 64];
    for (word, bytes) in w.iter_mut().zip(block.chunks_exact(4)) {
        *word = u32::from_be_bytes(bytes.try_into().unwrap());
    }
    for i in 16..64 {
        let s0 = w[i - 15].rotate_right(7) ^ w[i - 15].rotate_right(18) ^ (w[i - 15] >> 3);
        let s1 = w[i - 2].rotate_right(17) ^ w[i - 2].rotate_right(19) ^ (w[i - 2] >> 10);
        w[i] = w[i - 16].wrapping_add(s0).wrapping_add(w[i - 7]).wrapping_add(s1);
    }
    let mut v = *state;
    for i in 0..64 {
        let s1 = v[4].rotate_right(6) ^ v[4].rotate_right(11) ^ v[4].rotate_right(25);
        let one = v[7].wrapping_add(s1).wrapping_add((v[4] & v[5]) ^ (!v[4] & v[6])).wrapping_add(ROUNDS[i]).wrapping_add(w[i]);
        let s0 = v[0].rotate_right(2) ^ v[0].rotate_right(13) ^ v[0].rotate_right(22);
        let two = s0.wrapping_add((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
        v = [one.wrapping_add(two), v[0], v[1], v[2], v[3].wrapping_add(one), v[4], v[5], v[6]];
    }
    for (sum, add) in state.iter_mut().zip(v) {
        *sum = sum.wrapping_add(add);
    }
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    let mut padded = bytes.to_vec();
    padded.push(0x80);
    padded.resize((padded.len() + 8).div_ceil(64) * 64 - 8, 0);
    padded.extend_from_slice(&(bytes.len() as u64 * 8).to_be_bytes());
    let mut state = START;
    padded.chunks_exact(64).for_each(|block| mix_block(&mut state, block));
    let mut out = [0; 32];
    out.chunks_exact_mut(4).zip(state).for_each(|(place, word)| place.copy_from_slice(&word.to_be_bytes()));
    out
}

fn sign_payment(text: &str) -> String {
    let pad = |with: u8, rest: &[u8]| -> Vec<u8> { [&[with ^ b'k'; 64][..], rest].concat() };
    let mut tag = text.as_bytes().to_vec();
    for _ in 0..200 {
        tag = hash(&pad(0x5c, &hash(&pad(0x36, &tag)))).to_vec();
    }
    tag.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn make_payment(id: u64) -> String {
    let items: Vec<String> = (0..20).map(|i| format!(r#"{{"cents":{},"sku":"sku-{i}"}}"#, 100 + i)).collect();
    format!(r#"{{"cents":2190,"currency":"EUR","id":{id},"items":[{}],"merchant":"shop"}}"#, items.join(","))
}

/// The body of the bank's answer.
#[inline(never)]
fn ask_bank(bank: &mut BufReader<TcpStream>, text: &str, signature: &str) -> String {
    let head = format!("POST / HTTP/1.1\r\nHost: bank\r\nX-Signature: {signature}\r\nContent-Length: {}\r\n\r\n", text.len());
    bank.get_mut().write_all((head + text).as_bytes()).unwrap();
    let (mut line, mut length, mut chunked) = (String::new(), 0, false);
    while { line.clear(); bank.read_line(&mut line).unwrap() > 2 } {
        let lower = line.to_lowercase();
        chunked |= lower.starts_with("transfer-encoding: chunked");
        length = lower.strip_prefix("content-length: ").map_or(length, |number| number.trim().parse().unwrap());
    }
    let mut body = vec![0; length];
    bank.read_exact(&mut body).unwrap();
    assert!(!chunked);
    String::from_utf8(body).unwrap()
}

#[inline(never)]
fn pay(bank: &mut BufReader<TcpStream>, ledger: &Mutex<Vec<String>>, id: u64, is_short: bool) {
    let text = make_payment(id);
    let signature = sign_payment(&text);
    if is_short {
        let answer = ask_bank(bank, &text, &signature);
        ledger.lock().unwrap().push(answer);
    } else {
        let mut entries = ledger.lock().unwrap();
        let answer = ask_bank(bank, &text, &signature);
        entries.push(answer);
    }
}

fn main() {
    let port: u16 = env::args().nth(1).unwrap().parse().unwrap();
    let is_short = env::args().nth(2).is_some();
    let ledger = Arc::new(Mutex::new(Vec::new()));
    for first in 0..4 {
        let ledger = ledger.clone();
        let mut bank = BufReader::new(TcpStream::connect(("127.0.0.1", port)).unwrap());
        bank.get_ref().set_nodelay(true).unwrap();
        thread::spawn(move || (first..).step_by(4).for_each(|id| pay(&mut bank, &ledger, id, is_short)));
    }
    loop {
        thread::sleep(Duration::from_secs(1));
        println!("{}", mem::take(&mut *ledger.lock().unwrap()).len());
    }
}
