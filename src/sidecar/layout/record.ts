// The records through which an engine and a sidecar speak, and where they lie in the sandbox's memory.
// The guest (AssemblyScript) and the host (TypeScript) compile this same file. Little endian; an address is a byte
// offset in the sandbox's memory; `_PTR` and `_LEN` are a u32 address and a u32 length in bytes; text is raw bytes (latin1).
//
//   0x0000  input record     written by the engine
//   0x0200  output record    written by the sidecar, read as hostile
//   0x0400  verdicts, needs, log holes (arrays that the output record counts)
//   0x1000  the module's static data
//   0x5000  the sidecar's scratch: field table and working buffers
//   0x8000  variable input: head, policy, texts, state, context; then, from the next multiple of 8 after IN_END, output
//   memory's end

/** Version of this layout; the engine writes it and a sidecar built for another one refuses to run. */
export const ABI_VERSION: i32 = 1

export const INPUT: i32 = 0x0000
export const OUTPUT: i32 = 0x0200
export const STATIC_DATA: i32 = 0x1000
export const SCRATCH: i32 = 0x5000
export const VARIABLE: i32 = 0x8000

/** Most fields in one head; one more is 431. */
export const MAX_FIELDS: i32 = 128
/** So many fields and bytes more may a head have that comes from another sidecar, which adds fields. */
export const ADDED_FIELDS: i32 = 16
export const ADDED_BYTES: i32 = 4096
/** So many fields may policies add to a head. */
export const POLICY_FIELDS: i32 = 48

// ---- Input record: offsets from INPUT ----

export const IN_ABI: i32 = 0
/** DIRECTION_*: on whose behalf the sidecar judges. */
export const IN_DIRECTION: i32 = 4
/** IN_FLAG_* bits. */
export const IN_FLAGS: i32 = 8
/** First free address after the variable input. */
export const IN_END: i32 = 12
/** Size of the sandbox's memory in bytes. */
export const IN_MEMORY: i32 = 16
/** Largest head in bytes that may be accepted; a longer one is 431 (request) or 502 (response). */
export const IN_MAX_HEAD: i32 = 20
/** Milliseconds since the epoch at which the phase runs, as u64. */
export const IN_TIME: i32 = 24
/** 48 random bytes: 16 for a trace id, 8 for a span id, 16 for a request id, 8 for sampling. */
export const IN_RANDOM: i32 = 32
/** The bytes received; a head and perhaps more after it. */
export const IN_HEAD_PTR: i32 = 80
export const IN_HEAD_LEN: i32 = 84
/** The compiled policy of the function that judges (policy.ts); absent in `open`. */
export const IN_POLICY_PTR: i32 = 88
export const IN_POLICY_LEN: i32 = 92
/** The peer's principal, "" where the peer is not authenticated. `open` does not need it. */
export const IN_PEER_PTR: i32 = 96
export const IN_PEER_LEN: i32 = 100
/** The peer's IP address as 16 bytes; IPv4 as ::ffff:a.b.c.d. */
export const IN_SOURCE_IP: i32 = 104
/** The address on which the connection was accepted, the same way. */
export const IN_LOCAL_IP: i32 = 120
export const IN_SOURCE_PORT: i32 = 136
export const IN_LOCAL_PORT: i32 = 140
/** The workload port that the request is for (the function's declared port): Istio's destination.port. */
export const IN_TARGET_PORT: i32 = 144
/** OUTBOUND: the callee as "namespace/name", "" where the authority names no function. Else the own function. */
export const IN_TARGET_PTR: i32 = 148
export const IN_TARGET_LEN: i32 = 152
/**
 * The engine's answers to the needs of earlier runs of this phase, in the order in which they were asked: u32 count, u32 spare,
 * then for each ANSWER_HEADER bytes (u32 NEED_* kind, u32 length of the key, u32 length of the answer, u32 spare) and the
 * answer, padded to a multiple of 8.
 */
