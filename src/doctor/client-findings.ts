// Judges what a client meets on its way to one relay: the checks of the probe under the doctor's names, together with what
// the relay says of itself and what other relays see. A pure function of the report and of what is known besides.

import { isIP } from 'node:net'
import type { RelayFacts } from '#fleet/relay-facts.ts'
import type { Check } from '#probe/check.ts'
import type { NodeReport } from '#probe/node-probe.ts'
import { nodeTitle } from '#probe/probed-node.ts'
import type { IpFamily } from '#probe/settings.ts'
import { fail, listed, ok, skip, warn, type CheckName, type Finding } from './finding.ts'
import { addressIn, isPrivateAddress } from './private-address.ts'
import type { UpgradeAnswer } from './upgrade-answer.ts'

/** What is known of a relay besides the probe's report. */
export interface ClientContext {
  /** Undefined: the relay was not asked, or is another one. */
  readonly facts: RelayFacts | undefined
  /** The doctor runs on the relay's own host. */
  readonly isOnHost: boolean
  /** A sibling has tried the relay's ports from outside. */
  readonly isLookedAt: boolean
  /** Addresses of this machine. */
  readonly ownAddresses: ReadonlySet<string>
  /** Ports that another relay of the fleet reached from outside: `4 derp`, `6 stun` and so on. */
  readonly reachedOutside: ReadonlySet<string>
  /** What answers the upgrade where clients connect, and at the relay's own port; undefined where it was not asked. */
  readonly upgrade: UpgradeAnswer | undefined
  readonly ownUpgrade: UpgradeAnswer | undefined
}

/** Probe checks that are told of together. */
const GROUPS: readonly (readonly [CheckName, readonly string[], string])[] = [
  ['addresses', ['addresses'], 'correct the name in DNS, or list the addresses of the node in the map'],
  [
    'tls',
    ['tls'],
    'TLS must end at the relay, or at a proxy that passes the DERP upgrade on (docs/behind-a-proxy.md)',
  ],
  [
    'certificate',
    ['certificate'],
    'see docs/certificates.md; derpfleet probe shows the certificate presented',
  ],
  [
    'packets',
    ['fast-start', 'ping', 'packet', 'full-packet', 'websocket'],
    'derpfleet probe shows each step; a proxy or a firewall that inspects TLS is a usual cause',
  ],
  [
    'pages',
    ['latency-check', 'browser-probe', 'generate-204'],
    'clients measure by these pages where UDP is blocked, and look for captive portals; a proxy must pass them on',
  ],
]

export function clientFindings(report: NodeReport, context: ClientContext): readonly Finding[] {
  const subject = nodeTitle(report.node)
  return [
    ...portFindings(report, context, subject),
    ...stunAddress(report, context, subject),
    ...GROUPS.map(([name, checks, advice]) =>
      name === 'packets' && isCutOff(context)
        ? skip(name, CUT_OFF, subject)
        : groupFinding(name, ofNames(report, checks), subject, advice),
    ),
    upgrade(context, subject),
    login(report, context, subject),
    identity(report, context, subject),
  ]
}

const CUT_OFF = 'the upgrade does not arrive'

function isCutOff({ upgrade: answer }: ClientContext): boolean {
  return answer !== undefined && answer.status !== 101
}

function ofNames({ checks }: NodeReport, names: readonly string[]): readonly Check[] {
  return checks.filter(({ name }) => names.includes(name))
}

function groupFinding(check: CheckName, checks: readonly Check[], subject: string, advice: string): Finding {
  const failed = checks.filter(({ status }) => status === 'fail')
  const [first] = failed
  if (first !== undefined) {
    return fail(check, {
      subject,
      seen: listed(failed.map(({ name, detail }) => (name === check ? detail : `${name}: ${detail}`))),
      expected: 'what docs/probe.md lists for it',
      advice: first.hint ?? advice,
    })
  }
  const passed = checks.find(({ status }) => status === 'ok')
  return passed === undefined
    ? skip(check, checks[0]?.detail ?? 'not reached', subject)
    : ok(check, passed.detail, subject)
}

