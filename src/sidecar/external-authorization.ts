import { VERDICT_ALLOW } from './layout/record.ts'
export function judgeExternalAuthorization(_section: i32, _sectionLen: i32): i32 {
  return VERDICT_ALLOW
}
