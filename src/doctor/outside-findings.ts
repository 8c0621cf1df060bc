// Judges what other relays of the fleet met at the ports of the relay: the only view of it that is surely from outside of its
// host. A pure function of their answers.

import type { LookedPort, OutsideView, PortKind } from '#fleet/look.ts'
import type { RelayFacts } from '#fleet/relay-facts.ts'
import { isSilent, SILENT, stunAddressFailure } from './client-findings.ts'
import { fail, listed, ok, skip, warn, type CheckName, type Finding } from './finding.ts'
import { addressIn, isPrivateAddress } from './private-address.ts'

const CHECKS: Readonly<Record<PortKind, CheckName>> = {
  derp: 'derp-port',
  stun: 'stun-port',
  http: 'http-port',
}

interface Port {
  readonly kind: PortKind
  readonly family: 4 | 6
  readonly at: string
  readonly looks: readonly (LookedPort & { readonly by: string })[]
}

export function outsideFindings(views: readonly OutsideView[], facts: RelayFacts): readonly Finding[] {
  const looked = views.filter(({ problem }) => problem === '')
  const ports = portsOf(looked)
  return [
    outside(views, looked),
    ...regions(looked),
    ...claims(looked),
    ...ports.map((port) => portFinding(port, ports, facts)),
    ...ports.flatMap(stunAddress),
  ]
}

/** Ports that at least one relay has reached, as `4 derp`. */
export function reachedOutside(views: readonly OutsideView[]): ReadonlySet<string> {
  const reached = views.flatMap(({ ports }) => ports.filter(({ result }) => result === 'ok'))
  return new Set(reached.map(({ family, kind }) => `${family} ${kind}`))
}

function outside(views: readonly OutsideView[], looked: readonly OutsideView[]): Finding {
  if (views.length === 0) return skip('outside', 'no sibling is linked that could look from outside')
  if (looked.length > 0) return ok('outside', `looked at by ${listed(looked.map(({ by }) => by))}`)
  return skip('outside', listed(views.map(({ by, problem }) => `${by}: ${problem}`)))
}

function regions(looked: readonly OutsideView[]): readonly Finding[] {
  const others = looked.filter(({ hasSameRegions }) => hasSameRegions === false)
  if (others.length === 0) return []
  return [
    warn('regions-file', {
      seen: `${listed(others.map(({ by }) => by))} uses another content`,
      expected: 'the same regions file on all relays of the fleet',
      advice: 'copy the file to all of them; each relay reads it again by itself. Maps differ meanwhile',
    }),
  ]
}

/** A relay that takes itself for another one does not link to that one: only others see both. */
function claims(looked: readonly OutsideView[]): readonly Finding[] {
  const told = looked.flatMap(({ by, claims: ofIt = [] }) => ofIt.map((text) => `${text}, as ${by} sees it`))
  if (told.length === 0) return []
  return [
    fail('nodes', {
      seen: listed(told),
      expected: 'one relay for each node of the regions file',
      advice: 'give each relay its own -hostname or -node, and each an entry of its own in the regions file',
    }),
  ]
}

function portsOf(looked: readonly OutsideView[]): readonly Port[] {
  const all = looked.flatMap(({ by, ports }) => ports.map((port) => ({ ...port, by })))
  const groups = Map.groupBy(all, ({ kind, family, at }) => `${kind} ${family} ${at}`)
  return [...groups.values()].flatMap((looks) => {
    const [first] = looks
    return first === undefined ? [] : [{ kind: first.kind, family: first.family, at: first.at, looks }]
  })
}

function portFinding(port: Port, all: readonly Port[], facts: RelayFacts): Finding {
  const { kind, family, at, looks } = port
  const check = CHECKS[kind]
  const tried = looks.filter(({ result }) => result !== 'skipped')
  if (tried.length === 0) return skip(check, listed(looks.map(({ detail }) => detail)), at)
  const failed = tried.filter(({ result }) => result === 'failed')
  const other = tried.find(({ key }) => key !== undefined && key !== facts.key)
  if (other !== undefined) {
    return fail('identity', {
      subject: at,
      seen: `${other.by} meets a relay with the key ${other.key ?? ''}; the relay that was asked has ${facts.key}`,
      expected: 'this relay',
      advice: 'correct the address in the map or in DNS, or the port forwarding',
    })
  }
  if (failed.length === 0)
    return ok(check, `reached from outside by ${listed(tried.map(({ by }) => by))}`, at)
  const seen = listed(failed.map(({ by, detail }) => `from ${by}: ${detail}`))
  if (failed.length < tried.length) {
    return warn(check, {
      subject: at,
      seen: `${seen}; others reach it`,
      expected: 'a port that all the world reaches',
      advice: 'look at the network between the two, and at firewalls that let some addresses in',
    })
  }
  const isOther = all.some(
    (one) => one.kind === kind && one.family !== family && one.looks.some(({ result }) => result === 'ok'),
  )
  if (family === 6 && isOther) {
    return fail('ipv6', {
      subject: at,
      seen,
      expected: 'an IPv6 address that works as the IPv4 one does, or none',
      advice:
        'open the ports for IPv6 and listen on it, or take the address out of DNS and set "ipv6: none" in the regions file',
    })
  }
  if (kind === 'stun' && isSilent(facts)) return skip(check, SILENT, at)
  return portFailure(port, seen, failed[0])
}

function portFailure({ kind, at }: Port, seen: string, first: LookedPort | undefined): Finding {
  if (kind === 'derp' && first?.stage === 'tls') {
    const advice = 'see docs/certificates.md: the name, the chain with all intermediates, and the date'
    return fail('certificate', { subject: at, seen, expected: 'a certificate that clients accept', advice })
  }
  if (kind === 'derp' && first?.stage === 'upgrade') {
    const advice = 'a program in front of the relay takes the upgrade off: docs/behind-a-proxy.md'
    return fail('upgrade', { subject: at, seen, expected: '101 to Upgrade: DERP', advice })
  }
  const expected = 'a port that is reached from outside'
  const advices = {
    derp: 'let the relay listen on this address (-a), and open TCP in the firewall of the host, of the provider and of the router (port forwarding)',
    stun: 'open UDP in every firewall on the way, and compare -stun-port with stunport in the regions file; a relay that is not ready is silent on purpose',
    http: 'open port 80, or set canport80: false in the regions file; a web server of the host may have the port',
  }
  return fail(CHECKS[kind], { subject: at, seen, expected, advice: advices[kind] })
}

/** The relay must see the sibling at the address from which it sends, or at a public one if there is a NAT between. */
function stunAddress({ kind, at, looks }: Port): readonly Finding[] {
  if (kind !== 'stun' || isPrivateAddress(addressIn(at))) return []
  const answers = looks.filter(({ sees }) => sees !== undefined)
  const wrong = answers.filter(({ sees = '', from }) => sees !== from && isPrivateAddress(sees))
  if (wrong.length > 0) {
    return [
      stunAddressFailure(
        at,
        listed(wrong.map(({ by, sees, from }) => `${by} as ${sees}, which sends from ${from}`)),
      ),
    ]
  }
  return answers.length === 0 ? [] : [ok('stun-address', listed(answers.map(({ sees = '' }) => sees)), at)]
}
