// Whether a relay answers STUN, over each family, and whom it sees there.

import { isIP } from 'node:net'
import { askStun } from '#client/stun-request.ts'
import { lacksPublicSource, noPublicSourceText, type AddressResult } from './addresses.ts'
import type { CheckList, Outcome } from './check.ts'
import type { IpFamily, ProbeSettings } from '#cli/probe-options.ts'
import type { ProbeNode } from './target.ts'

/** The addresses that STUN has told, by family. */
export type SeenAddresses = Partial<Record<IpFamily, string>>

export async function checkStun(
  node: ProbeNode,
  places: readonly AddressResult[],
  settings: ProbeSettings,
  checks: CheckList,
): Promise<SeenAddresses> {
  const seenAs: SeenAddresses = {}
  for (const place of places) {
    const { family } = place
    const hasOther = places.some((other) => other !== place && 'address' in other)
    const seen = await checks.run('stun', family, async () => {
      const outcome = await ask(node, place, settings)
      const isExcused = outcome.status === 'fail' && hasOther && 'address' in place && lacksPublicSource(place)
      return isExcused ? { status: 'skip', detail: noPublicSourceText(place) } : outcome
    })
    if (seen !== undefined) seenAs[family] = seen
  }
  return seenAs
}

async function ask(node: ProbeNode, place: AddressResult, settings: ProbeSettings): Promise<Outcome<string>> {
  const { stunPort: port, stunAddress } = node
  if (port === -1) return { status: 'skip', detail: 'switched off (STUN port -1)' }
  const isElsewhere = stunAddress !== undefined && isIP(stunAddress) === place.family
  const address = isElsewhere ? stunAddress : 'address' in place ? place.address : undefined
  if (address === undefined) return { status: 'skip', detail: 'reason' in place ? place.reason : '' }
  try {
    const { ip, port: seenPort, roundTripMs } = await askStun(address, port, settings.timeoutMs)
    const seen = ip.includes(':') ? `[${ip}]:${seenPort}` : `${ip}:${seenPort}`
    return { status: 'ok', value: seen, detail: `sees ${seen}`, ms: roundTripMs }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    return {
      status: 'fail',
      detail: `${address}, port ${port}/udp: ${reason}`,
      hint: 'clients measure relays by STUN: is it switched off, on another port (-stun-port), or is UDP filtered?',
    }
  }
}