/** TCP and STUN over each family: one finding for each port, and one for IPv6 where IPv4 works. */
function portFindings(report: NodeReport, context: ClientContext, subject: string): readonly Finding[] {
  return (['tcp', 'stun'] as const).flatMap((name) => {
    const checks = ofNames(report, [name])
    const port: CheckName = name === 'tcp' ? 'derp-port' : 'stun-port'
    const works = checks.filter(({ status }) => status === 'ok')
    const failed = checks.filter(({ status }) => status === 'fail')
    const found = failed.map((check) =>
      portFailure(check, { port, report, context, subject, isOther: works.length > 0 }),
    )
    if (works.length > 0) found.push(ok(port, listed(works.map(({ detail }) => detail)), subject))
    if (checks.length > 0 && found.length === 0) found.push(skip(port, checks[0]?.detail ?? '', subject))
    return found
  })
}

interface PortFailure {
  readonly port: 'derp-port' | 'stun-port'
  readonly report: NodeReport
  readonly context: ClientContext
  readonly subject: string
  /** The port works over the other family. */
  readonly isOther: boolean
}

function portFailure(
  { family, detail }: Check,
  { port, report, context, subject, isOther }: PortFailure,
): Finding {
  const kind = port === 'derp-port' ? 'derp' : 'stun'
  const isReached = context.reachedOutside.has(`${family} ${kind}`)
  // An address of the host itself is behind no router: what fails there fails everywhere.
  if (context.isOnHost && (isReached || isTranslated(family, { report, context }))) {
    return warn('hairpin', {
      subject,
      seen: `${detail}, from the host of the relay itself; ${isReached ? 'from outside it works' : 'no sibling could say whether it works from outside'}`,
      expected: 'a public address that works from inside its own network as well',
      advice:
        'clients and siblings behind the same router cannot use this relay: switch NAT reflection (hairpin) on, give the name its private address in the DNS of that network, or set "mesh" in the regions file for siblings',
    })
  }
  if (family === 6 && isOther) {
    return fail('ipv6', {
      subject,
      seen: detail,
      expected: 'an IPv6 address that works as the IPv4 one does, or none',
      advice:
        'open the ports for IPv6 and listen on it (-a :443), or take the address out of DNS and set "ipv6: none" in the map: clients with IPv6 try it first and lose time at each connection',
    })
  }
  if (port === 'stun-port' && isSilent(context.facts)) return skip(port, SILENT, subject)
  return fail(port, {
    subject,
    seen: detail,
    expected: port === 'derp-port' ? 'a port that accepts TCP connections' : 'an answer to STUN over UDP',
    advice:
      port === 'derp-port'
        ? 'start the relay, let it listen on this address (-a), and open the port in every firewall on the way'
        : 'compare -stun-port with stunport in the map, and open the port for UDP: clients measure relays by it. A relay that is not ready is silent on purpose',
  })
}

/** The public address is not one of this host, so that a router or a balancer stands before it, and nobody has looked from outside. */
function isTranslated(
  family: IpFamily | undefined,
  { report, context }: { readonly report: NodeReport; readonly context: ClientContext },
): boolean {
  const address = report.addresses.find((one) => isIP(one) === family)
  return !context.isLookedAt && address !== undefined && !context.ownAddresses.has(address)
}

export const SILENT = 'silent on purpose, because the relay is not ready'

/** A relay that cannot serve does not answer STUN, so that clients choose another region. */
export function isSilent(facts: RelayFacts | undefined): boolean {
  return facts?.checks.some(({ isOk }) => !isOk) === true
}

