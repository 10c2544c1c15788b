// The shop's face. Other functions are called by their names: the proxy in this process's environment is its sidecar.
export default {
  async fetch(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url)
    const headers = traceOf(request)
    if (pathname === '/') {
      const products = await fetch('http://catalog/products', { headers })
      return Response.json({ welcome: 'to the shop', products: await products.json() })
    }
    if (pathname === '/checkout' && request.method === 'POST') {
      const added = await fetch('http://cart.shop/carts/42', {
        method: 'PUT',
        body: '{"product":"net"}',
        headers,
      })
      if (!added.ok) return passOn(added)
      return passOn(await fetch('http://cart.shop/carts/42/checkout', { method: 'POST', headers }))
    }
    // Nothing allows this call, so the function that is called never hears of it.
    if (pathname === '/steal')
      return passOn(await fetch('http://payment/charge', { method: 'POST', headers }))
    return new Response('not found\n', { status: 404 })
  },
}

/** A trace is whole only if each function passes on what it received. */
function traceOf(request: Request): Record<string, string> {
  const fields = ['traceparent', 'tracestate', 'x-request-id']
  return Object.fromEntries(
    fields.flatMap((name) => {
      const value = request.headers.get(name)
      return value === null ? [] : [[name, value]]
    }),
  )
}

async function passOn(response: Response): Promise<Response> {
  return new Response(await response.text(), { status: response.status })
}
