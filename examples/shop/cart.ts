const carts = new Map<string, string[]>()

export default {
  async fetch(request: Request): Promise<Response> {
    const [, , id = '', action] = new URL(request.url).pathname.split('/')
    if (request.method === 'PUT') {
      const { product } = (await request.json()) as { product: string }
      carts.set(id, [...(carts.get(id) ?? []), product])
      return Response.json({ cart: id, products: carts.get(id) })
    }
    if (action === 'checkout') {
      const products = carts.get(id) ?? []
      const total = await priceOf(products)
      const charged = await fetch('http://payment.shop.svc.cluster.local/charge', {
        method: 'POST',
        body: JSON.stringify({ amount: total }),
      })
      carts.delete(id)
      return Response.json({ cart: id, products, payment: await charged.json() })
    }
    return Response.json({ cart: id, products: carts.get(id) ?? [] })
  },
}

async function priceOf(products: string[]): Promise<number> {
  const catalog = (await (await fetch('http://catalog/products')).json()) as { name: string; price: number }[]
  return products.reduce(
    (sum, name) => sum + (catalog.find((product) => product.name === name)?.price ?? 0),
    0,
  )
}
