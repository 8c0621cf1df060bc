// What `derpfleet status` says of a relay.

import { expect, it } from 'vitest'
import { statusVerb } from '#control/operator-verbs.ts'
import { Counter, Counters } from '#relay/counters.ts'
import { LiveRelay } from '../support/live-relay.ts'

it('counts clients without siblings, as all other numbers of clients do', async () => {
  await using relay = await LiveRelay.start()
  const counters = new Counters()
  counters.add(Counter.clientsCurrent, 5)
  counters.add(Counter.siblingsCurrent, 2)
  const status = statusVerb({
    settings: relay.settings,
    threads: { counters: [counters] },
    run: { number: 1, other: undefined },
    readiness: { health: { report: () => ({ isReady: true, checks: [] }) } as never },
    links: { siblings: () => [] },
    certificates: undefined,
    drain: { isDraining: false, numbers: () => ({}) as never },
  })
  const { body } = await status.answer({ parameters: {} } as never)
  expect(body).toMatchObject({ clients: 3 })
})
