// What the sidecar that takes a route (routes.ts) tells the engine: the record at OUT_ROUTE_PTR, of length 0 where no
// VirtualService applies. The numbers count in the function's RoutePlan (src/policy/route-plan.ts), which the engine holds
// beside the compiled policy. It is there for RESULT_FORWARD, and for RESULT_DENY where a fault or the route itself
// answers. The engine reads it by src/dataplane/taken-route.ts.

/** u32: the number of the route in RoutePlan.routes. */
export const ROUTE_NUMBER: i32 = 0
/** u32: the number of the destination in PlannedRoute.destinations, drawn by weight; NO_DESTINATION for a denial. */
export const ROUTE_DESTINATION: i32 = 4
/** u32: ROUTE_* bits. */
export const ROUTE_BITS: i32 = 8
export const ROUTE_SIZE: i32 = 12

export const NO_DESTINATION: i32 = 0xffff

/** The request is held back for PlannedRoute.delayMs before it is sent, or before the denial is. */
export const ROUTE_DELAYED: i32 = 1
/** Bit `ROUTE_MIRROR << i`: a copy goes to PlannedRoute.mirrors[i]; the draw is done. */
export const ROUTE_MIRROR: i32 = 0x10000
/** Most mirrors of one route. */
export const MOST_MIRRORS: i32 = 15
