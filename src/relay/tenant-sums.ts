// What each relay thread has sent to the clients of each tenant, in memory that it shares with the control thread: a row of each
// thread, a number of each tenant, which only grow. One for each roster, whose numbers of tenants it uses. What follows from the
// sums is the control thread's matter.

export interface TenantSums {
  readonly memory: SharedArrayBuffer
  readonly threads: number
}

/** @param tenants the largest number of a tenant */
export function makeTenantSums(threads: number, tenants: number): TenantSums {
  const bytes = threads * (tenants + 1) * Float64Array.BYTES_PER_ELEMENT
  return { memory: new SharedArrayBuffer(bytes), threads }
}

/** What one thread adds to, by the numbers of tenants. */
export function rowOf({ memory, threads }: TenantSums, thread: number): Float64Array {
  const rowBytes = memory.byteLength / threads
  return new Float64Array(memory, thread * rowBytes, rowBytes / Float64Array.BYTES_PER_ELEMENT)
}
