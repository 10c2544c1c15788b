// A reply that the mesh itself gives: a line of text that says what went wrong.

import {
  CONTEXT_BODY,
  CONTEXT_HEAD,
  CONTEXT_HTTP_1_0,
  CONTEXT_KEEP_ALIVE,
  CONTEXT_REQUEST_ID,
  contextHas,
} from './context.ts'
import {
  IN_FLAG_DRAINING,
  IN_FLAGS,
  IN_LOCAL_FIELDS_LEN,
  IN_LOCAL_FIELDS_PTR,
  IN_LOCAL_TEXT_LEN,
  IN_LOCAL_TEXT_PTR,
  OUT_HEAD_LEN,
} from './layout/record.ts'
import {
  inU32,
  outByte,
  outBytes,
  outDecimal,
  outPosition,
  outText,
  outU32,
  requestIdPtr,
} from './message.ts'
import { REQUEST_ID_LEN } from './request-id.ts'
import { outAddedLines, responseFieldIsReplaced } from './response-fields.ts'

/** Writes the whole reply and OUT_HEAD_LEN; returns whether the client's connection ends with it. */
export function outLocalReply(status: i32): bool {
  const start = outPosition()
  // The request's body, if any, was not read.
  const draining = (inU32(IN_FLAGS) & IN_FLAG_DRAINING) != 0
  const closes = !contextHas(CONTEXT_KEEP_ALIVE) || contextHas(CONTEXT_BODY) || draining
  const textLen: i32 = inU32(IN_LOCAL_TEXT_LEN)
  // A policy that says what its text is gives the body as it is; the mesh's own texts are lines.
  const isLine = !responseFieldIsReplaced('content-type')
  outText('HTTP/1.1 ')
  outDecimal(status)
  outText(' ')
  outText(standardPhrase(status))
  outText('\r\n')
  // 204 and 304 have neither body nor its length (RFC 9110 8.6, 15.4.5).
  const isBare = status == 204 || status == 304
  if (!isBare) {
    if (isLine) outText('content-type: text/plain; charset=utf-8\r\n')
    outText('content-length: ')
    outDecimal(isLine ? textLen + 1 : textLen)
    outText('\r\n')
  }
  if (!responseFieldIsReplaced('cache-control')) outText('cache-control: no-store\r\n')
  if (contextHas(CONTEXT_REQUEST_ID)) {
    outText('x-request-id: ')
    outBytes(requestIdPtr(), REQUEST_ID_LEN)
    outText('\r\n')
  }
  // RFC 9110 15.5.6. Any method in upper case passes but CONNECT and TRACE; these are the usual ones.
  if (status == 405) outText('allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n')
  outBytes(inU32(IN_LOCAL_FIELDS_PTR), inU32(IN_LOCAL_FIELDS_LEN))
  outAddedLines()
  if (closes) outText('connection: close\r\n')
  else if (contextHas(CONTEXT_HTTP_1_0)) outText('connection: keep-alive\r\n')
  outText('\r\n')
  outU32(OUT_HEAD_LEN, outPosition() - start)
  if (!contextHas(CONTEXT_HEAD) && !isBare) {
    outBytes(inU32(IN_LOCAL_TEXT_PTR), textLen)
    if (isLine) outByte(0x0a)
  }
  return closes
}

// RFC 9110 15, RFC 6585, RFC 7725.
function standardPhrase(status: i32): string {
  switch (status) {
    case 200:
      return 'OK'
    case 201:
      return 'Created'
    case 202:
      return 'Accepted'
    case 204:
      return 'No Content'
    case 301:
      return 'Moved Permanently'
    case 302:
      return 'Found'
    case 303:
      return 'See Other'
    case 307:
      return 'Temporary Redirect'
    case 308:
      return 'Permanent Redirect'
    case 400:
      return 'Bad Request'
    case 401:
      return 'Unauthorized'
    case 403:
      return 'Forbidden'
    case 404:
      return 'Not Found'
    case 405:
      return 'Method Not Allowed'
    case 408:
      return 'Request Timeout'
    case 411:
      return 'Length Required'
    case 413:
      return 'Content Too Large'
    case 414:
      return 'URI Too Long'
    case 417:
      return 'Expectation Failed'
    case 421:
      return 'Misdirected Request'
    case 429:
      return 'Too Many Requests'
    case 431:
      return 'Request Header Fields Too Large'
    case 500:
      return 'Internal Server Error'
    case 501:
      return 'Not Implemented'
    case 502:
      return 'Bad Gateway'
    case 503:
      return 'Service Unavailable'
    case 504:
      return 'Gateway Timeout'
    case 505:
      return 'HTTP Version Not Supported'
    default:
      return ''
  }
}