export const IN_STATE_PTR: i32 = 156
export const IN_STATE_LEN: i32 = 160
/** Response phases: the context bytes that the request phase returned. */
export const IN_CONTEXT_PTR: i32 = 164
export const IN_CONTEXT_LEN: i32 = 168
/** Response phase: 0 when IN_HEAD is an upstream's head; else the status of a reply the mesh itself gives. */
export const IN_LOCAL_STATUS: i32 = 172
/** The reply's text, shown to the client in the body. */
export const IN_LOCAL_TEXT_PTR: i32 = 176
export const IN_LOCAL_TEXT_LEN: i32 = 180
/** RESPONSE_FLAG_* bits known when the phase runs. */
export const IN_RESPONSE_FLAGS: i32 = 184
/** The upstream instance's address as text "127.0.0.1:9001", "" where none was reached. */
export const IN_UPSTREAM_PTR: i32 = 188
export const IN_UPSTREAM_LEN: i32 = 192
/** Extra fields of a local reply, as whole lines "name: value\r\n" (retry-after and the like), or "". */
export const IN_LOCAL_FIELDS_PTR: i32 = 196
export const IN_LOCAL_FIELDS_LEN: i32 = 200
/** What this engine has under way to the function, and by whose view (layout/breaker.ts); absent where no DestinationRule applies. */
export const IN_CIRCUITS_PTR: i32 = 204
export const IN_CIRCUITS_LEN: i32 = 208
/** Response phase: what is known of the attempt, and the retry policy (layout/retry.ts); absent where there is none. */
export const IN_RETRY_PTR: i32 = 212
export const IN_RETRY_LEN: i32 = 216
/** Which attempt of the request this is or was, from 1. */
export const IN_ATTEMPT: i32 = 220

/** SHA-256 of the certificate by which the peer proved its identity, in hexadecimal; "": it needed none in this engine. */
export const IN_PEER_HASH_PTR: i32 = 240
export const IN_PEER_HASH_LEN: i32 = 244

/** From outside, through the gateway: fields that only the mesh may set are dropped. */
export const DIRECTION_INGRESS: i32 = 0
/** From a function to its egress address: the caller's policies judge. */
export const DIRECTION_OUTBOUND: i32 = 1
/** To a function from inside the mesh, after the caller's outbound sidecar. */
export const DIRECTION_INBOUND: i32 = 2

/** The connection is TLS. */
export const IN_FLAG_TLS: i32 = 1
/** The engine is draining: answer with `connection: close`. */
export const IN_FLAG_DRAINING: i32 = 2
/** The client's side of a call is judged here: routes, circuit breaking. */
export const IN_FLAG_ROUTE: i32 = 4
/** The workload's own side is judged here: all that protects it. On one node both are. */
export const IN_FLAG_SERVE: i32 = 8
/** The connection came in plaintext from outside this engine, so its peer has proved nothing. */
export const IN_FLAG_PLAINTEXT: i32 = 16
/** The head was written by another node's engine, which judged the client's side of the call. */
export const IN_FLAG_FORWARDED: i32 = 32
/** The request is a copy that a route sends to another destination as well. */
export const IN_FLAG_SHADOW: i32 = 64

// ---- Output record: offsets from OUTPUT ----

