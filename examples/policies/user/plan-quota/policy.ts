// A quota by plan: so many requests in each window as the configuration gives the plan that the caller's token names. The count is the
// mesh's: about exact, since engines tell each other a little later. Where not one request too many may pass, use RateLimitPolicy.

import {
  allow,
  begin,
  claim,
  configuration,
  deny,
  end,
  integer,
  literal,
  member,
  memberNamed,
  setResponseHeader,
  state,
  writeNumber,
} from 'mayfly-policy'

export function request(): i32 {
  const used = state('used')
  if (!used.isKeyed) return deny(401, 'a token that says whose it is is needed')
  const plans = member(configuration(), 'plans')
  const limit = integer(memberNamed(plans, claim('plan')), integer(member(plans, 'free'), 0))
  const left = limit - used.number
  if (left <= 0) {
    setResponseHeader('retry-after', literal('60'))
    return deny(429, 'the quota of the plan is used up')
  }
  used.add(1)
  begin()
  writeNumber(left - 1)
  setResponseHeader('x-quota-left', end())
  return allow()
}
