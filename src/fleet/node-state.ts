// How a node of the fleet is, as far as clients are concerned.

export const NodeState = { up: 'up', draining: 'draining', down: 'down' } as const
export type NodeState = (typeof NodeState)[keyof typeof NodeState]

/** The state of a node of the regions file, by its name. */
export type StateOf = (nodeName: string) => NodeState

/** The same by one that may know nothing of the node: undefined. */
export type SeenStateOf = (nodeName: string) => NodeState | undefined