/** RESULT_*, again as a value that outlives the call. */
export const OUT_RESULT: i32 = 0
/** Length of the head in the bytes received, with its empty line. */
export const OUT_HEAD_LEN: i32 = 4
/** The bytes to send: the head to forward, or a whole local reply. */
export const OUT_SEND_PTR: i32 = 8
export const OUT_SEND_LEN: i32 = 12
/** `open`: the authority's host in lower case without port; an IPv6 literal without brackets. */
export const OUT_HOST_PTR: i32 = 16
export const OUT_HOST_LEN: i32 = 20
/** `open`: the authority's port, 0 where it has none. */
export const OUT_PORT: i32 = 24
/** OUT_FLAG_* bits. */
export const OUT_FLAGS: i32 = 28
/** BODY_*: how the received message's body is framed. */
export const OUT_BODY: i32 = 32
/** BODY_*: how the body is framed in what is sent. */
export const OUT_SEND_BODY: i32 = 36
/** BODY_LENGTH: the length as f64-exact u64 (at most 2^53 - 1). */
export const OUT_BODY_LENGTH: i32 = 40
/** A denial's status (request phase), or the response's status. */
export const OUT_STATUS: i32 = 48
/** REASON_*: why a request was refused or a response is bad. */
export const OUT_REASON: i32 = 52
/** A denial's text for the client's body. */
export const OUT_TEXT_PTR: i32 = 56
export const OUT_TEXT_LEN: i32 = 60
/** Context for the response phase. */
export const OUT_CONTEXT_PTR: i32 = 64
export const OUT_CONTEXT_LEN: i32 = 68
/** The access-log line, without its final newline; length 0 where none is to be written. */
export const OUT_LOG_PTR: i32 = 72
export const OUT_LOG_LEN: i32 = 76
/** u32 count of log holes at LOG_HOLES. */
export const OUT_LOG_HOLES: i32 = 80
/** u32 count of verdicts at VERDICTS. */
export const OUT_VERDICTS: i32 = 84
/** u32 count of needs at NEEDS (0 unless RESULT_NEEDS). */
export const OUT_NEEDS: i32 = 88
/** The request id, 36 characters, "" where the phase has none. */
export const OUT_REQUEST_ID_PTR: i32 = 92
export const OUT_REQUEST_ID_LEN: i32 = 96
/** OUT_FLAG_SAMPLED: the span's ids in hexadecimal: trace id 32, span id 16, parent's span id 16 (all "0": none). */
export const OUT_TRACE_PTR: i32 = 100
/** A denial's extra fields, as whole lines "name: value\r\n" (www-authenticate and the like), or "". */
export const OUT_FIELDS_PTR: i32 = 104
export const OUT_FIELDS_LEN: i32 = 108
/** RESPONSE_FLAG_* bits of a denial. */
export const OUT_RESPONSE_FLAGS: i32 = 112
/** What the chosen route asks of the engine (layout/route-outcome.ts); length 0: nothing. */
export const OUT_ROUTE_PTR: i32 = 116
export const OUT_ROUTE_LEN: i32 = 120
/** `open` of a request from another node: the instance that its sender chose. */
export const OUT_INSTANCE_PTR: i32 = 124
export const OUT_INSTANCE_LEN: i32 = 128
/** By what a request is to find its instance (u32, consistent hash); 0: by nothing. */
export const OUT_HASH: i32 = 132
/** Response phase: what was found out for log filters, metrics and spans (layout/observation.ts); length 0: nothing. */
export const OUT_VALUES_PTR: i32 = 480
export const OUT_VALUES_LEN: i32 = 484

export const RESULT_NONE: i32 = 0
/** More bytes are needed to judge the head. */
export const RESULT_INCOMPLETE: i32 = 1
/** `open` read the head: resolve the host, then call `decide`. */
export const RESULT_OPENED: i32 = 2
/** Send OUT_SEND onwards. */
export const RESULT_FORWARD: i32 = 3
/** Answer OUT_STATUS with OUT_TEXT: run a response phase with IN_LOCAL_STATUS to make the reply. */
export const RESULT_DENY: i32 = 4
/** Policies need state: fetch what NEEDS names, inject the answers, call the entry again. */
export const RESULT_NEEDS: i32 = 5
/** An interim (1xx) response: send it on, then another head follows. */
export const RESULT_INTERIM: i32 = 6
/** The upstream's head is not acceptable: close it and answer 502. */
export const RESULT_BAD: i32 = 7
/** The answer, or the mesh's own, goes no further: the request is to be sent again. */
export const RESULT_RETRY: i32 = 8
/** The instance's node says that it has not reached the instance. */
export const RESULT_UNDELIVERED: i32 = 9

/** The connection on which the message came may carry another one. */
export const OUT_FLAG_KEEP_ALIVE: i32 = 1
/** The client waits for `100 Continue` before it sends the body. */
export const OUT_FLAG_EXPECT_CONTINUE: i32 = 2
/** Request: asks to switch protocols. Response: 101, bytes flow freely both ways from here. */
export const OUT_FLAG_UPGRADE: i32 = 4
/** Response: the connection to the client is closed after this message. */
export const OUT_FLAG_CLOSE_CLIENT: i32 = 8
/** The method is idempotent (RFC 9110 9.2.2), so a request that never reached an instance may be sent again. */
export const OUT_FLAG_IDEMPOTENT: i32 = 16
/** A span of this request is to be recorded. */
export const OUT_FLAG_SAMPLED: i32 = 32

