// A socket file that a process has left behind which was killed while it listened.

import { spawnSync } from 'node:child_process'

const LISTEN = `require('node:net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))`

export function killedListener(path: string): void {
  const { signal } = spawnSync(process.execPath, ['-e', LISTEN, path])
  if (signal !== 'SIGKILL') throw new Error(`nothing listened at ${path}`)
}
