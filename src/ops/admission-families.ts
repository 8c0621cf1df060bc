// The metric families of admission's queue and backends. Admission's decisions are counted by the relay threads
// (`relay-families.ts`).

import { sample, type MetricFamily } from './metric-family.ts'

/** The admission queue and the state of each backend. */
export interface AdmissionNumbers {
  /** Questions in the queue. */
  readonly waiting: number
  /** Questions that a backend is answering. */
  readonly asking: number
  readonly oldestWaitMs: number
  /** Clients refused because the queue was full. */
  readonly overflows: number
  readonly backends: readonly { readonly name: string; readonly isUp: boolean }[]
  /** Keys that a backend has admitted and that are remembered, and those of the operator's list. */
  readonly knownKeys: number
  readonly listedKeys: number
  /** Keys that an operator denies: for a time, and until it is taken back. */
  readonly bans: { readonly timed: number; readonly standing: number }
  /** Of the time for which known keys are admitted in an outage, from 0 to 1; undefined if they are not. */
  readonly graceLeftRatio: number | undefined
  /** Undefined if the relay goes by no lease. */
  readonly lease: LeaseFigures | undefined
}

/** Of the lease that the relay goes by; it may have ended. */
interface LeaseFigures {
  readonly serial: number
  readonly keys: number
  readonly notBeforeMs: number
  readonly notAfterMs: number
}

/** @param numbers undefined for an open relay */
export function admissionFamilies(numbers: AdmissionNumbers | undefined): MetricFamily[] {
  if (numbers === undefined) return []
  const { waiting, asking, oldestWaitMs, overflows, backends, graceLeftRatio } = numbers
  const { knownKeys, listedKeys, bans, lease } = numbers
  return [
    {
      name: 'derp_admission_pending',
      type: 'gauge',
      help: 'Admission questions in the queue (waiting), and sent to a backend without an answer yet (asking).',
      samples: [sample(waiting, { state: 'waiting' }), sample(asking, { state: 'asking' })],
    },
    {
      name: 'derp_admission_oldest_wait_seconds',
      type: 'gauge',
      help: 'Age of the oldest admission question in the queue.',
      samples: [sample(oldestWaitMs / 1_000)],
    },
    {
      name: 'derp_admission_overflows_total',
      type: 'counter',
      help: 'Clients refused because the admission queue was full.',
      samples: [sample(overflows)],
    },
    {
      name: 'derp_admission_backend_up',
      type: 'gauge',
      help: '0 during an outage of the admission backend, else 1.',
      samples: backends.map(({ name, isUp }) => sample(Number(isUp), { backend: name })),
    },
    {
      name: 'derp_admission_grace_left_ratio',
      type: 'gauge',
      help: 'Of the time for which known keys are admitted while a backend is away: 1 while the backends decide, 0 when it is over.',
      samples: graceLeftRatio === undefined ? [] : [sample(graceLeftRatio)],
    },
    {
      name: 'derp_admission_keys',
      type: 'gauge',
      help: "Keys that a backend has admitted and that are remembered (known), of the operator's list (listed), of the lease (leased), and those that an operator denies: for a time (kicked), until it is taken back (denied).",
      samples: [
        sample(knownKeys, { state: 'known' }),
        sample(listedKeys, { state: 'listed' }),
        sample(lease?.keys ?? 0, { state: 'leased' }),
        sample(bans.timed, { state: 'kicked' }),
        sample(bans.standing, { state: 'denied' }),
      ],
    },
    ...leaseFamilies(lease),
  ]
}

function leaseFamilies(lease: LeaseFigures | undefined): MetricFamily[] {
  return [
    {
      name: 'derp_admission_lease_not_before_timestamp_seconds',
      type: 'gauge',
      help: 'Unix time at which the lease that the relay goes by begins.',
      samples: lease === undefined ? [] : [sample(lease.notBeforeMs / 1_000)],
    },
    {
      name: 'derp_admission_lease_not_after_timestamp_seconds',
      type: 'gauge',
      help: 'Unix time at which the lease that the relay goes by ends.',
      samples: lease === undefined ? [] : [sample(lease.notAfterMs / 1_000)],
    },
    {
      name: 'derp_admission_lease_serial',
      type: 'gauge',
      help: 'Serial of the lease that the relay goes by.',
      samples: lease === undefined ? [] : [sample(lease.serial)],
    },
  ]
}
