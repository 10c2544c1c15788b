import { create, type MessageInitShape } from '@bufbuild/protobuf'
import { type ToNode, ToNodeSchema } from '../proto/mayfly/v1/nodes_pb.js'
import type { Parcel } from './node-outbox.ts'

type Init = MessageInitShape<typeof ToNodeSchema>

/** The one message that has all that is said at once to a node. */
export function nodeMessage(parcels: readonly Parcel[]): ToNode {
  const [first, ...others] = parcels
  if (first && others.length === 0) return create(ToNodeSchema, initOf(first))
  return create(ToNodeSchema, { what: { case: 'orders', value: { orders: parcels.map(initOf) } } })
}

/** What a message says, one order after the other. */
export function ordersOf(message: ToNode): readonly ToNode[] {
  return message.what.case === 'orders' ? message.what.value.orders : [message]
}

function initOf({ order, contents }: Parcel): Init {
  return { what: order, contents } as Init
}
