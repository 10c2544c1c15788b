// Rewrites header fields: tells the function the tenant that the host names, keeps debugging from outside out, and takes from responses
// what tells about the server.

import {
  addResponseHeader,
  allow,
  authority,
  begin,
  carried,
  carry,
  configuration,
  end,
  fromOutside,
  header,
  isTrue,
  member,
  removeHeader,
  removeResponseHeader,
  setHeader,
  setResponseHeader,
  text,
  writeByte,
} from 'mayfly-policy'

export function request(): i32 {
  const host = authority()
  begin()
  for (let i = 0; i < host.length && host.at(i) != 0x2e && host.at(i) != 0x3a; i++) writeByte(host.at(i))
  const tenant = end()
  setHeader('x-tenant', tenant)
  carry(tenant)
  const debugging = isTrue(member(configuration(), 'debugFromOutside'))
  if (fromOutside() && !debugging && header('x-debug').exists) removeHeader('x-debug')
  return allow()
}

export function response(): i32 {
  removeResponseHeader('server')
  removeResponseHeader('x-powered-by')
  setResponseHeader('strict-transport-security', text(member(configuration(), 'transportSecurity')))
  addResponseHeader('vary', text(member(configuration(), 'vary')))
  if (header('x-tenant').exists) removeResponseHeader('x-tenant')
  setResponseHeader('x-served-tenant', carried())
  return allow()
}
