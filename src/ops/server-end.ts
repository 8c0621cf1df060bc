// The end of an HTTP server for operators and their tools: answers under way are read, then all connections are closed. Runs
// on the control thread.

import type { Server } from 'node:http'

/** Answers take milliseconds, and are written at once. A client that has not read its own by then has stopped reading. */
const CLOSE_GRACE_MS = 1_000

/** Stops listening, lets clients read the answers under way, and closes all connections. Can be called again. */
export async function endServer(server: Server): Promise<void> {
  if (!server.listening) return
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  server.closeIdleConnections()
  const grace = setTimeout(() => server.closeAllConnections(), CLOSE_GRACE_MS)
  await closed
  clearTimeout(grace)
}
