// A policy in Rust, without a library: it proves that any language can keep the ABI (docs/policy-abi.md).
//
// A client that calls itself by more names than the configuration allows within a window is refused: state of type `set`, keyed by
// the client's address. What it called itself last is remembered in a `lastWriter`, and the response tells how many names there were.

#![no_std]
#![no_main]

use core::arch::wasm32;

// src/sidecar/layout/user-policy.ts
const AREA_PER_PAGE: usize = 32768;
const OUTPUT_RECORD: usize = 0x100;
const INPUT_ABI: usize = 0;
const INPUT_END: usize = 8;
const INPUT_CONFIGURATION: usize = 80;
const INPUT_CARRY: usize = 88;
const INPUT_FIELDS: usize = 96;
const INPUT_STATES: usize = 112;
const PAIR_SIZE: usize = 16;
const STATE_SIZE: usize = 32;
const STATE_NUMBER: usize = 16;
const STATE_VALUE: usize = 24;
const MEMBER_SIZE: usize = 8;
const OUTPUT_STATUS: usize = 0;
const OUTPUT_TEXT: usize = 4;
const OUTPUT_OPERATIONS: usize = 12;
const OUTPUT_UPDATES: usize = 20;
const OUTPUT_CARRY: usize = 28;
const OPERATION_SET_ON_RESPONSE: u32 = 1 + 256;
const RETURN_ALLOW: i32 = 1;
const RETURN_DENY: i32 = 2;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    wasm32::unreachable()
}

fn area() -> usize {
    wasm32::memory_size(0) * AREA_PER_PAGE
}

fn word(at: usize) -> u32 {
    unsafe { (at as *const u32).read_unaligned() }
}

fn put(at: usize, value: u32) {
    unsafe { (at as *mut u32).write_unaligned(value) }
}

/// The bytes that an address and the length behind it name.
fn bytes(at: usize) -> &'static [u8] {
    unsafe { core::slice::from_raw_parts(word(at) as *const u8, word(at + 4) as usize) }
}

fn refer(at: usize, value: &[u8]) {
    put(at, value.as_ptr() as u32);
    put(at + 4, value.len() as u32);
}

/// The number behind `"name":` in the configuration, which is JSON without blanks.
fn configured(name: &[u8]) -> u32 {
    let json = bytes(area() + INPUT_CONFIGURATION);
    let Some(found) = json.windows(name.len()).position(|window| window == name) else { return 0 };
    json[found + name.len()..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0, |number, digit| number * 10 + u32::from(digit - b'0'))
}

#[no_mangle]
pub extern "C" fn request() -> i32 {
    if word(area() + INPUT_ABI) != 1 {
        return 0;
    }
    let output = area() + OUTPUT_RECORD;
    if word(area() + INPUT_FIELDS + 4) == 0 {
        put(output + OUTPUT_STATUS, 400);
        refer(output + OUTPUT_TEXT, b"say in user-agent who asks");
        return RETURN_DENY;
    }
    // The manifest declares one field and two states, the set first.
    let agent = bytes(word(area() + INPUT_FIELDS) as usize + PAIR_SIZE - 8);
    let names = word(area() + INPUT_STATES) as usize;
    let last = names + STATE_SIZE;
    let count = word(names + STATE_NUMBER);
    let known = (0..word(names + STATE_VALUE + 4) as usize)
        .any(|member| bytes(word(names + STATE_VALUE) as usize + member * MEMBER_SIZE) == agent);
    if !known && count >= configured(b"\"names\":") {
        put(output + OUTPUT_STATUS, 403);
        refer(output + OUTPUT_TEXT, b"one client, one name");
        return RETURN_DENY;
    }
    // Behind the input there is room for what goes out.
    let updates = (word(area() + INPUT_END) as usize + 7) & !7;
    put(updates, 0);
    refer(updates + 16, agent);
    put(updates + 24, 1);
    refer(updates + 24 + 16, agent);
    put(output + OUTPUT_UPDATES, updates as u32);
    put(output + OUTPUT_UPDATES + 4, 2);
    refer(output + OUTPUT_CARRY, bytes(last + STATE_VALUE));
    RETURN_ALLOW
}

#[no_mangle]
pub extern "C" fn response() -> i32 {
    let output = area() + OUTPUT_RECORD;
    let before = bytes(area() + INPUT_CARRY);
    if !before.is_empty() {
        let operation = (word(area() + INPUT_END) as usize + 7) & !7;
        put(operation, OPERATION_SET_ON_RESPONSE);
        refer(operation + 4, b"x-agent-before");
        refer(operation + 12, before);
        put(output + OUTPUT_OPERATIONS, operation as u32);
        put(output + OUTPUT_OPERATIONS + 4, 1);
    }
    RETURN_ALLOW
}
