// Readiness: whether clients may be sent to this relay. It consists of named checks, all of which must pass. A probe runs
// the checks, so each answers from known state and never waits. Liveness is not a check: the relay is live while the
// control thread answers. A failing check never ends the process, because a restart would not repair its cause.

export interface CheckOutcome {
  readonly isOk: boolean
  /** What the check found; for a failing check, what the operator needs to know. */
  readonly detail: string
}

export interface HealthCheck {
  /** Short, stable, snake case: it is the value of a metric label. */
  readonly name: string
  /** There is nothing to check at present; the check does not appear in the report. */
  readonly isOff?: boolean
  check(): CheckOutcome
}

export interface CheckReport extends CheckOutcome {
  readonly name: string
}

export interface HealthReport {
  readonly isReady: boolean
  readonly checks: readonly CheckReport[]
}

export class Health {
  readonly #checks: readonly HealthCheck[]

  constructor(checks: readonly HealthCheck[]) {
    this.#checks = checks
  }

  /** Runs every check now. */
  report(): HealthReport {
    const active = this.#checks.filter(({ isOff }) => isOff !== true)
    const checks = active.map((check) => Object.assign({ name: check.name }, check.check()))
    return { isReady: checks.every(({ isOk }) => isOk), checks }
  }
}

/** A report for people: the verdict, then the failing checks, or every check with `all`. */
export function reportText({ isReady, checks }: HealthReport, which: 'failing' | 'all'): string {
  const verdict = isReady ? 'ready' : 'not ready'
  const lines = checks
    .filter(({ isOk }) => which === 'all' || !isOk)
    .map(({ name, isOk, detail }) => `${isOk ? 'ok  ' : 'FAIL'} ${name}: ${detail}`)
  return `${[verdict, ...lines].join('\n')}\n`
}