export const BODY_NONE: i32 = 0
export const BODY_LENGTH: i32 = 1
export const BODY_CHUNKED: i32 = 2
/** Until the connection closes (responses only). */
export const BODY_CLOSE: i32 = 3

// ---- Arrays ----

/** Verdicts: entries of VERDICT_SIZE bytes: u8 policy (POLICY_*), u8 verdict (VERDICT_*), u16 rule (NO_RULE: none). */
export const VERDICTS: i32 = 0x0400
export const VERDICT_SIZE: i32 = 4
export const MAX_VERDICTS: i32 = 32
/** Log holes: entries of HOLE_SIZE bytes: u32 offset in the line before which the figure goes, u32 HOLE_* kind. In offset order. */
export const LOG_HOLES: i32 = 0x0500
export const HOLE_SIZE: i32 = 8
export const MAX_HOLES: i32 = 64
/** Needs: entries of NEED_SIZE bytes: u32 kind, u32 key address, u32 key length, u32 spare. */
export const NEEDS: i32 = 0x0700
export const NEED_SIZE: i32 = 16
export const MAX_NEEDS: i32 = 16
export const ANSWERS_HEADER: i32 = 8
export const ANSWER_HEADER: i32 = 16
/** A phase is run at most so many times for one message. */
export const MAX_RUNS: i32 = 8

/** Whether a token's signature is right. */
export const NEED_SIGNATURE: i32 = 1
/** What an external authorizer says. */
export const NEED_EXTERNAL: i32 = 2
/** A part of a rate limit. */
export const NEED_QUOTA: i32 = 3
/** What a user's own policy says. */
export const NEED_USER_POLICY: i32 = 4

export const NO_RULE: i32 = 0xffff

export const POLICY_HTTP: i32 = 0
export const POLICY_AUTHENTICATION: i32 = 1
export const POLICY_SIDECAR: i32 = 2
export const POLICY_AUTHORIZATION: i32 = 3
export const POLICY_RATE_LIMIT: i32 = 4
export const POLICY_TRACING: i32 = 5
export const POLICY_ACCESS_LOG: i32 = 6
export const POLICY_TLS: i32 = 7
export const POLICY_RETRY: i32 = 8
export const POLICY_BREAKER: i32 = 9
export const POLICY_EXTERNAL_AUTHORIZATION: i32 = 10
export const POLICY_ROUTE: i32 = 11
export const POLICY_USER: i32 = 12

export const VERDICT_ALLOW: i32 = 0
export const VERDICT_DENY: i32 = 1
/** An AUDIT policy matched: noted, without effect on the outcome. */
export const VERDICT_AUDIT: i32 = 2
/** The policy has nothing to say of this request. */
export const VERDICT_SKIP: i32 = 3
/** Inside the sidecar: what a policy says depends on a need that is not answered yet. */
export const VERDICT_WAIT: i32 = 4

/** Figures that only the engine knows when the exchange has ended; it writes them into the log line's holes. */
export const HOLE_BYTES_RECEIVED: i32 = 0
export const HOLE_BYTES_SENT: i32 = 1
/** Milliseconds from the head's arrival to the last byte sent. */
export const HOLE_DURATION: i32 = 2
/** Milliseconds from the head's arrival to the response's head. */
export const HOLE_RESPONSE_DURATION: i32 = 3
/** Milliseconds from the head's arrival to the request's last byte. */
export const HOLE_REQUEST_DURATION: i32 = 4
/** Envoy's response flags, "-" where there is none. */
export const HOLE_RESPONSE_FLAGS: i32 = 5
/** Milliseconds from the response's head to its last byte. */
export const HOLE_RESPONSE_TX_DURATION: i32 = 6
/** Milliseconds from the request's last byte sent upstream to the response's head. */
export const HOLE_UPSTREAM_TIME: i32 = 7
/** Envoy's response flags by their long names, "-" where there is none. */
export const HOLE_RESPONSE_FLAGS_LONG: i32 = 8
export const HOLE_KINDS: i32 = 9
/** The part of a hole's kind that is a HOLE_* figure; the rest are the bits below. */
export const HOLE_KIND_MASK: i32 = 255
/** Bit of a hole's kind: a figure that is not known is written `null`, not `-`. */
export const HOLE_ABSENT_NULL: i32 = 256
/** Bit of a hole's kind: a known figure is written in double quotes. */
export const HOLE_QUOTED: i32 = 512

