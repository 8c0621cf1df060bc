// What metrics tell of admission beside its answers, which the relay threads count: who waits for one, and whether the
// back ends work.

import { sample, type MetricFamily } from './metric-family.ts'

/** Who waits to be let in, and whether whoever decides works. */
export interface AdmissionNumbers {
  /** Questions that wait for their turn. */
  readonly waiting: number
  /** Questions that are being asked. */
  readonly asking: number
  readonly oldestWaitMs: number
  /** Clients refused since too many waited. */
  readonly overflows: number
  readonly backends: readonly { readonly name: string; readonly isUp: boolean }[]
}

/** @param numbers undefined where anybody may use the relay */
export function admissionFamilies(numbers: AdmissionNumbers | undefined): MetricFamily[] {
  if (numbers === undefined) return []
  const { waiting, asking, oldestWaitMs, overflows, backends } = numbers
  return [
    {
      name: 'derp_admission_pending',
      type: 'gauge',
      help: 'Admission questions that wait for their turn, and that a back end is being asked.',
      samples: [sample(waiting, { state: 'waiting' }), sample(asking, { state: 'asking' })],
    },
    {
      name: 'derp_admission_oldest_wait_seconds',
      type: 'gauge',
      help: 'How long the oldest admission question has waited for its turn.',
      samples: [sample(oldestWaitMs / 1_000)],
    },
    {
      name: 'derp_admission_overflows_total',
      type: 'counter',
      help: 'Clients refused because too many waited for admission.',
      samples: [sample(overflows)],
    },
    {
      name: 'derp_admission_backend_up',
      type: 'gauge',
      help: '0 during an outage of this admission back end.',
      samples: backends.map(({ name, isUp }) => sample(Number(isUp), { backend: name })),
    },
  ]
}
