// The start time of a request in UTC, as strftime's conversions write it.

import {
  TIME_CENTURY,
  TIME_DAY,
  TIME_DAY_OF_YEAR,
  TIME_DAY_SPACED,
  TIME_EPOCH_SECONDS,
  TIME_FRACTION_1,
  TIME_FRACTION_2,
  TIME_FRACTION_3,
  TIME_HOUR,
  TIME_HOUR_12,
  TIME_ISO,
  TIME_MERIDIEM,
  TIME_MINUTE,
  TIME_MONTH,
  TIME_MONTH_NUMBER,
  TIME_NAME_SIZE,
  TIME_SECOND,
  TIME_WEEKDAY,
  TIME_WEEKDAY_NUMBER,
  TIME_YEAR,
  TIME_YEAR_OF_CENTURY,
} from './layout/access-log.ts'
import { IN_TIME, INPUT } from './layout/record.ts'
import { outByte, outDecimal, outPosition, outReserve } from './message.ts'

const DAY_MS: u64 = 86400000
/** The last millisecond of the year 9999: years have four digits. */
const LAST: u64 = 253402300799999

let seconds: u64 = 0
let millisecond: i32 = 0
let secondOfDay: i32 = 0
let weekday: i32 = 0
let dayOfYear: i32 = 0
let year: i32 = 0
let month: i32 = 0
let day: i32 = 0

/** Reads the injected time; to be called before its parts are written. */
export function readTime(): void {
  const time = min(load<u64>(INPUT + IN_TIME), LAST)
  seconds = time / 1000
  millisecond = (time % 1000) as i32
  secondOfDay = ((time % DAY_MS) / 1000) as i32
  const days = (time / DAY_MS) as i32
  weekday = (days + 4) % 7
  // Days are counted from 1 March of the year 0 in eras of 400 years, so that a leap day is the last of its year.
  const shifted = days + 719468
  const era = shifted / 146097
  const dayOfEra = shifted % 146097
  const yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146096) / 365
  const fromMarch = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
  const monthFromMarch = (5 * fromMarch + 2) / 153
  day = fromMarch - (153 * monthFromMarch + 2) / 5 + 1
  month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
  year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
  const leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 1 : 0
  dayOfYear = month <= 2 ? fromMarch - 306 : fromMarch + 59 + leap
}

/** Writes a part (TIME_*); `names` are those that the part chooses from. */
export function outTimePart(part: i32, names: i32): void {
  const hour = secondOfDay / 3600
  switch (part) {
    case TIME_ISO:
      return outIso()
    case TIME_YEAR:
      return outPadded(year, 4)
    case TIME_YEAR_OF_CENTURY:
      return outPadded(year % 100, 2)
    case TIME_CENTURY:
      return outPadded(year / 100, 2)
    case TIME_MONTH_NUMBER:
      return outPadded(month, 2)
    case TIME_DAY:
      return outPadded(day, 2)
    case TIME_DAY_SPACED: {
      if (day < 10) outByte(0x20)
      return outPadded(day, day < 10 ? 1 : 2)
    }
    case TIME_DAY_OF_YEAR:
      return outPadded(dayOfYear + 1, 3)
    case TIME_HOUR:
      return outPadded(hour, 2)
    case TIME_HOUR_12:
      return outPadded(((hour + 11) % 12) + 1, 2)
    case TIME_MINUTE:
      return outPadded((secondOfDay / 60) % 60, 2)
    case TIME_SECOND:
      return outPadded(secondOfDay % 60, 2)
    case TIME_EPOCH_SECONDS:
      return outDecimal(seconds)
    case TIME_FRACTION_1:
      return outPadded(millisecond / 100, 1)
    case TIME_FRACTION_2:
      return outPadded(millisecond / 10, 2)
    case TIME_FRACTION_3:
      return outPadded(millisecond, 3)
    case TIME_WEEKDAY:
      return outName(names, weekday)
    case TIME_MONTH:
      return outName(names, month - 1)
    case TIME_MERIDIEM:
      return outName(names, hour < 12 ? 0 : 1)
    case TIME_WEEKDAY_NUMBER:
      return outPadded(weekday, 1)
  }
}

function outIso(): void {
  const start = outPosition()
  if (!outReserve(24)) return
  storePadded(start, year, 4)
  store<u8>(start + 4, 0x2d)
  storePadded(start + 5, month, 2)
  store<u8>(start + 7, 0x2d)
  storePadded(start + 8, day, 2)
  store<u8>(start + 10, 0x54)
  storePadded(start + 11, secondOfDay / 3600, 2)
  store<u8>(start + 13, 0x3a)
  storePadded(start + 14, (secondOfDay / 60) % 60, 2)
  store<u8>(start + 16, 0x3a)
  storePadded(start + 17, secondOfDay % 60, 2)
  store<u8>(start + 19, 0x2e)
  storePadded(start + 20, millisecond, 3)
  store<u8>(start + 23, 0x5a)
}

function outPadded(value: i32, digits: i32): void {
  const start = outPosition()
  if (outReserve(digits)) storePadded(start, value, digits)
}

function storePadded(at: i32, value: i32, digits: i32): void {
  for (let i = digits - 1; i >= 0; i--) {
    store<u8>(at + i, (0x30 + (value % 10)) as u8)
    value /= 10
  }
}

function outName(names: i32, index: i32): void {
  const name = names + index * TIME_NAME_SIZE
  for (let i = 0; i < TIME_NAME_SIZE && load<u8>(name + i) != 0; i++) outByte(load<u8>(name + i))
}
