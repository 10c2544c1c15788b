// What the sidecar that takes a route (routes.ts) tells the engine, in the last 32 bytes of the output record; all zero
// where no VirtualService applies. The numbers count in the function's RoutePlan (src/policy/route-plan.ts), which the
// engine holds beside the compiled policy. It is there for RESULT_FORWARD and for RESULT_DENY (a delayed abort).

/** u32, from OUTPUT: 1 + the number of the route taken in RoutePlan.routes; 0: none was taken. */
export const OUT_ROUTE: i32 = 480
/** u32, from OUTPUT: the number of the chosen destination in PlannedRoute.destinations; the weighted draw is done. */
export const OUT_ROUTE_DESTINATION: i32 = 484
/** u32, from OUTPUT: ROUTE_* bits. */
export const OUT_ROUTE_BITS: i32 = 488

/** The request is held back for PlannedRoute.delayMs before it is sent, or before the denial is. */
export const ROUTE_DELAYED: i32 = 1
/** Bit `ROUTE_MIRROR << i`: a copy goes to PlannedRoute.mirrors[i]; the draw is done. */
export const ROUTE_MIRROR: i32 = 0x10000
/** Most mirrors of one route. */
export const MOST_MIRRORS: i32 = 16
