// SPDX-License-Identifier: Apache-2.0
// A payment connector: takes orders over a loopback connection, checks the card number, signs, answers.
// It is also its own client, so that it is busy.
use std::collections::hash_map::DefaultHasher;
use std::collections::HashMap;
use std::hash::Hasher;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

struct Order {
    fields: HashMap<String, String>,
}

#[inline]
fn parse_pair(pair: &str) -> Option<(String, String)> {
    let (name, value) = pair.split_once('=')?;
    Some((name.to_string(), value.to_string()))
}

fn parse(line: &str) -> Order {
    Order { fields: line.trim_end().split('&').filter_map(parse_pair).collect() }
}

/// The check digit of card numbers (ISO/IEC 7812-1).
#[inline]
fn luhn(number: &str) -> bool {
    let mut sum = 0;
    for (i, digit) in number.bytes().rev().enumerate() {
        let digit = (digit - b'0') as u32;
        sum += if i % 2 == 0 { digit } else { digit * 2 / 10 + digit * 2 % 10 };
    }
    sum % 10 == 0
}

#[inline]
fn round(key: u64, text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write_u64(key);
    hasher.write(text.as_bytes());
    hasher.finish()
}

fn sign(order: &Order) -> u64 {
    let mut key = 4711;
    for _ in 0..200 {
        for (name, value) in &order.fields {
            key = round(key, name) ^ round(key, value);
        }
    }
    key
}

fn serve(stream: TcpStream) {
    let mut writer = stream.try_clone().unwrap();
    for line in BufReader::new(stream).lines() {
        let order = parse(&line.unwrap());
        let valid = luhn(&order.fields["card"]);
        writeln!(writer, "{} {:x}", valid, sign(&order)).unwrap();
    }
}

fn main() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut answer = String::new();
        loop {
            writeln!(stream, "card=4539578763621486&amount=1999&currency=EUR&merchant=books&reference=a-17").unwrap();
            answer.clear();
            if reader.read_line(&mut answer).unwrap() == 0 {
                return;
            }
        }
    });
    for stream in listener.incoming() {
        serve(stream.unwrap());
    }
}
