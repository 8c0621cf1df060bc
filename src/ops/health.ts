// Whether the relay should be sent clients: named checks, all of which must pass, and how a probe reads them. Checks
// are asked when a probe comes, so they answer from what is known and never wait. Liveness is no check: it is that
// the control thread answers at all, and nothing that a restart would not mend may end the process.

export interface CheckOutcome {
  readonly isOk: boolean
  /** What was found; for a failing check, what an operator should know. */
  readonly detail: string
}

export interface HealthCheck {
  /** Short, stable, snake case: it is a metric label. */
  readonly name: string
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

  /** Asks every check now. */
  report(): HealthReport {
    const checks = this.#checks.map((check) => ({ name: check.name, ...check.check() }))
    return { isReady: checks.every(({ isOk }) => isOk), checks }
  }
}

/** A report as a person reads it: the verdict, then the failing checks, or with `all` every check. */
export function reportText({ isReady, checks }: HealthReport, which: 'failing' | 'all'): string {
  const verdict = isReady ? 'ready' : 'not ready'
  const lines = checks
    .filter(({ isOk }) => which === 'all' || !isOk)
    .map(({ name, isOk, detail }) => `${isOk ? 'ok  ' : 'FAIL'} ${name}: ${detail}`)
  return `${[verdict, ...lines].join('\n')}\n`
}
