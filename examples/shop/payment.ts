export default {
  async fetch(request: Request): Promise<Response> {
    const { amount } = (await request.json()) as { amount: number }
    return Response.json({ charged: amount, currency: process.env.CURRENCY })
  },
}
