// The claims of the request's verified token, as conditions look them up. A claim's path is its names one inside the
// other, for each u16 length and bytes: the claim `a` is one name, `a[b]` are two. A claim that is a list has
// several values, one that is a string has one.
//
// No token is accepted yet, so no request has claims: what asks for one does not match, what excludes one does.

/** How many values the claim has; 0 where the request has no such claim. */
export function claimCount(_pathPtr: i32, _pathLen: i32): i32 {
  return 0
}

export function claimPtr(_pathPtr: i32, _pathLen: i32, _index: i32): i32 {
  return 0
}

export function claimLen(_pathPtr: i32, _pathLen: i32, _index: i32): i32 {
  return 0
}