// ---- Why a request was refused or a response is bad; the texts are in reasons.ts ----

export const REASON_REQUEST_LINE: i32 = 1
export const REASON_METHOD: i32 = 2
export const REASON_TARGET: i32 = 3
export const REASON_VERSION: i32 = 4
export const REASON_FIELD: i32 = 5
export const REASON_FIELD_NAME: i32 = 6
export const REASON_FIELD_VALUE: i32 = 7
export const REASON_OBS_FOLD: i32 = 8
export const REASON_BARE_CR_LF: i32 = 9
export const REASON_HEAD_TOO_LARGE: i32 = 10
export const REASON_TOO_MANY_FIELDS: i32 = 11
export const REASON_HOST: i32 = 12
export const REASON_CONTENT_LENGTH: i32 = 13
export const REASON_FRAMING: i32 = 14
export const REASON_TRANSFER_CODING: i32 = 15
export const REASON_CONNECTION: i32 = 16
export const REASON_EXPECT: i32 = 17
export const REASON_CONNECT: i32 = 18
export const REASON_UPGRADE: i32 = 19
export const REASON_PATH: i32 = 20
export const REASON_PORT: i32 = 21
export const REASON_EGRESS: i32 = 22
export const REASON_AUTHORIZATION: i32 = 23
export const REASON_OUTSIDE: i32 = 24
export const REASON_STATUS_LINE: i32 = 25
export const REASON_STATUS: i32 = 26
export const REASON_TRAILER: i32 = 27
export const REASON_POLICY: i32 = 28
export const REASON_MEMORY: i32 = 29
export const REASON_TOKEN: i32 = 30
export const REASON_AUDIENCE: i32 = 31
export const REASON_EXTERNAL: i32 = 32
export const REASON_RATE_LIMIT: i32 = 33
export const REASON_MUTUAL_TLS: i32 = 34
export const REASON_NO_ROUTE: i32 = 35
export const REASON_ROUTE: i32 = 36
export const REASON_FAULT: i32 = 37
export const REASON_BREAKER: i32 = 38
export const REASON_USER_POLICY: i32 = 39
export const REASON_TOO_MANY_ADDED: i32 = 40

// ---- Response flags, as bits; the engine prints Envoy's letters for them ----

/** UH: no healthy upstream. */
export const RESPONSE_FLAG_UH: i32 = 1
/** UF: the connection to the upstream failed. */
export const RESPONSE_FLAG_UF: i32 = 2
/** UO: overflow: a queue or a pool is full. */
export const RESPONSE_FLAG_UO: i32 = 4
/** NR: no route: no function has that name. */
export const RESPONSE_FLAG_NR: i32 = 8
/** UC: the upstream ended the connection. */
export const RESPONSE_FLAG_UC: i32 = 16
/** UT: the upstream took too long. */
export const RESPONSE_FLAG_UT: i32 = 32
/** DC: the client ended the connection. */
export const RESPONSE_FLAG_DC: i32 = 64
/** UAEX: refused by an external authorizer, or since it could not be asked. */
export const RESPONSE_FLAG_UAEX: i32 = 128
/** DPE: the client's bytes are not acceptable HTTP. */
export const RESPONSE_FLAG_DPE: i32 = 256
/** UPE: the upstream's bytes are not acceptable HTTP. */
export const RESPONSE_FLAG_UPE: i32 = 512
/** SI: the stream was idle for too long. */
export const RESPONSE_FLAG_SI: i32 = 1024
/** DT: the whole request took too long. */
export const RESPONSE_FLAG_DT: i32 = 2048
/** RL: rate limited. */
export const RESPONSE_FLAG_RL: i32 = 4096
/** FI: aborted by fault injection. */
export const RESPONSE_FLAG_FI: i32 = 8192
/** DI: delayed by fault injection. */
export const RESPONSE_FLAG_DI: i32 = 16384
/** URX: no more retries were allowed. */
export const RESPONSE_FLAG_URX: i32 = 32768
/** Beside UAEX, without letters of its own: the check failed. */
export const RESPONSE_FLAG_CHECK_FAILED: i32 = 65536
