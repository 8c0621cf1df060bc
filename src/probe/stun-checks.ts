// Whether a relay answers STUN over each family, and which address of this machine it reports.

import { isIP } from 'node:net'
import { hostPortText } from '#protocol/host-port.ts'
import { askStun } from '#client/stun-request.ts'
import { lacksPublicSource, noPublicSourceText, type AddressResult } from './addresses.ts'
import type { CheckList, Outcome } from './check.ts'
import type { ProbedNode } from './probed-node.ts'
import type { IpFamily, ProbeSettings } from './settings.ts'

/** The addresses of this machine that STUN reported, by family. */
export type SeenAddresses = Partial<Record<IpFamily, string>>

export async function checkStun(
  node: ProbedNode,
  addresses: readonly AddressResult[],
  settings: ProbeSettings,
  checks: CheckList,
): Promise<SeenAddresses> {
  const seenAs: SeenAddresses = {}
  for (const target of addresses) {
    const { family } = target
    const hasOther = addresses.some((other) => other !== target && 'address' in other)
    const seen = await checks.run('stun', family, async () => {
      const outcome = await ask(node, target, settings)
      const isLocalCause =
        outcome.status === 'fail' && hasOther && 'address' in target && lacksPublicSource(target)
      return isLocalCause ? { status: 'skip', detail: noPublicSourceText(target) } : outcome
    })
    if (seen !== undefined) seenAs[family] = seen
  }
  return seenAs
}

async function ask(
  node: ProbedNode,
  target: AddressResult,
  settings: ProbeSettings,
): Promise<Outcome<string>> {
  const { stunPort: port, stunAddress } = node
  if (port === -1) return { status: 'skip', detail: 'disabled (STUN port -1)' }
  const hasOwnAddress = stunAddress !== undefined && isIP(stunAddress) === target.family
  const address = hasOwnAddress ? stunAddress : 'address' in target ? target.address : undefined
  if (address === undefined) return { status: 'skip', detail: 'reason' in target ? target.reason : '' }
  try {
    const { ip, port: seenPort, roundTripMs } = await askStun(address, port, settings.timeoutMs)
    const seen = hostPortText(ip, seenPort)
    return { status: 'ok', value: seen, detail: `sees ${seen}`, ms: roundTripMs }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    return {
      status: 'fail',
      detail: `${address}, port ${port}/udp: ${reason}`,
      hint: 'clients measure relays by STUN. Check that it is enabled, that the port is right (-stun-port), and that UDP is not filtered',
    }
  }
}
