// Switches the log between debug and the level of the settings, as an operator asks for with SIGUSR2. Runs on the control
// thread.

import { LogEvent } from '#ops/log-event.ts'
import type { Log } from '#ops/log.ts'

export function toggleDebug(log: Log, usual: Parameters<Log['setLevel']>[0]): void {
  const level = log.isEnabled('debug') ? usual : 'debug'
  // The line is written while the log is at the more verbose of the two levels.
  if (level === 'debug') log.setLevel(level)
  log.info(LogEvent.logLevelChanged, { level })
  log.setLevel(level)
}
