// Lets through who has an API key of the configuration, and tells the function whose it is.

import {
  absent,
  allow,
  Bytes,
  configuration,
  deny,
  element,
  header,
  literal,
  member,
  removeHeader,
  setHeader,
  setResponseHeader,
  text,
} from 'mayfly-policy'

export function request(): i32 {
  const key = header('x-api-key')
  if (!key.exists) return refuse(401, 'an API key is needed in x-api-key')
  const client = clientOf(key)
  if (!client.exists) return refuse(403, 'the API key is not known')
  setHeader('x-api-client', client)
  // The function has no use for the secret.
  removeHeader('x-api-key')
  return allow()
}

function clientOf(key: Bytes): Bytes {
  const clients = member(configuration(), 'clients')
  for (let i = 0, client = element(clients, 0); client.exists; client = element(clients, ++i)) {
    if (text(member(client, 'key')).equalsSecret(key)) return text(member(client, 'name'))
  }
  return absent()
}

function refuse(status: i32, why: string): i32 {
  setResponseHeader('www-authenticate', literal('ApiKey realm="mesh"'))
  return deny(status, why)
}