function stunAddress(
  { seenAs, checks, addresses }: NodeReport,
  context: ClientContext,
  subject: string,
): readonly Finding[] {
  if (!checks.some(({ name, status }) => name === 'stun' && status === 'ok')) return []
  // From its own host, packets to a public address may rightly come from a private one.
  if (context.isOnHost) return []
  const isPublic = addresses.every((one) => !isPrivateAddress(one))
  const seen = Object.values(seenAs).map(addressIn)
  const bad = isPublic ? seen.filter((one) => isPrivateAddress(one) && !context.ownAddresses.has(one)) : []
  if (bad.length === 0) return [ok('stun-address', listed(seen), subject)]
  return [stunAddressFailure(subject, `a client over the internet as ${listed(bad)}`)]
}

/** @param seen completes "STUN sees …" */
export function stunAddressFailure(subject: string, seen: string): Finding {
  return fail('stun-address', {
    subject,
    seen: `STUN sees ${seen}`,
    expected: 'the public address of the client, which its peers need for a direct connection',
    advice:
      'packets reach the relay through a program or a NAT that replaces their source: run the container with the network of the host, or switch the userland proxy of docker off; in Kubernetes set externalTrafficPolicy: Local or hostNetwork',
  })
}

function upgrade({ upgrade: answer, ownUpgrade: own }: ClientContext, subject: string): Finding {
  if (answer === undefined) return skip('upgrade', 'no connection to ask on', subject)
  if (answer.status === 101) return ok('upgrade', 'answered with 101', subject)
  const hop = answer.hops.length > 0 ? answer.hops.join(', ') : 'a program without a name'
  const isRelay = own !== undefined && own.status !== 101
  const seen = `${hop} answers the upgrade with ${answer.status}`
  return fail('upgrade', {
    subject,
    seen: own === undefined ? seen : `${seen}; the relay itself, asked directly, answers ${own.status}`,
    expected: '101 Switching Protocols, with Upgrade: DERP',
    advice: isRelay
      ? 'the relay itself refuses: see -derp, and whether the right program listens there'
      : 'the hop named takes the upgrade off: let it pass Upgrade and Connection on (docs/behind-a-proxy.md), or lead TCP to the relay past it. Content networks do not pass DERP on at all',
  })
}

function login(report: NodeReport, context: ClientContext, subject: string): Finding {
  const logins = ofNames(report, ['login'])
  const failed = logins.find(({ status }) => status === 'fail')
  if (failed === undefined) {
    const passed = logins.find(({ status }) => status === 'ok')
    return passed === undefined
      ? skip('login', logins[0]?.detail ?? 'not reached', subject)
      : ok('login', passed.detail, subject)
  }
  if (isCutOff(context)) return skip('login', CUT_OFF, subject)
  if (failed.detail.startsWith('the relay refused the login')) {
    const { facts } = context
    return facts?.admission.isOpen === false || facts === undefined
      ? ok('login', 'unknown clients are refused, as a relay with admission does', subject)
      : loginFailure(failed, subject)
  }
  return loginFailure(failed, subject)
}

function loginFailure({ detail, hint }: Check, subject: string): Finding {
  const advice = hint ?? 'derpfleet probe shows each step of a login'
  return fail('login', { subject, seen: detail, expected: 'a login, or a refusal by admission', advice })
}

/** Whether the name leads to this relay, and to no other. */
function identity(report: NodeReport, { facts }: ClientContext, subject: string): Finding {
  const other = report.checks.find(
    ({ name, status, detail }) =>
      status === 'fail' && (name === 'meta-certificate' || detail.startsWith('another relay answers')),
  )
  const advice =
    'each name and address must lead to one relay: look at DNS, port forwarding, and load balancers in front of several relays'
  const expected = 'the relay that was asked, at each of its addresses'
  if (other !== undefined) return fail('identity', { subject, seen: other.detail, expected, advice })
  if (report.serverKey === undefined) return skip('identity', 'no login got far enough', subject)
  if (facts === undefined || facts.key === report.serverKey) return ok('identity', report.serverKey, subject)
  return fail('identity', {
    subject,
    seen: `a relay with the key ${report.serverKey} answers; the relay that was asked has ${facts.key}`,
    expected,
    advice,
  })
}
